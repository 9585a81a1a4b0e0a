"""Finds where in a text its tokens are, so that contributions can be shown there.

The tokens are those of `text/reference.py`; tests compare the two.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple
from unicodedata import combining

from plaudit.data.accents import composed
from plaudit.text.characters import PUNCTUATION, SEPARATOR, classify
from plaudit.text.cleaning import CleaningSettings
from plaudit.text.reference import MARKUP, stop_word_tokens

_SENTENCE_END = re.compile(r"[.!?…。！？\n]")

_LONGEST_SENTENCE = 40
"""In words; a longer one is cut even without a full stop."""


class Word(NamedTuple):
    """The characters start … end - 1 of a text, and the token that the model reads there."""

    start: int
    end: int
    token: str


class Span(NamedTuple):
    """The characters start … end - 1 of a text."""

    start: int
    end: int


def words_of(text: str, cleaning: CleaningSettings) -> list[Word]:
    """Return the tokens of a text in order, like `reference.tokenize`; stop words must be resolved."""
    read, places = _composed_with_places(text)
    data = read.encode("utf-8", "replace")
    if cleaning.strip_html:
        # A blank for each character, so that all others keep their places.
        data = MARKUP.sub(lambda found: b" " * len(found[0].decode()), data)
    readable = data.decode()
    entries = {character: classify(character, cleaning) for character in set(readable)}
    words: list[Word] = []
    start, token = 0, ""
    for place, character in enumerate(readable):
        entry = entries[character]
        if entry > PUNCTUATION:
            start = start if token else place
            token += chr(entry)
            continue
        if token:
            words.append(Word(places[start], places[place], token))
            token = ""
        if entry != SEPARATOR:
            words.append(Word(places[place], places[place + 1], character))
    if token:
        words.append(Word(places[start], places[-1], token))
    stop_words = stop_word_tokens(cleaning)
    return [word for word in words if word.token not in stop_words]


def _composed_with_places(text: str) -> tuple[str, Sequence[int]]:
    """Return the text with composed accents, and where in `text` each of its characters begins, then the end."""
    read = composed(text)
    if read == text:
        return text, range(len(text) + 1)
    places: list[int] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or _is_apart(text[start:end], text[end]):
            places += [min(start + i, end - 1) for i in range(len(composed(text[start:end])))]
            start = end
    return read, [*places, len(text)]


def _is_apart(before: str, character: str) -> bool:
    """Say whether a character neither is nor becomes one with what is before it."""
    return not combining(character) and composed(before + character) == composed(before) + composed(character)


def pieces_of(text: str, words: Sequence[Word], *, at_most: int) -> list[Span]:
    """Return at most `at_most` spans: of the words, else of the sentences, else of runs of sentences."""
    if len(words) <= at_most:
        return [Span(word.start, word.end) for word in words]
    starts = [0]
    for place, (word, following) in enumerate(pairwise(words), 1):
        ended = _SENTENCE_END.search(text, word.start, following.start) and text[following.start].isalnum()
        if ended or place - starts[-1] == _LONGEST_SENTENCE:
            starts.append(place)
    starts = starts[:: -(-len(starts) // at_most)]
    return [Span(words[first].start, words[last - 1].end) for first, last in pairwise([*starts, len(words)])]
