"""Robustness as one table in the terminal: a row for each test, a column for each model."""

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape

from plaudit.console import table
from plaudit.evaluate.robustness.results import ModelRobustness, Proportion, Robustness

MARK = "*"
_NAME_WIDTH = 36
_CELL_WIDTH = 19


def print_robustness(result: Robustness, console: Console) -> None:
    """Print the table and notes; intervals are omitted where they do not fit."""
    with_intervals = console.width >= _NAME_WIDTH + 6 + _CELL_WIDTH * len(result.models)
    models = [f"#{escape(entry.model)}{'' if entry.sources_left_out else MARK}" for entry in result.models]
    shown = table("%" + (" (95 % interval)" if with_intervals else ""), "#n", *models)
    for column in (shown.columns[0], *shown.columns[2:]):
        column.overflow = "fold"
    shown.columns[1].no_wrap = True
    by_model = [dict(_proportions(entry)) for entry in result.models]
    tests = sorted(dict.fromkeys(test for cells in by_model for test in cells), key=attrgetter("part"))
    for section, rows in groupby(tests, key=attrgetter("section")):
        shown.add_section()
        shown.add_row(f"[bold]{escape(section)}[/]")
        for test in rows:
            cells = [found.get(test) for found in by_model]
            n = next(cell.n for cell in cells if cell is not None)
            shown.add_row(f"  {escape(test.name)}", f"{n:,}", *(_cell(cell, with_intervals) for cell in cells))
    console.print(shown)
    for note in _notes(result):
        console.print(note, highlight=False, soft_wrap=True)


class _Test(NamedTuple):
    """A row of the table: sorted by `part`, under the heading `section`."""

    part: int
    section: str
    name: str


def _proportions(entry: ModelRobustness) -> Iterator[tuple[_Test, Proportion]]:
    for pairs in entry.pairs:
        for name in ("original", "edited", "both"):
            yield _Test(0, "edited pairs: accuracy", f"{pairs.data}: {name}"), getattr(pairs, name)
    for foreign in entry.foreign:
        yield _Test(1, "other reviews: accuracy", foreign.data), foreign.accuracy
    if entry.behaviour is not None:
        for capability in entry.behaviour.capabilities:
            yield _Test(2, f"{capability.kind}: failed", capability.name), capability.failed
    if entry.perturbed is not None:
        for level in entry.perturbed.levels:
            yield _Test(3, f"perturbed {entry.perturbed.data}: accuracy", level.change), level.accuracy


def _cell(proportion: Proportion | None, with_interval: bool) -> str:
    if proportion is None:
        return "–"
    low, high = (100 * bound for bound in proportion.ci95)
    return f"{100 * proportion.share:.1f}" + (f" ({low:.1f}–{high:.1f})" if with_interval else "")


def _notes(result: Robustness) -> Iterator[str]:
    if any(entry.pairs and not entry.sources_left_out for entry in result.models):
        yield f"{MARK} may have learned from the originals of the pairs (its recipe does not set data.leave_out)"
    for name, pairs in {pairs.data: pairs for entry in result.models for pairs in entry.pairs}.items():
        if pairs.paired_by == "text":
            yield f"{name}: the rows of its two files do not match; paired by their wording"
        if pairs.unflipped:
            yield f"{name}: {pairs.unflipped} pairs have the same label twice"
