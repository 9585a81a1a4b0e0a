"""The rows of a pruning sweep, and their averages over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SweepRow:
    """One pruned model; schedule is "whole" (not pruned), "one shot" or "gradual"."""

    schedule: str
    ratio: float
    seed: int
    validation_accuracy: float
    size_bytes: int
    parameters: int
    reviews_per_second: float


def summary(rows: Sequence[SweepRow]) -> list[dict[str, Any]]:
    """Return for each schedule and ratio the mean accuracy, its least and greatest, and the mean speed and size."""
    groups: dict[tuple[str, float], list[SweepRow]] = {}
    for row in rows:
        groups.setdefault((row.schedule, row.ratio), []).append(row)
    table = []
    for (schedule, ratio), members in sorted(groups.items(), key=lambda item: (item[0][1], item[0][0])):
        accuracies = [row.validation_accuracy for row in members]
        table.append(
            {
                "schedule": schedule,
                "ratio": ratio,
                "seeds": len(members),
                "accuracy": sum(accuracies) / len(accuracies),
                "lowest": min(accuracies),
                "highest": max(accuracies),
                "reviews_per_second": sum(row.reviews_per_second for row in members) / len(members),
                "size_bytes": sum(row.size_bytes for row in members) / len(members),
                "parameters": sum(row.parameters for row in members) / len(members),
            }
        )
    return table
