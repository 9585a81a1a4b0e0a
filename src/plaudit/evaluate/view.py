"""Results as tables in the terminal."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console

from plaudit.console import table
from plaudit.evaluate.classes import cautions, largest_class
from plaudit.evaluate.results import Result


def print_results(results: Sequence[Result], console: Console) -> None:
    """Print one table for each data set and split, the most accurate model first."""
    ordered = sorted(results, key=lambda result: (result.data, result.split, -result.accuracy, result.model))
    for (data, split), group in groupby(ordered, key=lambda result: (result.data, result.split)):
        members = list(group)
        columns = ("#accuracy % (95 %)", "#AUC", "#ECE %", "#reviews/s", "#p99 ms", "#MB")
        shown = table("model", *columns, title=f"{data}, {split}: {members[0].n:,} reviews")
        shown.columns[0].overflow, shown.columns[0].min_width = "fold", 8
        for column in shown.columns[1:]:
            column.no_wrap = True
        for result in members:
            shown.add_row(result.model, *_cells(result))
        console.print(shown)
        label, share = largest_class(members[0])
        always = f"always answering {label}: {100 * share:.2f} % accuracy"
        for line in (always, *cautions(members)):
            console.print(line, highlight=False, markup=False, soft_wrap=True)


def _cells(result: Result) -> tuple[str, ...]:
    low, high = result.accuracy_ci95
    return (
        f"{100 * result.accuracy:.2f} ({100 * low:.2f}–{100 * high:.2f})",
        "–" if result.auc is None else f"{result.auc:.4f}",
        f"{100 * result.ece:.2f}",
        f"{result.reviews_per_second:,.0f}",
        f"{result.latency_ms.p99:,.2f}",
        f"{result.size_bytes / 1e6:.2f}",
    )
