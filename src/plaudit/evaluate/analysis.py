"""`analysis.json`: calibration and accuracy by slice of each model, and which differences between models are real.

It is made from predictions and holds no texts.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from plaudit.errors import DataError
from plaudit.evaluate.bootstrap import draws, percentile_interval
from plaudit.evaluate.metrics import reliability, wilson_interval
from plaudit.evaluate.predictions import Predictions
from plaudit.evaluate.record import Record, read_record, write_record

FORMAT: Literal[1] = 1
COVERAGES = (1.0, 0.99, 0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
LENGTHS = (0, 50, 100, 150, 200, 300, 400, 600, 1_000)
FREQUENCIES = (1, 2, 3, 5, 10, 20, 30)
"""Reviews of the same movie, or other group, at which a slice begins."""


class Slice(Record):
    """A part of the reviews: by length in words, by rating, or by how many reviews its movie has."""

    by: str
    name: str
    n: int = Field(gt=0)
    accuracy: float
    ci95: tuple[float, float]


class Coverage(Record):
    """Accuracy on the share of reviews with the highest confidence, and the lowest confidence among them."""

    coverage: float
    accuracy: float
    threshold: float


class ModelAnalysis(Record):
    """Calibration, accuracy by coverage, and accuracy by slice of one model."""

    model: str
    reliability: tuple[tuple[int, float, float], ...]
    """Reviews, mean confidence and accuracy of each non-empty bin of confidence."""
    coverage: tuple[Coverage, ...]
    slices: tuple[Slice, ...]


class Comparison(Record):
    """The accuracy of `first` minus that of `second` on the same reviews, with its bootstrap interval.

    `p_value` is that of McNemar's exact test (1947).
    """

    first: str
    second: str
    difference: float
    ci95: tuple[float, float]
    only_first_right: int
    only_second_right: int
    p_value: float


class Analysis(Record):
    """The content of an `analysis.json`."""

    format: Literal[1] = FORMAT
    data: str
    split: str
    models: tuple[ModelAnalysis, ...]
    comparisons: tuple[Comparison, ...]


def analyze(predictions: Sequence[Predictions], table: pa.Table, *, data: str, split: str) -> Analysis:
    """Analyze the predictions of models for the reviews of `table`; DataError if they are for other reviews."""
    ids = table["id"].to_pylist()
    for model in predictions:
        if model.ids != ids:
            raise DataError(f"predictions of {model.model}: are for other reviews than {data}, {split}")
    slices = _rows_of_slices(table)
    models = tuple(
        ModelAnalysis(
            model=model.model,
            reliability=tuple(reliability(model.labels, model.probabilities)),
            coverage=tuple(_coverage(model)),
            slices=tuple(_slice(by, name, model.is_right[rows]) for (by, name), rows in slices.items()),
        )
        for model in predictions
    )
    return Analysis(data=data, split=split, models=models, comparisons=tuple(_compare(predictions, table)))


def read_analysis(path: Path) -> Analysis:
    """Read a file; DataError if it is damaged, not an analysis or of another format."""
    return read_record(Analysis, path, name="analysis", writer="plaudit run")


def write_analysis(path: Path, analysis: Analysis) -> None:
    """Write a file completely or not at all, rounded to six decimals; OutputError if it cannot be written."""
    write_record(path, analysis, digits=6)


def mcnemar(only_first_right: int, only_second_right: int) -> float:
    """Return the two-sided exact p-value of McNemar's test, from the reviews that only one model gets right."""
    trials, least = only_first_right + only_second_right, min(only_first_right, only_second_right)
    # Logarithms, because 2 ** trials would overflow.
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    k = np.arange(least + 1)
    tail = np.exp(logs[trials] - logs[k] - logs[trials - k] - trials * np.log(2)).sum()
    return float(min(1.0, 2 * tail))


def _compare(predictions: Sequence[Predictions], table: pa.Table) -> list[Comparison]:
    """Return all pairs, the more accurate model first; they share the bootstrap's resamples."""
    ordered = sorted(predictions, key=lambda model: -model.is_right.mean())
    if len(ordered) < 2:
        return []
    right = np.stack([model.is_right for model in ordered], axis=1).astype(np.float32)
    means = np.array([right[rows].mean(axis=0) for rows in draws(table["group"].to_pylist(), seed=0)], np.float64)
    comparisons = []
    for (i, first), (j, second) in itertools.combinations(enumerate(ordered), 2):
        only_first = int((right[:, i] > right[:, j]).sum())
        only_second = int((right[:, j] > right[:, i]).sum())
        interval = percentile_interval(means[:, i] - means[:, j])
        assert interval is not None, "accuracies are finite"
        comparisons.append(
            Comparison(
                first=first.model,
                second=second.model,
                difference=(only_first - only_second) / len(right),
                ci95=interval,
                only_first_right=only_first,
                only_second_right=only_second,
                p_value=mcnemar(only_first, only_second),
            )
        )
    return comparisons


def _coverage(model: Predictions) -> list[Coverage]:
    confidence = model.probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right_so_far = np.cumsum(model.is_right[order])
    counts = [max(1, round(share * len(order))) for share in COVERAGES]
    return [
        Coverage(coverage=share, accuracy=float(right_so_far[n - 1] / n), threshold=float(confidence[order[n - 1]]))
        for share, n in zip(COVERAGES, counts, strict=True)
    ]


def _slice(by: str, name: str, is_right: npt.NDArray[np.bool_]) -> Slice:
    accuracy = float(is_right.mean())
    return Slice(by=by, name=name, n=len(is_right), accuracy=accuracy, ci95=wilson_interval(accuracy, len(is_right)))


def _rows_of_slices(table: pa.Table) -> Mapping[tuple[str, str], npt.NDArray[np.int64]]:
    """Return the rows of each non-empty slice; slices by rating and group only where they are known."""
    words = np.array([text.count(" ") + 1 for text in table["text"].to_pylist()])
    slices = _ranges("length", words, LENGTHS, lambda low, high: f"{low}–{high - 1} words", "{} words or more")
    ratings = table["rating"].to_pylist()
    for rating in sorted({rating for rating in ratings if rating is not None}):
        slices["rating", str(rating)] = np.flatnonzero([one == rating for one in ratings])
    if table["group"].null_count == 0:
        _, group, counts = np.unique(table["group"].to_pylist(), return_inverse=True, return_counts=True)
        slices |= _ranges("reviews of its group", counts[group], FREQUENCIES, _range_name, "{} or more")
    return slices


def _ranges(
    by: str,
    values: npt.NDArray[np.int64],
    starts: Sequence[int],
    name: Callable[[int, int], str],
    last: str,
) -> dict[tuple[str, str], npt.NDArray[np.int64]]:
    number = np.searchsorted(starts, values, side="right") - 1
    names = [name(low, high) for low, high in itertools.pairwise(starts)] + [last.format(starts[-1])]
    return {(by, names[i]): np.flatnonzero(number == i) for i in range(len(starts)) if (number == i).any()}


def _range_name(low: int, high: int) -> str:
    return str(low) if high == low + 1 else f"{low}–{high - 1}"
