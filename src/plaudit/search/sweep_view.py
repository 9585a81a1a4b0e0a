"""A pruning sweep as a table in the terminal."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console

from plaudit.console import table


def show(summary: Iterable[Mapping[str, Any]], console: Console) -> None:
    """Print the averages of a sweep, a row for each schedule and ratio."""
    rows = table("schedule", "#ratio %", "#accuracy %", "#reviews/s", "#MB", "#parameters")
    for row in summary:
        rows.add_row(
            row["schedule"],
            f"{100 * row['ratio']:.0f}",
            f"{100 * row['accuracy']:.2f} ({100 * row['lowest']:.2f}–{100 * row['highest']:.2f})",
            f"{row['reviews_per_second']:,.0f}",
            f"{row['size_bytes'] / 1e6:.2f}",
            f"{row['parameters']:,.0f}",
        )
    console.print(rows)
