"""Chooses a candidate by cross-validation: one change after the other is kept where it helps.

The candidates of a step are compared on the same folds. A change has to classify more texts correctly than chance
would explain by half a standard error; where none does, the lower log loss decides, after one temperature for all
scores, so that candidates are not compared by how sure they happen to be.

Shapes: N texts, C classes, K binary problems.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from rich.console import Console

from plaudit.automl.candidates import Candidate, Int64Array, Material
from plaudit.console import progress
from plaudit.data.splits import shuffled_units
from plaudit.models.bow.head_start import with_scores_that_add_up
from plaudit.models.bow.model import logits_of_problems
from plaudit.models.bow.settings import BowSettings

STARTS = ("bow", "ensemble")
"""Shipped models that a new model may start from."""

BUDGET_SECONDS = 40.0
"""For choosing, by default; fitting and scoring what was chosen comes on top."""

MAX_CHARACTERS = 4_000_000
"""Texts beyond these are left out while candidates are compared: what is best for so many is best for more."""

_UNBALANCED = 3
_MANY_TEXTS = 20_000
_MANY_CLASSES = 10
_MANY_PROBLEM_CHARACTERS = 20_000_000
"""Characters times classes, from which on one fifth is held out and no more, instead of every fold in turn."""
_SELF_TRAINING = 0.3
_CHARACTERS = 5


@dataclass(frozen=True)
class Trial:
    """A candidate and how it did on texts that it was not fitted on."""

    candidate: Candidate
    is_right: npt.NDArray[np.bool_]
    log_loss: float
    """Mean, in nats, once the scores are divided by `temperature`."""
    temperature: float
    seconds: float

    @property
    def accuracy(self) -> float:
        """Share of the texts that it classified correctly."""
        return float(self.is_right.mean())

    def beats(self, other: "Trial") -> bool:
        """Say whether to prefer this trial to one on the same texts."""
        difference = self.is_right.astype(np.float64) - other.is_right
        gain, noise = difference.sum(), np.sqrt(np.square(difference).sum())
        if other.candidate.start is None and self.candidate.start is not None:
            # A head start costs time with every prediction, so it has to be worth it.
            return bool(gain > noise or (gain > -noise / 2 and self.log_loss < 0.97 * other.log_loss))
        if abs(gain) > noise / 2:
            return bool(gain > 0)
        return self.log_loss < other.log_loss

    def chosen(self) -> Candidate:
        """Return the candidate with the temperature that suits it."""
        return self.candidate.with_settings(temperature=round(self.temperature, 3))


@dataclass(frozen=True)
class Choice:
    """The candidate that was chosen, and all that were tried."""

    best: Trial
    trials: tuple[Trial, ...]
    num_folds: int
    num_texts: int
    """How many texts they were compared on."""
    stopped: bool
    """Whether the budget ended the search."""


def choose(
    texts: Sequence[str],
    label_ids: Int64Array,
    labels: tuple[str, ...],
    unit: Int64Array,
    *,
    unlabelled: Sequence[str] = (),
    starts: Sequence[str] = STARTS,
    budget_seconds: float = BUDGET_SECONDS,
    seed: int = 0,
    console: Console,
) -> Choice:
    """Compare candidates on texts with label ids 0 … C - 1; rows of one `unit`, int64 [N], stay in one fold.

    Where texts without labels are given, candidates that learn from them too are among those compared.
    """
    rows = _sample(texts, seed)
    material = Material([texts[row] for row in rows], label_ids[rows], labels, _some(unlabelled, seed))
    folds = _folds(unit[rows], label_ids[rows], len(labels), seed)
    if material.num_characters * len(labels) > _MANY_PROBLEM_CHARACTERS:
        folds = np.where(folds == 0, 0, -1)
    trials: list[Trial] = []
    stopped = False
    with progress(console, "choosing", total=None) as show:
        best: Trial | None = None
        for step in _steps(material, starts):
            for proposed in step(None if best is None else best.candidate):
                candidate = material.as_fitted(proposed)
                if any(trial.candidate == candidate for trial in trials):
                    continue
                taken = sum(trial.seconds for trial in trials)
                if best is not None and taken + _expected_seconds(candidate, best) > budget_seconds:
                    stopped = True
                    break
                show(len(trials), candidate.described())
                trial = _try(candidate, material, folds)
                trials.append(trial)
                if best is None or trial.beats(best):
                    best = trial
    assert best is not None
    return Choice(best, tuple(trials), int(folds.max()) + 1, len(rows), stopped)


def _expected_seconds(candidate: Candidate, best: Trial) -> float:
    """Return about what a trial takes, given one of a candidate that is like it."""
    more_characters = candidate.settings.characters > best.candidate.settings.characters
    more_texts = candidate.self_training > best.candidate.self_training
    return best.seconds * 1.3 * (4 if more_characters else 1) * (2 if more_texts else 1)


def first_candidate(num_texts: int, labels: tuple[str, ...]) -> Candidate:
    """Return the candidate that all others are changes of: pairs of words, and rare ones only where texts are few."""
    # With many classes the log-count ratio, another one for each, takes several times as long.
    settings = BowSettings(
        scale="log-count" if len(labels) <= _MANY_CLASSES else "idf",
        max_order=2,
        min_count=1 if num_texts < _MANY_TEXTS else 3,
        slot_bits=20,
        inverse_regularization=1.0,
        refit=True,
    )
    return Candidate(with_scores_that_add_up(settings, labels))


_Step = Callable[[Candidate | None], Iterable[Candidate]]


def _steps(material: Material, starts: Sequence[str]) -> Iterator[_Step]:
    """Yield functions from the best candidate so far to those that may be better, the most important first."""
    yield lambda best: [best or first_candidate(len(material.texts), material.labels)]
    if len(material.labels) <= _MANY_CLASSES:
        yield lambda best: [_known(best).with_settings(scale="idf")]
    steps: list[_Step] = [
        lambda best: [replace(_known(best), start=start) for start in starts],
        lambda best: [_known(best).with_settings(characters=_CHARACTERS)],
    ]
    # Many classes are hardly about praise, and there may be no time for both.
    yield from steps if len(material.labels) <= _MANY_CLASSES else reversed(steps)
    for _ in range(2):
        yield lambda best: _neighbours(_known(best))
    if material.num_unlabelled:
        yield lambda best: [replace(_known(best), self_training=weight) for weight in (_SELF_TRAINING, 1.0)]
    yield lambda best: [_known(best).with_settings(max_order=5 - _known(best).settings.max_order)]
    yield lambda best: [_other_scale(_known(best))]
    counts = np.bincount(material.label_ids, minlength=len(material.labels))
    if counts.max() >= _UNBALANCED * counts.min():
        yield lambda best: [_known(best).with_settings(class_weight="balanced")]
    yield lambda best: _neighbours(_known(best))


def _known(best: Candidate | None) -> Candidate:
    assert best is not None, "the first step proposes a candidate"
    return best


def _neighbours(best: Candidate) -> list[Candidate]:
    strength = best.settings.inverse_regularization
    near = [best.with_settings(inverse_regularization=float(f"{strength * factor:.3g}")) for factor in (1 / 3, 3)]
    if best.start is not None:
        near += [replace(best, strength=best.strength * factor) for factor in (4, 1 / 4)]
    return near


def _other_scale(best: Candidate) -> Candidate:
    return best.with_settings(scale="idf" if best.settings.scale == "log-count" else "log-count")


def _try(candidate: Candidate, material: Material, folds: Int64Array) -> Trial:
    material.prepare(candidate)
    began = time.perf_counter()
    tested = np.flatnonzero(folds >= 0)
    scores = np.zeros((len(folds), 1 if len(material.labels) == 2 else len(material.labels)))
    for fold in range(folds.max() + 1):
        test, train = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        scores[test] = material.scores(candidate, train, test)
    truth = material.label_ids[tested]
    temperature, log_loss = _best_temperature(scores[tested], truth, candidate.settings.probabilities)
    is_right = _logits(scores[tested], candidate.settings.probabilities).argmax(axis=1) == truth
    return Trial(candidate, is_right, log_loss, temperature, time.perf_counter() - began)


def _logits(scores: npt.NDArray[np.float64], probabilities: str) -> npt.NDArray[np.float64]:
    return logits_of_problems(scores.astype(np.float32), probabilities).astype(np.float64)


def _best_temperature(scores: npt.NDArray[np.float64], truth: Int64Array, probabilities: str) -> tuple[float, float]:
    """Return the temperature under which the labels are most probable, 1/8 … 8, and the log loss there."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        logits = _logits(scores / np.exp(log_temperature), probabilities)
        total = np.logaddexp.reduce(logits, axis=1)
        return float((total - logits[np.arange(len(truth)), truth]).mean())

    found = minimize_scalar(loss, bounds=(-np.log(8), np.log(8)), method="bounded", options={"xatol": 0.01})
    return float(np.exp(found.x)), float(found.fun)


