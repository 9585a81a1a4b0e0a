"""What `plaudit train FILE` prints: what it found, what it chose, how good that is, and what to do with it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer
from rich.console import Console

from plaudit.automl.choose import BUDGET_SECONDS, STARTS
from plaudit.automl.own_file import Trained, train_file
from plaudit.cli.base import remark
from plaudit.evaluate.classes import cautions
from plaudit.settings import override


def train_own_file(
    source: Path,
    out: Path,
    assignments: Sequence[str],
    files: Mapping[str, Path | None],
    start: str,
    budget: float | None,
    *,
    curve: bool,
    resume: bool,
    console: Console,
    as_json: bool,
) -> None:
    """Train on a file and print the outcome."""
    further = {name: str(path) for name, path in files.items() if path is not None}
    named = [assignment.removeprefix("data.") for assignment in assignments]
    data = override({"name": str(source), **further}, named)
    starts = STARTS if start == "auto" else () if start == "none" else (start,)
    seconds = BUDGET_SECONDS if budget is None else budget
    trained = train_file(data, out, starts=starts, budget_seconds=seconds, resume=resume, console=console)
    if curve:
        from plaudit.automl.curve import draw_curve

        drawn = draw_curve(out, console=console)
        if not as_json:
            remark(Console(), f"accuracy by number of labels: {drawn}")
    if as_json:
        typer.echo(json.dumps({**trained.result.model_dump(mode="json"), "folder": str(trained.folder)}, indent=1))
        return
    for line in outcome(trained, out):
        remark(Console(), line)


def outcome(trained: Trained, out: Path) -> list[str]:
    """Return the lines that say how good the model is and how to use it."""
    result = trained.result
    low, high = result.accuracy_ci95
    lines = [
        f"{result.accuracy:.1%} of {result.n:,} held-out texts are classified correctly "
        f"(95 % interval {low:.1%} to {high:.1%})"
    ]
    lines += [f"  {baseline.accuracy:.1%} by {baseline.model}" for baseline in trained.baselines]
    lines += cautions([result])
    chosen = next(entry for entry in trained.choice["candidates"] if entry["chosen"])
    lines.append(f"chosen of {len(trained.choice['candidates'])} candidates: {chosen['candidate']}")
    if trained.choice["stopped_by_budget"]:
        lines.append("time was up before all candidates were compared; a larger --budget compares more")
    return [
        *lines,
        "",
        f'plaudit predict --model {trained.folder} "a text"',
        f"plaudit serve --model {trained.folder}",
        f"python -c \"import plaudit; print(plaudit.load('{trained.folder}')('a text'))\"",
        "",
        f"report: {trained.report}; the recipe that trains it again: {out / 'recipe.toml'}",
    ]
