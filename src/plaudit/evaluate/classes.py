"""What a confusion table says about each class: how many texts, how many found, how often right when predicted."""

from collections.abc import Sequence
from dataclasses import dataclass

from plaudit.evaluate.results import BASELINE, Result

FEW_TEXTS = 100
"""With fewer, an accuracy says little."""


@dataclass(frozen=True)
class ClassFigures:
    """One class: `n` test texts, of which `recall` were found; `precision` is None if it was never predicted."""

    label: str
    n: int
    precision: float | None
    recall: float | None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None if the class neither occurs nor is predicted."""
        if self.precision is None and self.recall is None:
            return None
        both = (self.precision or 0.0) + (self.recall or 0.0)
        return 2 * (self.precision or 0.0) * (self.recall or 0.0) / both if both else 0.0


@dataclass(frozen=True)
class Confused:
    """`count` of the `n` texts labelled `label` were taken for `predicted`."""

    label: str
    predicted: str
    count: int
    n: int


def class_figures(result: Result) -> list[ClassFigures]:
    """Return the figures of each class, in the model's order."""
    found = []
    for i, label in enumerate(result.labels):
        n, predicted = sum(result.confusion[i]), sum(row[i] for row in result.confusion)
        right = result.confusion[i][i]
        found.append(ClassFigures(label, n, right / predicted if predicted else None, right / n if n else None))
    return found


def largest_class(result: Result) -> tuple[str, float]:
    """Return the label of most test texts and its share: the accuracy of always guessing it."""
    largest = max(class_figures(result), key=lambda one: one.n)
    return largest.label, largest.n / result.n


def cautions(results: Sequence[Result]) -> list[str]:
    """Return what forbids to trust the accuracies of models on the same texts: too few, or no gain over one class."""
    found = []
    for result in results:
        label, share = largest_class(result)
        low, high = result.accuracy_ci95
        if low <= share and result.kind != BASELINE:
            figures = f"{100 * result.accuracy:.1f} % ({100 * low:.1f}–{100 * high:.1f}) against {100 * share:.1f} %"
            found.append(f"{result.model}: no better than always answering {label}: {figures}")
    if results[0].n < FEW_TEXTS:
        found.append(f"only {results[0].n:,} texts were tested, too few to tell: see the intervals")
    return found


def confusions(result: Result) -> list[Confused]:
    """Return which class was taken for which other, the most frequent first."""
    pairs = [
        Confused(label, result.labels[j], count, sum(row))
        for i, (label, row) in enumerate(zip(result.labels, result.confusion, strict=True))
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(pairs, key=lambda pair: -pair.count)
