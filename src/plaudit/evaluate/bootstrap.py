"""Bootstrap intervals (Efron 1979): how much a figure would vary on other reviews like these.

Reviews of the same movie resemble each other, so they are resampled together (the cluster bootstrap, Field & Welsh
2007). Shapes: N reviews, B draws.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from plaudit.evaluate.metrics import Labels, Probabilities

NUM_DRAWS = 1_000
Interval = tuple[float, float]
Metrics = dict[str, Callable[[Labels, Probabilities], float]]


def draws(groups: Sequence[str | None], *, seed: int, num_draws: int = NUM_DRAWS) -> Iterator[npt.NDArray[np.int64]]:
    """Yield B times the rows of whole groups drawn with replacement; a review whose group is None is its own group.

    As many groups are drawn as there are, so the number of reviews varies around N.
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
    """Return the 95 % percentile interval of each metric; None if a draw leaves it undefined."""
    values = [
        [metric(labels[rows], probabilities[rows]) for metric in metrics.values()] for rows in draws(groups, seed=seed)
    ]
    return {name: percentile_interval(column) for name, column in zip(metrics, np.array(values).T, strict=True)}


def percentile_interval(values: npt.NDArray[np.float64]) -> Interval | None:
    """Return the 2.5th and 97.5th percentile of values [B], None if one of them is not finite."""
    if not np.isfinite(values).all():
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
