import re

import pytest

from plaudit.evaluate.robustness.behaviour import Case, count_failures, fill, make_cases, texts_of
from plaudit.evaluate.robustness.templates import CONTRACTED, MINIMUM_FUNCTIONALITY, REVIEWS, SLOTS

CASES = make_cases(0)


def judged(expected, *positive):
    texts = ("a film", "the film")[: len(positive)]
    return count_failures({("invariance", "one"): [Case(texts, expected)]}, positive).capabilities[0]


def test_the_same_seed_gives_the_same_cases_and_another_one_others():
    assert make_cases(0) == CASES
    assert make_cases(1) != CASES
    assert make_cases(1).keys() == CASES.keys()


@pytest.mark.parametrize("capability", CASES, ids=lambda capability: " ".join(capability))
def test_a_capability_has_enough_different_whole_sentences(capability):
    cases = CASES[capability]
    assert 40 <= len(cases) == len(set(cases)) <= 200
    for case in cases:
        assert len(case.texts) == (1 if capability[0] == "minimum functionality" else 2)
        assert len(set(case.texts)) == len(case.texts)
        for text in case.texts:
            assert re.fullmatch(r"[A-Z][^{}]*[.!]", text)
            for sentence in re.split(r"(?<=[.!]) ", text):
                assert 3 <= len(sentence.split()) <= 25


def test_no_article_stands_wrong():
    unspoilt = {capability: cases for capability, cases in CASES.items() if capability[1] != "typo"}
    for text in texts_of(unspoilt):
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", text), text


@pytest.mark.parametrize(
    "name", sorted(set(MINIMUM_FUNCTIONALITY) - {"praise negated", "blame negated", "negation from afar"})
)
def test_neither_verdict_is_always_right(name):
    expected = [case.expected for case in CASES["minimum functionality", name]]
    assert expected.count("positive") == expected.count("negative")


def test_every_slot_is_known_and_used():
    templates = [*REVIEWS, *(text for pair in CONTRACTED for text in pair)]
    templates += [text for members in MINIMUM_FUNCTIONALITY.values() for text, _ in members]
    assert {slot for text in templates for slot in re.findall(r"\{(\w+)\}", text)} == set(SLOTS)


def test_filling_mends_articles_and_first_letters():
    assert (
        fill("{companion} saw a {bad} film", {"companion": "my uncle", "bad": "awful"}) == "My uncle saw an awful film"
    )


@pytest.mark.parametrize(
    ("expected", "positive", "fails"),
    [
        ("positive", (0.51,), False),
        ("positive", (0.5,), True),
        ("negative", (0.49,), False),
        ("negative", (0.5,), True),
        ("unchanged", (0.8, 0.71), False),
        ("unchanged", (0.8, 0.69), True),
        ("unchanged", (0.52, 0.48), True),
        ("not less positive", (0.8, 0.76), False),
        ("not less positive", (0.8, 0.74), True),
        ("not less positive", (0.2, 0.9), False),
        ("not more positive", (0.8, 0.84), False),
        ("not more positive", (0.8, 0.86), True),
        ("not more positive", (0.9, 0.2), False),
    ],
)
def test_what_fails(expected, positive, fails):
    found = judged(expected, *positive)
    assert found.failed.count == int(fails)
    assert [example.positive for example in found.examples] == ([positive] if fails else [])


def test_three_failures_are_shown_from_first_to_last():
    cases = {("minimum functionality", "one"): [Case((f"film {i}",), "positive") for i in range(9)]}
    found = count_failures(cases, [0.1] * 9).capabilities[0]
    assert [example.texts[0] for example in found.examples] == ["film 0", "film 4", "film 8"]
    assert (found.failed.count, found.failed.n) == (9, 9)


def test_other_sentences_have_another_digest():
    digests = {count_failures(cases, [0.5] * len(texts_of(cases))).data_digest for cases in (CASES, make_cases(1))}
    assert len(digests) == 2
