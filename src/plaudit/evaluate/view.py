"""Results as a table in the terminal."""

from collections.abc import Sequence
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from plaudit.evaluate.results import Result


def render(results: Sequence[Result], console: Console) -> None:
    """Print one table for each data set and split, the most accurate model first."""
    ordered = sorted(results, key=lambda result: (result.data, result.split, -result.accuracy, result.model))
    for (data, split), group in groupby(ordered, key=lambda result: (result.data, result.split)):
        members = list(group)
        # No lines and one space between columns, so that a result and its interval fit the usual 80 characters.
        table = Table(
            title=f"{data}, {split}: {members[0].n:,} reviews",
            title_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        table.add_column("model", overflow="fold", min_width=8)
        for column in ("accuracy % (95 %)", "AUC", "ECE %", "reviews/s", "p99 ms", "MB"):
            table.add_column(column, justify="right", no_wrap=True)
        for result in members:
            table.add_row(result.model, *_cells(result))
        console.print(table)


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
