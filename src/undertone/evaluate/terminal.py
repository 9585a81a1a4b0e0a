"""Results as a table in the terminal."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from undertone.evaluate.results import Result


def render(results: Sequence[Result], console: Console) -> None:
    """Print one table for each data set and split, the most accurate model first."""
    ordered = sorted(results, key=lambda result: (result.data, result.split, -result.accuracy, result.model))
    for (data, split), group in groupby(ordered, key=lambda result: (result.data, result.split)):
        members = list(group)
        table = Table(title=f"{data}, {split}: {members[0].n:,} reviews", title_justify="left")
        table.add_column("model", no_wrap=True)
        for column in (
            "accuracy % (95 %)",
            "F1 %",
            "AUC",
            "log loss",
            "ECE %",
            "reviews/s",
            "p50 ms",
            "p99 ms",
            "MB",
        ):
            table.add_column(column, justify="right")
        for result in members:
            table.add_row(result.model, *_cells(result))
        console.print(table)


def _cells(result: Result) -> tuple[str, ...]:
    low, high = result.accuracy_ci95
    return (
        f"{100 * result.accuracy:.2f} ({100 * low:.2f}–{100 * high:.2f})",
        f"{100 * result.f1:.2f}",
        "–" if result.auc is None else f"{result.auc:.4f}",
        f"{result.log_loss:.4f}",
        f"{100 * result.ece:.2f}",
        f"{result.reviews_per_second:,.0f}",
        f"{result.latency_ms.p50:.3g}",
        f"{result.latency_ms.p99:.3g}",
        f"{result.size_bytes / 1e6:.2f}",
    )
