"""Behavioural tests as in CheckList (Ribeiro et al. 2020): one capability at a time, on sentences from templates.

minimum functionality   a sentence with an obvious label, which the model must predict
invariance              two sentences with an irrelevant difference: the prediction must stay, and the probability
                        of positive may change by at most MAX_CHANGE
direction               a sentence, and one that is stronger or adds praise or blame: the probability of positive
                        may move the other way by at most MAX_STEP_BACK
"""

import hashlib
import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from plaudit.evaluate.robustness.perturb import misspell, words_of
from plaudit.evaluate.robustness.results import Behaviour, Capability, Example, Proportion
from plaudit.evaluate.robustness.templates import (
    BLAME,
    CONTRACTED,
    IRRELEVANT,
    MINIMUM_FUNCTIONALITY,
    NAMES,
    NEGATIVE,
    NEUTRAL,
    PLAIN,
    POSITIVE,
    PRAISE,
    REVIEWS,
    SLOTS,
)

NUM_CASES = 100
"""About so many for each capability, shared evenly by its templates; one with fewer fillings gives them all."""
MAX_CHANGE = 0.1
MAX_STEP_BACK = 0.05

Kind = Literal["minimum functionality", "invariance", "direction"]
Values = dict[str, str]

UNCHANGED = "unchanged"
NOT_LESS = "not less positive"
NOT_MORE = "not more positive"


@dataclass(frozen=True)
class Case:
    """One sentence, or two to compare; `expected` is a label, UNCHANGED, NOT_LESS or NOT_MORE."""

    texts: tuple[str, ...]
    expected: str


Cases = dict[tuple[Kind, str], list[Case]]
"""The cases of each capability, by its kind and name."""


def make_cases(seed: int) -> Cases:
    """Fill the templates of every capability; the seed decides with which words."""
    cases: Cases = {}
    for name, templates in MINIMUM_FUNCTIONALITY.items():
        cases["minimum functionality", name] = list(_statements(templates, _rng(seed, name)))
    for name, changed in {"names": NAMES, "neutral words": NEUTRAL}.items():
        cases["invariance", name] = list(_swaps(changed, _rng(seed, name)))
    rng = _rng(seed, "typo")
    cases["invariance", "typo"] = [Case((text, _misspelt(text, rng)), UNCHANGED) for text in _reviews(rng)]
    cases["invariance", "contraction"] = list(_contractions(_rng(seed, "contraction")))
    for kind, name, sentences, expected in _ADDED:
        rng = _rng(seed, name)
        cases[kind, name] = [Case((text, f"{text} {rng.choice(sentences)}"), expected) for text in _reviews(rng)]
    cases["direction", "intensified"] = list(_intensified(_rng(seed, "intensified")))
    return cases


_ADDED: tuple[tuple[Kind, str, tuple[str, ...], str], ...] = (
    ("invariance", "irrelevant sentence added", IRRELEVANT, UNCHANGED),
    ("direction", "praise added", PRAISE, NOT_LESS),
    ("direction", "blame added", BLAME, NOT_MORE),
)


def texts_of(cases: Cases) -> list[str]:
    """Return all sentences in order."""
    return [text for members in cases.values() for case in members for text in case.texts]


def count_failures(cases: Cases, positive: Sequence[float]) -> Behaviour:
    """Count the failures of each capability, given the probability of positive of each of `texts_of(cases)`."""
    probabilities = iter(positive)
    capabilities = []
    digest = hashlib.sha256()
    for (kind, name), members in cases.items():
        failures = []
        for case in members:
            digest.update(repr(case).encode())
            predicted = tuple(float(next(probabilities)) for _ in case.texts)
            if _fails(case, predicted):
                rounded = tuple(round(p, 4) for p in predicted)
                failures.append(Example(texts=case.texts, positive=rounded, expected=case.expected))
        failed = Proportion.of(len(failures), len(members))
        capabilities.append(Capability(name=name, kind=kind, failed=failed, examples=tuple(_spread(failures))))
    return Behaviour(data_digest=digest.hexdigest(), capabilities=tuple(capabilities))


def _fails(case: Case, positive: Sequence[float]) -> bool:
    before, after = positive[0], positive[-1]
    if case.expected == POSITIVE:
        return before <= 0.5
    if case.expected == NEGATIVE:
        return before >= 0.5
    if case.expected == UNCHANGED:
        return abs(after - before) > MAX_CHANGE or (after > 0.5) != (before > 0.5)
    step_back = before - after if case.expected == NOT_LESS else after - before
    return step_back > MAX_STEP_BACK


def _spread(failures: Sequence[Example]) -> list[Example]:
    """Return the first, middle and last failure, which are of different templates if possible."""
    last = len(failures) - 1
    return [failures[i] for i in sorted({0, last // 2, last})] if failures else []


def _rng(seed: int, name: str) -> random.Random:
    """Return a generator for one capability, so that adding another changes no existing case."""
    return random.Random(f"{seed} {name}")


def _statements(templates: Sequence[tuple[str, str]], rng: random.Random) -> Iterator[Case]:
    for template, expected in templates:
        for values in _fillings(template, NUM_CASES // len(templates), rng):
            yield Case((fill(template, values),), expected)


def _reviews(rng: random.Random) -> list[str]:
    return [fill(review, values) for review in REVIEWS for values in _fillings(review, NUM_CASES // len(REVIEWS), rng)]


def _swaps(changed: Sequence[str], rng: random.Random) -> Iterator[Case]:
    reviews = [review for review in REVIEWS if set(changed) & set(_slots(review))]
    for review in reviews:
        for values in _fillings(review, NUM_CASES // len(reviews), rng):
            others = {slot: rng.choice([v for v in SLOTS[slot] if v != values.get(slot)]) for slot in changed}
            yield Case((fill(review, values), fill(review, values | others)), UNCHANGED)


def _contractions(rng: random.Random) -> Iterator[Case]:
    for long, short in CONTRACTED:
        for values in _fillings(long, NUM_CASES // len(CONTRACTED), rng):
            yield Case((fill(long, values), fill(short, values)), UNCHANGED)


def _intensified(rng: random.Random) -> Iterator[Case]:
    for template, label in PLAIN:
        stronger = re.sub(r"\{(good|bad)\}", r"{very} {\1}", template)
        for values in _fillings(stronger, NUM_CASES // len(PLAIN), rng):
            expected = NOT_LESS if label == POSITIVE else NOT_MORE
            yield Case((fill(template, values), fill(stronger, values)), expected)


def _misspelt(text: str, rng: random.Random) -> str:
    # In short words such as not, good or bad, a typo can make another word.
    return misspell(text, [rng.choice(words_of(text, min_letters=5))], rng)


def fill(template: str, values: Values) -> str:
    """Replace the slots of a template by values, and correct a to an before a vowel."""
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", template.format_map(values))
    return text[0].upper() + text[1:]


def _slots(template: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r"\{(\w+)\}", template)))


def _fillings(template: str, num: int, rng: random.Random) -> list[Values]:
    """Return `num` random, distinct fillings of a template, or all if it has fewer."""
    slots = _slots(template)
    total = math.prod(len(SLOTS[slot]) for slot in slots)
    drawn = []
    for number in sorted(rng.sample(range(total), min(num, total))):
        values = {}
        for slot in slots:
            number, choice = divmod(number, len(SLOTS[slot]))
            values[slot] = SLOTS[slot][choice]
        drawn.append(values)
    return drawn
