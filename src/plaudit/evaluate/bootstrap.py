"""Intervals by the bootstrap (Efron 1979): what a figure would be on other reviews like these.

Reviews of one movie are drawn together (Field & Welsh 2007, the cluster bootstrap), for they resemble each other more
than others do. Shapes: N reviews, B draws.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from plaudit.evaluate.metrics import Labels, Probabilities

NUM_DRAWS = 1_000
Interval = tuple[float, float]
Metrics = dict[str, Callable[[Labels, Probabilities], float]]


def draws(groups: Sequence[str | None], *, seed: int, num_draws: int = NUM_DRAWS) -> Iterator[npt.NDArray[np.int64]]:
    """Yield, B times, the places of reviews drawn with replacement, whole groups at a time; None is a group of its own.

    As many groups are drawn as there are, so that the number of reviews varies around N.
    """
    named = [f"\0{i}" if group is None else group for i, group in enumerate(groups)]
    _, group = np.unique(named, return_inverse=True)
    by_group = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    starts = np.cumsum(sizes) - sizes
    rng = np.random.default_rng(seed)
    for _ in range(num_draws):
        drawn = rng.integers(len(sizes), size=len(sizes))
        counts = sizes[drawn]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        yield by_group[np.repeat(starts[drawn], counts) + within]


def intervals(
    metrics: Metrics, labels: Labels, probabilities: Probabilities, groups: Sequence[str | None], *, seed: int
) -> dict[str, Interval | None]:
    """Return the 95 % percentile interval of each metric; None for one that a draw leaves undefined."""
    values = [
        [metric(labels[rows], probabilities[rows]) for metric in metrics.values()] for rows in draws(groups, seed=seed)
    ]
    return {name: percentile_interval(column) for name, column in zip(metrics, np.array(values).T, strict=True)}


def percentile_interval(values: npt.NDArray[np.float64]) -> Interval | None:
    """Return what 95 of 100 of these [B] lie between, None if one of them is not finite."""
    if not np.isfinite(values).all():
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
