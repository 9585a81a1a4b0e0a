"""Sentence templates for behavioural tests: slots in braces, and the words that fill them.

The expected label of each sentence is obvious to any reader: negated adjectives are moderate ("not good at all" is
criticism, but "not brilliant" may be praise), and mixed opinions end with a clear conclusion. Slots with the same name
in a sentence get the same word.
"""

SLOTS: dict[str, tuple[str, ...]] = {
    "good": ("good", "great", "wonderful", "brilliant", "excellent", "superb", "delightful", "charming", "moving"),
    "bad": ("bad", "terrible", "awful", "boring", "dreadful", "tedious", "lousy", "stupid", "horrible"),
    "decent": ("good", "interesting", "enjoyable", "entertaining", "convincing", "well made"),
    "faulty": ("bad", "boring", "dull", "weak", "tedious", "disappointing"),
    "very": ("very", "really", "extremely", "absolutely", "truly", "incredibly"),
    "liked": ("liked", "enjoyed", "loved", "admired"),
    "hated": ("hated", "disliked", "loathed", "detested"),
    "like": ("like", "enjoy", "love", "admire"),
    "hate": ("hate", "dislike", "loathe", "detest"),
    "film": ("film", "movie", "picture"),
    "genre": ("comedy", "thriller", "drama", "western", "love story"),
    "genres": ("comedies", "thrillers", "dramas", "westerns", "love stories"),
    "part": ("acting", "script", "plot", "dialogue", "camera work", "music"),
    "person": ("Martin Weber", "Helen Carter", "Paul Nguyen", "Laura Rossi", "David Okafor", "Anna Lindberg"),
    "place": ("Lisbon", "Chicago", "Vienna", "Toronto", "Dublin", "Sydney"),
    "companion": ("my brother", "my sister", "a neighbour", "a colleague", "my cousin", "my uncle"),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Sunday"),
    "hour": ("five", "six", "seven", "eight", "nine"),
}

POSITIVE = "positive"
NEGATIVE = "negative"

MINIMUM_FUNCTIONALITY: dict[str, tuple[tuple[str, str], ...]] = {
    "plain statement": (
        ("I thought that the {part} was {good} from start to finish.", POSITIVE),
        ("This is a {good} {film}, and the {part} is {good} too.", POSITIVE),
        ("We all {liked} this {genre} when we saw it last week.", POSITIVE),
        ("I thought that the {part} was {bad} from start to finish.", NEGATIVE),
        ("This is a {bad} {film}, and the {part} is {bad} too.", NEGATIVE),
        ("We all {hated} this {genre} when we saw it last week.", NEGATIVE),
    ),
    "intensified statement": (
        ("The {part} of this {genre} is {very} {good}.", POSITIVE),
        ("I {liked} the {part} of this {film} a lot, and its end is {very} {good}.", POSITIVE),
        ("What a {very} {good} {film} this is!", POSITIVE),
        ("The {part} of this {genre} is {very} {bad}.", NEGATIVE),
        ("I {hated} the {part} of this {film} a lot, and its end is {very} {bad}.", NEGATIVE),
        ("What a {very} {bad} {film} this is!", NEGATIVE),
    ),
    "praise negated": (
        ("This {film} is not {decent} at all.", NEGATIVE),
        ("I did not {like} the {part} of this {film} at all.", NEGATIVE),
        ("Nothing about this {genre} is {decent}.", NEGATIVE),
        ("The {part} is not {decent}, and neither is the rest of the {film}.", NEGATIVE),
        ("There was never a moment when I {liked} this {genre}.", NEGATIVE),
    ),
    "blame negated": (
        ("This {genre} is never {faulty}, not even for a minute.", POSITIVE),
        ("There is nothing {faulty} about this {film}.", POSITIVE),
        ("The {film} does not have one {faulty} scene in two hours.", POSITIVE),
        ("I did not find a single {faulty} moment in this {genre}.", POSITIVE),
        ("Not once in two hours was I bored, and the {part} is never {faulty}.", POSITIVE),
    ),
    "negation from afar": (
        ("I do not think, after all that I had heard about this {genre}, that it is {decent}.", NEGATIVE),
        ("Nobody who pays for a ticket to this {film} will find the {part} {decent}.", NEGATIVE),
        ("At no point in the two hours that this {genre} lasts is the {part} {decent}.", NEGATIVE),
        ("Nobody who pays for a ticket to this {film} will be bored or find the {part} {faulty}.", POSITIVE),
        ("At no point in the two hours that this {genre} lasts is the {part} {faulty}.", POSITIVE),
    ),
    "double negation": (
        ("It is impossible not to {like} this {genre}.", POSITIVE),
        ("There was not one scene in this {film} that I did not {like}.", POSITIVE),
        ("Nobody who sees this {film} will fail to {like} the {part}.", POSITIVE),
        ("It is impossible not to {hate} this {genre}.", NEGATIVE),
        ("There was not one scene in this {film} that I did not {hate}.", NEGATIVE),
        ("Nobody who sees this {film} will fail to {hate} the {part}.", NEGATIVE),
    ),
    "but": (
        ("The {part} is {bad}, but the {film} as a whole is {good}.", POSITIVE),
        ("I expected a {bad} {genre}, but what I saw was {good}.", POSITIVE),
        ("It begins like any {bad} {genre}, but then I {liked} every minute of it.", POSITIVE),
        ("The {part} is {good}, but the {film} as a whole is {bad}.", NEGATIVE),
        ("I expected a {good} {genre}, but what I saw was {bad}.", NEGATIVE),
        ("It begins like any {good} {genre}, but then I {hated} every minute of it.", NEGATIVE),
    ),
    "although": (
        ("Although the {part} is {bad}, I {liked} this {film} a lot.", POSITIVE),
        ("This is a {good} {film}, even though the {part} is {bad}.", POSITIVE),
        ("In spite of the {bad} {part}, this is a {good} {genre}.", POSITIVE),
        ("Although the {part} is {good}, I {hated} this {film} a lot.", NEGATIVE),
        ("This is a {bad} {film}, even though the {part} is {good}.", NEGATIVE),
        ("In spite of the {good} {part}, this is a {bad} {genre}.", NEGATIVE),
    ),
    "comparison": (
        ("Compared with this {film}, every other {genre} of the year is {bad}.", POSITIVE),
        ("I have seen many {good} {genres}, and this one is better than all of them.", POSITIVE),
        ("No other {genre} of this year is as {good} as this one.", POSITIVE),
        ("Compared with this {film}, every other {genre} of the year is {good}.", NEGATIVE),
        ("I have seen many {bad} {genres}, and this one is worse than all of them.", NEGATIVE),
        ("No other {genre} of this year is as {bad} as this one.", NEGATIVE),
    ),
    "opinion of others": (
        ("The critics called this {genre} {bad}, and they are wrong: I {liked} it very much.", POSITIVE),
        ("{companion} found it {bad}, yet I {liked} every minute of this {film}.", POSITIVE),
        ("Some people say that the {part} is {bad}; I say that this {film} is {good}.", POSITIVE),
        ("The critics called this {genre} {good}, and they are wrong: I {hated} it very much.", NEGATIVE),
        ("{companion} found it {good}, yet I {hated} every minute of this {film}.", NEGATIVE),
        ("Some people say that the {part} is {good}; I say that this {film} is {bad}.", NEGATIVE),
    ),
    "change of mind": (
        ("I used to {hate} this {film}, and now I {like} it.", POSITIVE),
        ("As a child I found this {genre} {bad}; today I know how {good} it is.", POSITIVE),
        ("Years ago I thought it was {bad}, and last night I saw that it is {good}.", POSITIVE),
        ("I used to {like} this {film}, and now I {hate} it.", NEGATIVE),
        ("As a child I found this {genre} {good}; today I know how {bad} it is.", NEGATIVE),
        ("Years ago I thought it was {good}, and last night I saw that it is {bad}.", NEGATIVE),
    ),
}

