"""Composes the report on a run, section by section; a section with nothing to say is left out."""

from collections.abc import Sequence

from plaudit.report.document import Document
from plaudit.report.leaderboard import leaderboards
from plaudit.report.run_folder import RunFolder
from plaudit.report.sections import summary
from plaudit.report.sections.data import data
from plaudit.report.sections.errors import error_analysis
from plaudit.report.sections.evaluation import evaluation
from plaudit.report.sections.models import method, training
from plaudit.report.sections.next_steps import next_steps
from plaudit.report.sections.robustness import robustness
from plaudit.report.sections.tried import tried
from plaudit.report.sections.words import deciding_words


def compose(runs: Sequence[RunFolder], *, excerpt_characters: int) -> Document:
    """Build the report; DataError if predictions are damaged or match no result."""
    boards = leaderboards(runs)
    main = boards[0]
    return Document(
        title=summary.title(main),
        kicker=summary.kicker(main),
        cautions=summary.cautions(main),
        abstract=summary.abstract(runs, main),
        tiles=summary.tiles(main),
        sections=(
            evaluation(runs, boards),
            error_analysis(runs, main, excerpt_characters=excerpt_characters),
            deciding_words(runs),
            next_steps(runs, main),
            robustness(runs),
            tried(runs),
            data(runs),
            method(boards),
            training(runs),
            summary.recipe(runs),
        ),
    )
