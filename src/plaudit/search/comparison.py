"""Compare models that were cross-validated: which meet the constraints, which are equally good, which one to take."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from plaudit.data.folds import Pool
from plaudit.errors import SettingsError
from plaudit.evaluate.bootstrap import draws, percentile_interval
from plaudit.evaluate.metrics import log_loss, wilson_interval
from plaudit.models.base import Float32Array

FORMAT = 1
_LATENCY_NOISE = 0.1
"""Share by which the latency of one model differs from one measurement to the next."""


@dataclass(frozen=True)
class Constraints:
    """What a model must meet: milliseconds a review (median), megabytes (1e6 bytes), accuracy in percent."""

    max_latency_ms: float | None = None
    max_size_mb: float | None = None
    min_accuracy: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 0 < value < np.inf:
                raise SettingsError(f"--{name.replace('_', '-')} {value:g}: give a number above 0")
        if self.min_accuracy is not None and not 1 < self.min_accuracy <= 100:
            raise SettingsError(f"--min-accuracy {self.min_accuracy:g}: give percent, such as 88")

    def misses(self, *, accuracy: float, latency_ms: float, size_bytes: int) -> dict[str, float]:
        """Return by how much a model misses the constraints that it does not meet, as shares of their values."""
        shortfalls = {}
        if self.max_latency_ms is not None:
            shortfalls["latency_ms"] = latency_ms / self.max_latency_ms - 1
        if self.max_size_mb is not None:
            shortfalls["size_mb"] = size_bytes / 1e6 / self.max_size_mb - 1
        if self.min_accuracy is not None:
            shortfalls["accuracy"] = 1 - 100 * accuracy / self.min_accuracy
        return {name: round(share, 5) for name, share in shortfalls.items() if share > 0}


@dataclass(frozen=True)
class FoldResult:
    """How one model did on one fold; folds are numbered from 1."""

    model: str
    fold: int
    n: int
    accuracy: float
    log_loss: float
    latency_ms_p50: float
    size_bytes: int
    parameters: int
    train_seconds: float


@dataclass(frozen=True)
class Candidate:
    """One model over all folds: pooled scores, the median latency, the largest size, the seconds of all trainings.

    `below_best` is how much lower its accuracy is than that of the most accurate model that meets the constraints, with
    the 95 % interval; None for that model itself, and if no model meets them.
    """

    model: str
    accuracy: float
    accuracy_ci95: tuple[float, float]
    log_loss: float
    latency_ms_p50: float
    size_bytes: int
    parameters: int
    train_seconds: float
    fold_accuracies: tuple[float, ...]
    misses: Mapping[str, float]
    below_best: float | None = None
    below_best_ci95: tuple[float, float] | None = None


@dataclass(frozen=True)
class Selection:
    """The comparison of all models, most accurate first, and the one to take.

    `most_accurate` is the best that meets the constraints, `as_good` are those that these reviews cannot distinguish
    from it, `recommended` is the fastest of them all, or the smallest of those about as fast. If no model meets
    the constraints, these are empty and `nearest` is the model that misses them by least.
    """

    data: str
    n: int
    num_groups: int
    candidates: tuple[Candidate, ...]
    constraints: Constraints
    most_accurate: str | None = None
    as_good: tuple[str, ...] = ()
    recommended: str | None = None
    nearest: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the content of select.json."""
        return {"format": FORMAT, **asdict(self)}


def compare(
    results: Sequence[FoldResult],
    probabilities: Mapping[str, Float32Array],
    pool: Pool,
    constraints: Constraints,
    *,
    seed: int,
    provenance: Mapping[str, Any],
) -> Selection:
    """Compare models by their results on all folds and their probabilities for each review of the pool, [N, C]."""
    resampled = _resampled_accuracies(probabilities, pool, seed)
    candidates = [
        _candidate([each for each in results if each.model == name], probabilities[name], accuracies, pool, constraints)
        for name, accuracies in resampled.items()
    ]
    candidates.sort(key=lambda each: (-each.accuracy, each.log_loss))
    best = next((each for each in candidates if not each.misses), None)
    if best is not None:
        candidates = [each if each is best else _compared(each, best, resampled) for each in candidates]
    selection = Selection(
        pool.splits.name,
        n=len(pool.labels),
        num_groups=_num_groups(pool),
        candidates=tuple(candidates),
        constraints=constraints,
        provenance=provenance,
    )
    if best is None:
        return replace(selection, nearest=min(candidates, key=lambda each: sum(each.misses.values())).model)
    as_good = [each for each in candidates if not each.misses and each.below_best_ci95 and each.below_best_ci95[0] <= 0]
    return replace(
        selection,
        most_accurate=best.model,
        as_good=tuple(each.model for each in as_good),
        recommended=recommended([best, *as_good]).model,
    )


def recommended(candidates: Sequence[Candidate]) -> Candidate:
    """Return the fastest of equally good models, or the smallest of those whose latency is about the same."""
    limit = (1 + _LATENCY_NOISE) * min(each.latency_ms_p50 for each in candidates)
    return min((each for each in candidates if each.latency_ms_p50 <= limit), key=lambda each: each.size_bytes)


def _resampled_accuracies(
    probabilities: Mapping[str, Float32Array], pool: Pool, seed: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Return each model's accuracy on bootstrap samples of whole groups, the same samples for all models."""
    is_right = np.stack([predicted.argmax(axis=1) == pool.labels for predicted in probabilities.values()])
    samples = draws([str(unit) for unit in pool.unit], seed=seed)
    accuracies = np.stack([is_right[:, sample].mean(axis=1) for sample in samples], axis=1)
    return dict(zip(probabilities, accuracies, strict=True))


def _candidate(
    results: Sequence[FoldResult],
    probabilities: Float32Array,
    resampled: npt.NDArray[np.float64],
    pool: Pool,
    constraints: Constraints,
) -> Candidate:
    results = sorted(results, key=lambda each: each.fold)
    accuracy = float((probabilities.argmax(axis=1) == pool.labels).mean())
    latency_ms = float(np.median([each.latency_ms_p50 for each in results]))
    size_bytes = max(each.size_bytes for each in results)
    # If all predictions are right, so are all samples; the number of groups still bounds what that proves.
    interval = _interval(resampled) if 0 < accuracy < 1 else wilson_interval(accuracy, _num_groups(pool))
    return Candidate(
        results[0].model,
        accuracy=accuracy,
        accuracy_ci95=interval,
        log_loss=log_loss(pool.labels, probabilities),
        latency_ms_p50=latency_ms,
        size_bytes=size_bytes,
        parameters=max(each.parameters for each in results),
        train_seconds=round(sum(each.train_seconds for each in results), 2),
        fold_accuracies=tuple(each.accuracy for each in results),
        misses=constraints.misses(accuracy=accuracy, latency_ms=latency_ms, size_bytes=size_bytes),
    )


def _compared(candidate: Candidate, best: Candidate, resampled: Mapping[str, npt.NDArray[np.float64]]) -> Candidate:
    interval = _interval(resampled[best.model] - resampled[candidate.model])
    return replace(candidate, below_best=best.accuracy - candidate.accuracy, below_best_ci95=interval)


def _num_groups(pool: Pool) -> int:
    return int(pool.unit.max()) + 1


def _interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    interval = percentile_interval(values)
    assert interval is not None, "an accuracy is finite"
    return interval
