"""Composes the paper: the report's chapters on all runs, and between them those on studies."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paper.related_work import related_work
from paper.studies import cleaning, compression, distributed
from plaudit.report.document import Document, Paragraph, Section, Table, columns
from plaudit.report.leaderboard import Leaderboard, leaderboards
from plaudit.report.run_folder import RunFolder
from plaudit.report.sections import summary
from plaudit.report.sections.data import data
from plaudit.report.sections.errors import error_analysis
from plaudit.report.sections.evaluation import evaluation
from plaudit.report.sections.models import method, training
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
        cautions=summary.cautions(main),
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
            limits(boards),
            Section("reproduce", "How to reproduce this", (summary.measurements(runs), _commands(runs))),
        ),
    )


def limits(boards: Sequence[Leaderboard]) -> Section:
    """What these figures do not show."""
    entries = [entry for board in boards for entry in board.entries]
    results = [result for entry in entries for result in entry.results]
    once = sum(len(entry.results) == 1 for entry in entries)
    texts = [
        f"{once} of {len(entries)} models were trained with one seed: their intervals are over reviews and do not "
        "cover what another seed would give.",
        "Many pairs of models are compared, so a few p-values below 0.05 are to be expected by chance.",
        "Speeds are of one machine; if it is shared, they vary by a third from hour to hour. Ratios measured in one "
        "run are more reliable.",
        "The reviews of one data set cover their own films, years and writers; for reviews of other kinds see "
        "Robustness, where tested.",
    ]
    if all(result.hardware.gpu is None for result in results):
        texts.append("Nothing here was run on a GPU.")
    if dirty := sorted({result.model for result in results if result.commit.endswith("-dirty")}):
        texts.append(f"The code that scored {', '.join(dirty)} had uncommitted changes.")
    return Section("limits", "Limits", tuple(map(Paragraph, texts)))


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
