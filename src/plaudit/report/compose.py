"""Composes the report on a run, section by section."""

from collections.abc import Sequence

from plaudit.report.document import Document
from plaudit.report.leaderboard import leaderboards
from plaudit.report.run_folder import RunFolder
from plaudit.report.sections import summary
from plaudit.report.sections.errors import error_analysis
from plaudit.report.sections.evaluation import evaluation
from plaudit.report.sections.models import data, method, training
from plaudit.report.sections.robustness import robustness


def compose(runs: Sequence[RunFolder], *, excerpt_characters: int) -> Document:
    """Build the report; DataError if predictions are damaged or match no result."""
    boards = leaderboards(runs)
    main = boards[0]
    return Document(
        title=summary.title(main),
        kicker=summary.kicker(main),
        abstract=summary.abstract(runs, main),
        tiles=summary.tiles(main),
        sections=(
            data(runs),
            method(boards),
            training(runs),
            evaluation(runs, boards),
            error_analysis(runs, main, excerpt_characters=excerpt_characters),
            robustness(runs),
            summary.limits(boards),
            summary.reproduce(runs),
        ),
    )