def _sample(texts: Sequence[str], seed: int) -> Int64Array:
    """Return the rows of all texts, or of as many random ones as MAX_CHARACTERS allow."""
    order = np.random.default_rng(seed).permutation(len(texts))
    lengths = np.cumsum([len(texts[row]) for row in order])
    count = max(2, int(np.searchsorted(lengths, MAX_CHARACTERS, side="right")))
    return np.sort(order[:count]).astype(np.int64)


def _some(unlabelled: Sequence[str], seed: int) -> list[str]:
    """Return all texts, or as many random ones as MAX_CHARACTERS allow."""
    return [unlabelled[row] for row in _sample(unlabelled, seed)] if len(unlabelled) else []


def _folds(unit: Int64Array, label_ids: Int64Array, num_classes: int, seed: int) -> Int64Array:
    """Return the fold of each text, int64 [N]: ten folds of few texts, three of many, about equal shares of a label."""
    num_folds = 10 if len(unit) < 500 else 5 if len(unit) < 5_000 else 3
    numbered = np.unique(unit, return_inverse=True)[1]
    fold_of_unit = np.zeros(int(numbered.max()) + 1, np.int64)
    given = 0  # rare labels take turns, so that one fold does not get the first of each
    for of_label in shuffled_units(numbered, label_ids, num_classes, np.random.default_rng(seed)):
        fold_of_unit[of_label] = (given + np.arange(len(of_label))) % num_folds
        given += len(of_label)
    return fold_of_unit[numbered]
