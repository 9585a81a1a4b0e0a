"""Figures of models on folds in, the comparison out: what keeps to the constraints, what is as good, what to take."""

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
_SAME_LATENCY = 0.1
"""Share by which timings of one model differ from run to run."""


@dataclass(frozen=True)
class Constraints:
    """What a model must keep to: milliseconds for one review (median), 1e6 bytes, percent of reviews judged right."""

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
        """Return by how much a model misses each constraint that it misses, as a share of what was asked for."""
        excess = {}
        if self.max_latency_ms is not None:
            excess["latency_ms"] = latency_ms / self.max_latency_ms - 1
        if self.max_size_mb is not None:
            excess["size_mb"] = size_bytes / 1e6 / self.max_size_mb - 1
        if self.min_accuracy is not None:
            excess["accuracy"] = 1 - 100 * accuracy / self.min_accuracy
        return {name: round(share, 5) for name, share in excess.items() if share > 0}


@dataclass(frozen=True)
class Row:
    """One model on one fold; `fold` counts from 1."""

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
    """One model over all folds: pooled figures, the median latency, the largest size, seconds in all.

    `below_best` is by how much less of the reviews it gets right than the most accurate model that keeps to the
    constraints, with its 95 % interval; None for that model, and where none keeps to them.
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
    """The comparison: `most_accurate` among what keeps to the constraints, and what is `as_good` as far as the reviews
    can tell; `recommended` is the fastest of those, or the smallest of those about as fast. Without such a model all
    three are empty, and `nearest` misses least.
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


def choose(
    rows: Sequence[Row],
    probabilities: Mapping[str, Float32Array],
    pool: Pool,
    constraints: Constraints,
    *,
    seed: int,
    provenance: Mapping[str, Any],
) -> Selection:
    """Compare models by their rows of all folds and by what they say of each review of the pool, float32 [N, C]."""
    candidates, best = _candidates(rows, probabilities, pool, constraints, seed=seed)
    return _decided(candidates, best, pool, constraints, provenance)


def _candidates(
    rows: Sequence[Row],
    probabilities: Mapping[str, Float32Array],
    pool: Pool,
    constraints: Constraints,
    *,
    seed: int,
) -> tuple[list[Candidate], int | None]:
    """Return the pooled figures of each model, most accurate first, and the place of the best that may be chosen.

    All models are judged on the same draws, so that a difference is between the two on the same reviews.
    """
    names = list(probabilities)
    right = np.stack([said.argmax(axis=1) == pool.labels for said in probabilities.values()])
    drawn = np.stack(
        [right[:, chosen].mean(axis=1) for chosen in draws([str(unit) for unit in pool.unit], seed=seed)], axis=1
    )
    # No draw differs from the next where all are right; as many groups as there are set a bound all the same.
    num_groups = int(pool.unit.max()) + 1
    candidates = []
    for i, name in enumerate(names):
        own = sorted((row for row in rows if row.model == name), key=lambda row: row.fold)
        accuracy = float(right[i].mean())
        latency_ms = float(np.median([row.latency_ms_p50 for row in own]))
        size_bytes = max(row.size_bytes for row in own)
        candidates.append(
            Candidate(
                name,
                accuracy=accuracy,
                accuracy_ci95=_interval(drawn[i]) if 0 < accuracy < 1 else wilson_interval(accuracy, num_groups),
                log_loss=log_loss(pool.labels, probabilities[name]),
                latency_ms_p50=latency_ms,
                size_bytes=size_bytes,
                parameters=max(row.parameters for row in own),
                train_seconds=round(sum(row.train_seconds for row in own), 2),
                fold_accuracies=tuple(row.accuracy for row in own),
                misses=constraints.misses(accuracy=accuracy, latency_ms=latency_ms, size_bytes=size_bytes),
            )
        )
    order = sorted(range(len(names)), key=lambda i: (-candidates[i].accuracy, candidates[i].log_loss))
    best = next((i for i in order if not candidates[i].misses), None)
    if best is not None:
        for i in set(order) - {best}:
            below = candidates[best].accuracy - candidates[i].accuracy
            interval = _interval(drawn[best] - drawn[i])
            candidates[i] = replace(candidates[i], below_best=below, below_best_ci95=interval)
    return [candidates[i] for i in order], None if best is None else order.index(best)


def _decided(
    candidates: Sequence[Candidate],
    best: int | None,
    pool: Pool,
    constraints: Constraints,
    provenance: Mapping[str, Any],
) -> Selection:
    selection = Selection(
        pool.splits.name,
        n=len(pool.labels),
        num_groups=int(pool.unit.max()) + 1,
        candidates=tuple(candidates),
        constraints=constraints,
        provenance=provenance,
    )
    if best is None:
        return replace(selection, nearest=min(candidates, key=lambda each: sum(each.misses.values())).model)
    as_good = [each for each in candidates if not each.misses and each.below_best_ci95 and each.below_best_ci95[0] <= 0]
    good = [candidates[best], *as_good]
    fast = (1 + _SAME_LATENCY) * min(each.latency_ms_p50 for each in good)
    recommended = min((each for each in good if each.latency_ms_p50 <= fast), key=lambda each: each.size_bytes)
    return replace(
        selection,
        most_accurate=candidates[best].model,
        as_good=tuple(each.model for each in as_good),
        recommended=recommended.model,
    )


def _interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    interval = percentile_interval(values)
    assert interval is not None, "a share of reviews is finite"
    return interval
