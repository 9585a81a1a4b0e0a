"""Robustness as one table in the terminal: a row for each test, a column for each model."""

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from plaudit.evaluate.robustness.results import ModelRobustness, Proportion, Robustness

MARK = "*"
_NAME_WIDTH = 36
_CELL_WIDTH = 19


def render(result: Robustness, console: Console) -> None:
    """Print the table; intervals are left out where they would not fit."""
    with_intervals = console.width >= _NAME_WIDTH + 6 + _CELL_WIDTH * len(result.models)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("%" + (" (95 % interval)" if with_intervals else ""), overflow="fold")
    table.add_column("n", justify="right", no_wrap=True)
    for entry in result.models:
        table.add_column(
            escape(entry.model) + ("" if entry.sources_left_out else MARK), justify="right", overflow="fold"
        )
    by_model = [dict(_rows(entry)) for entry in result.models]
    rows = sorted(dict.fromkeys(row for found in by_model for row in found), key=attrgetter("part"))
    for section, members in groupby(rows, key=attrgetter("section")):
        table.add_section()
        table.add_row(f"[bold]{escape(section)}[/]")
        for row in members:
            cells = [found.get(row) for found in by_model]
            n = next(cell.n for cell in cells if cell is not None)
            table.add_row(f"  {escape(row.name)}", f"{n:,}", *(_cell(cell, with_intervals) for cell in cells))
    console.print(table)
    for note in _notes(result):
        console.print(note, highlight=False, soft_wrap=True)


class _Row(NamedTuple):
    """Where a figure stands: parts are sorted by their number, rows of a part stay as they come."""

    part: int
    section: str
    name: str


def _rows(entry: ModelRobustness) -> Iterator[tuple[_Row, Proportion]]:
    for pairs in entry.pairs:
        for name in ("original", "edited", "both"):
            yield _Row(0, "edited pairs: right", f"{pairs.data}: {name}"), getattr(pairs, name)
    for foreign in entry.foreign:
        yield _Row(1, "other reviews: right", foreign.data), foreign.accuracy
    if entry.behaviour is not None:
        for capability in entry.behaviour.capabilities:
            yield _Row(2, f"{capability.kind}: failed", capability.name), capability.failed
    if entry.perturbed is not None:
        for level in entry.perturbed.levels:
            yield _Row(3, f"spoilt {entry.perturbed.data}: right", level.change), level.accuracy


def _cell(found: Proportion | None, with_interval: bool) -> str:
    if found is None:
        return "–"
    low, high = (100 * bound for bound in found.ci95)
    return f"{100 * found.share:.1f}" + (f" ({low:.1f}–{high:.1f})" if with_interval else "")


def _notes(result: Robustness) -> Iterator[str]:
    if any(entry.pairs and not entry.sources_left_out for entry in result.models):
        yield f"{MARK} may have learned from the reviews that pairs were made of (its recipe sets no data.leave_out)"
    noted = {pairs.data: pairs for entry in result.models for pairs in entry.pairs}
    for name, pairs in noted.items():
        if pairs.paired_by == "text":
            yield f"{name}: the rows of its two files do not belong together; paired by their wording"
        if pairs.unflipped:
            yield f"{name}: {pairs.unflipped} pairs have the same label twice"