REVIEWS: tuple[str, ...] = (
    "I saw this {film} in {place} on {day}. The {part} is {good}, and I would watch it again.",
    "{person} directed this {genre}, and the result is {good}. I {liked} the {part} most of all.",
    "I watched it with {companion} at {hour} on {day}. It is a {good} {film} with a {good} ending.",
    "This {genre} is set in {place}, where {person} plays a teacher. I {liked} every scene of it.",
    "I saw this {film} in {place} on {day}. The {part} is {bad}, and I would not watch it again.",
    "{person} directed this {genre}, and the result is {bad}. I {hated} the {part} most of all.",
    "I watched it with {companion} at {hour} on {day}. It is a {bad} {film} with a {bad} ending.",
    "This {genre} is set in {place}, where {person} plays a teacher. I {hated} every scene of it.",
)
"""Short reviews for the invariance and direction tests, half of them positive."""

NAMES = ("person", "place")
NEUTRAL = ("film", "companion", "day", "hour")
"""Slots that say nothing about how good a film is."""

IRRELEVANT: tuple[str, ...] = (
    "It runs for two hours and ten minutes.",
    "The cinema is across the street from the station.",
    "It was shown on a Thursday.",
    "The story takes place in the spring of 1962.",
    "I bought the tickets a day before.",
)

PRAISE: tuple[str, ...] = ("I loved it.", "It is a wonderful film.", "I recommend it to everybody.")
BLAME: tuple[str, ...] = ("I hated it.", "It is a terrible film.", "I advise everybody against it.")

PLAIN: tuple[tuple[str, str], ...] = (
    ("I think that the {part} of this {film} is {good}.", POSITIVE),
    ("This {genre} has a {good} story and {good} actors.", POSITIVE),
    ("I think that the {part} of this {film} is {bad}.", NEGATIVE),
    ("This {genre} has a {bad} story and {bad} actors.", NEGATIVE),
)
"""Statements to intensify by one of {very} before {good} or {bad}."""

CONTRACTED: tuple[tuple[str, str], ...] = (
    ("It is a {good} {film} and I did not want it to end.", "It's a {good} {film} and I didn't want it to end."),
    ("I have not {liked} a {genre} so much in years.", "I haven't {liked} a {genre} so much in years."),
    ("You will not regret it: the {part} is {good}.", "You won't regret it: the {part} is {good}."),
    ("I am glad that I saw it, and that is what counts.", "I'm glad that I saw it, and that's what counts."),
    ("It is a {bad} {film} and I could not wait for its end.", "It's a {bad} {film} and I couldn't wait for its end."),
    ("I do not {like} this {genre} at all, it is {bad}.", "I don't {like} this {genre} at all, it's {bad}."),
    ("You should not see it: the {part} is {bad}.", "You shouldn't see it: the {part} is {bad}."),
    ("There is nothing here that is not {bad}.", "There's nothing here that isn't {bad}."),
)
