import random

import pytest

from plaudit.evaluate.robustness.datasets import Reviews
from plaudit.evaluate.robustness.perturb import CHANGES, digest, misspell, perturbed, sample_evenly, words_of

TEXT = 'I saw "Dogs".<br /><br />It isn\'t dull! The plot, at least, moves on. Was it long? Never for a minute.'
LONG = " ".join(f"word{i} filler" for i in range(100))


def changed(text, change, seed=0):
    return perturbed([text], change, seed)[0]


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_seed_spoils_the_same_way(change):
    texts = [TEXT, LONG, "word", ""]
    assert perturbed(texts, change, 3) == perturbed(texts, change, 3)
    assert len(perturbed(texts, change, 3)) == 4


@pytest.mark.parametrize("change", ["typos in 20 % of words", "words shuffled", "sentences shuffled"])
def test_another_seed_spoils_another_way(change):
    assert changed(TEXT, change) != changed(TEXT, change, seed=1)


@pytest.mark.parametrize("percent", [2, 5, 10, 20])
def test_as_many_words_are_misspelt_as_it_says(percent):
    text = " ".join(["alphabet"] * 200)
    spoilt = changed(text, f"typos in {percent} % of words").split()
    assert len(spoilt) == 200
    assert sum(word != "alphabet" for word in spoilt) == 2 * percent


def test_a_typo_is_a_letter_swapped_dropped_or_doubled():
    found = {misspell("cat", words_of("cat", min_letters=2), random.Random(seed)) for seed in range(100)}
    assert found == {"act", "cta", "at", "ct", "ccat", "caat"}


def test_tags_and_short_words_are_not_misspelt():
    assert [word[0] for word in words_of("<br /> a <strong>fine</strong> film of 1999", min_letters=3)] == [
        "fine",
        "film",
    ]


def test_cut_reviews_keep_their_share_of_words():
    words = LONG.split()
    assert changed(LONG, "first 25 % of words").split() == words[:50]
    assert changed(LONG, "last 10 % of words").split() == words[-20:]
    assert changed("one", "first 10 % of words") == changed("one", "last 10 % of words") == "one"


def test_shuffling_keeps_every_word():
    assert sorted(changed(TEXT, "words shuffled").split()) == sorted(TEXT.split())
    shuffled = changed(TEXT, "sentences shuffled")
    assert shuffled != TEXT
    for sentence in ('I saw "Dogs".', "It isn't dull!", "The plot, at least, moves on.", "<br /><br />"):
        assert sentence in shuffled


def test_tags_and_punctuation_go():
    assert "<" not in changed(TEXT, "tags removed")
    assert "isn't" in changed(TEXT, "tags removed")
    spoilt = changed("<i>It isn't</i> bad: 2 < 3!", "tags and punctuation removed")
    assert spoilt.split() == ["It", "isnt", "bad", "2", "3"]


def test_reviews_are_taken_evenly_from_a_sorted_split():
    reviews = Reviews([str(i) for i in range(100)], ["neg"] * 50 + ["pos"] * 50, "sorted")
    taken = sample_evenly(reviews, 10)
    assert taken.labels == ["neg"] * 5 + ["pos"] * 5
    assert (taken.texts[0], taken.texts[-1], len(set(taken.texts))) == ("0", "99", 10)
    assert sample_evenly(reviews, 1_000).texts == reviews.texts


def test_digest_depends_on_reviews_and_seed():
    reviews = Reviews(["lovely"], ["pos"], "name")
    assert len({digest(reviews, 0), digest(reviews, 1), digest(reviews._replace(labels=["neg"]), 0)}) == 3
