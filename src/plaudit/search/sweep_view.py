"""A pruning sweep, drawn and as a table in the terminal."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from plaudit.bundle.locate import model_folder
from plaudit.errors import MissingExtraError
from plaudit.pipeline.compress import Task
from plaudit.search import sweep as sweeping
from plaudit.search.sweep_results import summary


def sweep(task: Task, out: Path, *, console: Console) -> list[dict[str, Any]]:
    """Prune by many ratios, draw what comes out, and return it as a table; an interrupted sweep goes on."""
    try:
        from plaudit.report.search_charts import pruning_sweep
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"a sweep is drawn by {error.name}: pip install 'plaudit[report]'") from None
    splits = task.splits(console)
    table = summary(sweeping.sweep(task.entry, splits, out, find=model_folder, console=console))
    (out / "sweep.svg").write_text(pruning_sweep(table), encoding="utf-8")
    return table


def render(table: Iterable[Mapping[str, Any]], console: Console) -> None:
    """Print a sweep."""
    shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("schedule", "ratio %", "accuracy %", "reviews/s", "MB", "parameters"):
        shown.add_column(column, justify="left" if column == "schedule" else "right")
    for row in table:
        shown.add_row(
            row["schedule"],
            f"{100 * row['ratio']:.0f}",
            f"{100 * row['accuracy']:.2f} ({100 * row['lowest']:.2f}–{100 * row['highest']:.2f})",
            f"{row['reviews_per_second']:,.0f}",
            f"{row['size_bytes'] / 1e6:.2f}",
            f"{row['parameters']:,.0f}",
        )
    console.print(shown)
