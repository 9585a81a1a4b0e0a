"""Composes the paper: the report's chapters on all runs, and between them those on studies."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paper.related_work import related_work
from paper.studies import cleaning, compression, distributed
from plaudit.report.document import Document, Section, Table, columns
from plaudit.report.leaderboard import leaderboards
from plaudit.report.run_folder import RunFolder
from plaudit.report.sections import summary
from plaudit.report.sections.errors import error_analysis
from plaudit.report.sections.evaluation import evaluation
from plaudit.report.sections.models import data, method, training
from plaudit.report.sections.robustness import robustness


def compose(runs: Sequence[RunFolder], studies: Path) -> Document:
    """Build the paper from runs and the studies' files in a folder; it quotes no review."""
    boards = leaderboards(runs)
    main = boards[0]

    def study(name: str) -> Any:  # noqa: ANN401  # what a bench script wrote
        lines = (studies / name).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines] if name.endswith(".jsonl") else json.loads("\n".join(lines))

    return Document(
        title=summary.title(main),
        kicker=summary.kicker(main),
        abstract=summary.abstract(runs, main),
        tiles=summary.tiles(main),
        sections=(
            data(runs),
            related_work(),
            method(boards),
            cleaning(study),
            training(runs),
            compression(study, main),
            distributed(study),
            evaluation(runs, boards),
            error_analysis(runs, main, excerpt_characters=0),
            robustness(runs),
            summary.limits(boards),
            Section("reproduce", "How to reproduce this", (summary.measurements(runs), _commands(runs))),
        ),
    )


def _commands(runs: Sequence[RunFolder]) -> Table:
    rows = []
    for run in runs:
        recipes = {(str((result.recipe or {}).get("name", "–")), result.seed) for result in run.results}
        models = ", ".join(result.model for result in run.results)
        rows += [
            (run.name, f"`plaudit run {recipe}.toml" + (f" --set seed={seed}`" if seed else "`"), models)
            for recipe, seed in sorted(recipes, key=str)
        ]
    caption = "How to reproduce each run; all settings are in its results.json under recipe"
    return Table(caption, columns("Run", "Command", "Models"), tuple(rows))
