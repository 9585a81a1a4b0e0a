"""Ranks the models scored on one split; models that differ only in their seed are one entry, averaged over seeds."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from plaudit.evaluate.results import BASELINE, Result
from plaudit.report.run_folder import RunFolder

# Two-sided 95 % points of Student's t, by degrees of freedom.
_T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True)
class Entry:
    """One model on one split, trained with one seed or several; figures other than accuracy are the first seed's."""

    runs: tuple[str, ...]
    results: tuple[Result, ...]

    @property
    def first(self) -> Result:
        """The result of the first seed."""
        return self.results[0]

    @property
    def name(self) -> str:
        """The model's name and its run's, which together are unique."""
        return f"{self.first.model} ({self.runs[0]})"

    @property
    def is_baseline(self) -> bool:
        """Whether it only stands for comparison."""
        return self.first.kind == BASELINE

    @cached_property
    def accuracy(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(result.accuracy for result in self.results)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Of one seed, Wilson's 95 % interval over texts; of several, Student's over seeds."""
        if len(self.results) == 1:
            return self.first.accuracy_ci95
        spread = statistics.stdev(result.accuracy for result in self.results)
        freedom = len(self.results) - 1
        half = _T_95[min(freedom, len(_T_95)) - 1] * spread / len(self.results) ** 0.5
        return max(0.0, self.accuracy - half), min(1.0, self.accuracy + half)


@dataclass(frozen=True)
class Leaderboard:
    """The models that were scored on one split of one data set, the most accurate first."""

    data: str
    split: str
    entries: tuple[Entry, ...]

    @property
    def n(self) -> int:
        """How many texts the split has."""
        return self.best.first.n

    @property
    def models(self) -> tuple[Entry, ...]:
        """The entries that are no baselines, or all if there are only baselines."""
        return tuple(entry for entry in self.entries if not entry.is_baseline) or self.entries

    @property
    def best(self) -> Entry:
        """The most accurate model."""
        return self.models[0]

    @property
    def has_several_runs(self) -> bool:
        """Whether a model's name alone may not say which one is meant."""
        return len({run for entry in self.entries for run in entry.runs}) > 1

    def name_of(self, entry: Entry) -> str:
        """Return the model's name, and its run's where there are several."""
        return entry.name if self.has_several_runs else entry.first.model

    @property
    def fastest(self) -> Entry:
        """The model with the highest throughput."""
        return max(self.models, key=lambda entry: entry.first.reviews_per_second)

    @property
    def smallest(self) -> Entry:
        """The model with the smallest files."""
        return min(self.models, key=lambda entry: entry.first.size_bytes)


def leaderboards(runs: Sequence[RunFolder]) -> list[Leaderboard]:
    """Return a leaderboard for each set of texts, test splits first and then the one with the most texts."""
    splits: dict[tuple[str, str, str], dict[str, list[tuple[str, Result]]]] = {}
    for run in runs:
        for result in run.results:
            models = splits.setdefault((result.data, result.split, result.data_digest), {})
            models.setdefault(_identity(run, result), []).append((run.name, result))
    boards = [
        Leaderboard(data, split, tuple(sorted(map(_entry, models.values()), key=lambda e: (-e.accuracy, e.name))))
        for (data, split, _), models in splits.items()
    ]
    return sorted(boards, key=lambda board: (board.split != "test", -board.n, board.data, board.split))


def _identity(run: RunFolder, result: Result) -> str:
    """Return what the seeds of one model share: its name and settings, or the run if the settings are unknown."""
    if result.recipe is None or result.seed is None:
        return f"{run.name} {result.model}"
    settings = result.recipe.get("models", {}).get(result.model)
    return f"{result.model} {json.dumps([settings, result.recipe.get('data')], sort_keys=True)}"


def _entry(members: Sequence[tuple[str, Result]]) -> Entry:
    by_seed = {result.seed: (name, result) for name, result in reversed(members)}
    ordered = [by_seed[seed] for seed in sorted(by_seed, key=lambda seed: seed or 0)]
    return Entry(tuple(name for name, _ in ordered), tuple(result for _, result in ordered))
