"""Results put together: models that differ in their seed alone are one entry, with its interval over seeds."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from plaudit.evaluate.results import Result
from plaudit.report.evidence import Run

# Two-sided 95 % points of Student's t, by degrees of freedom.
_T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True)
class Scored:
    """One model on one split, made once or with several seeds; figures other than accuracy are of the first one."""

    runs: tuple[str, ...]
    results: tuple[Result, ...]

    @property
    def first(self) -> Result:
        """The result whose other figures are shown."""
        return self.results[0]

    @property
    def name(self) -> str:
        """The model's name and the first run's, which tells it from others of its name."""
        return f"{self.first.model} ({self.runs[0]})"

    @cached_property
    def accuracy(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(result.accuracy for result in self.results)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Of one model, Wilson's over reviews; of several, Student's t over seeds."""
        if len(self.results) == 1:
            return self.first.accuracy_ci95
        spread = statistics.stdev(result.accuracy for result in self.results)
        freedom = len(self.results) - 1
        half = _T_95[min(freedom, len(_T_95)) - 1] * spread / len(self.results) ** 0.5
        return self.accuracy - half, self.accuracy + half


@dataclass(frozen=True)
class Group:
    """What was scored on one split of one data set, the most accurate first."""

    data: str
    split: str
    n: int
    scored: tuple[Scored, ...]

    @property
    def best(self) -> Scored:
        """The most accurate model."""
        return self.scored[0]

    @property
    def fastest(self) -> Scored:
        """The model with the highest throughput."""
        return max(self.scored, key=lambda scored: scored.first.reviews_per_second)

    @property
    def smallest(self) -> Scored:
        """The model of the fewest bytes."""
        return min(self.scored, key=lambda scored: scored.first.size_bytes)


def groups(results: Iterable[tuple[Run, Result]]) -> list[Group]:
    """Put results on the same reviews together; that of most reviews on a test split leads the report."""
    by_key: dict[tuple[str, str, str], dict[str, list[tuple[str, Result]]]] = {}
    for run, result in results:
        entries = by_key.setdefault((result.data, result.split, result.data_digest), {})
        entries.setdefault(_identity(run, result), []).append((run.name, result))
    found = [
        Group(data, split, _num_reviews(entries.values()), tuple(sorted(map(_scored, entries.values()), key=_order)))
        for (data, split, _), entries in by_key.items()
    ]
    return sorted(found, key=lambda group: (group.split != "test", -group.n, group.data, group.split))


def _identity(run: Run, result: Result) -> str:
    """What results of several seeds have in common: the model's name and settings, or the run if they are not known."""
    if result.recipe is None or result.seed is None:
        return f"{run.name} {result.model}"
    settings = result.recipe.get("models", {}).get(result.model)
    return f"{result.model} {json.dumps([settings, result.recipe.get('data')], sort_keys=True)}"


def _scored(members: Sequence[tuple[str, Result]]) -> Scored:
    by_seed = {result.seed: (name, result) for name, result in reversed(members)}
    ordered = [by_seed[seed] for seed in sorted(by_seed, key=lambda seed: seed or 0)]
    return Scored(tuple(name for name, _ in ordered), tuple(result for _, result in ordered))


def _num_reviews(entries: Iterable[Sequence[tuple[str, Result]]]) -> int:
    return next(result.n for members in entries for _, result in members)


def _order(scored: Scored) -> tuple[float, str]:
    return -scored.accuracy, scored.name
