"""What was tried before the model was trained: the candidates of a choice by cross-validation."""

from collections.abc import Sequence

from plaudit.report.document import Section, Table, columns, literal
from plaudit.report.numbers import bare_percent
from plaudit.report.run_folder import RunFolder

NUM_CANDIDATES = 8


def tried(runs: Sequence[RunFolder]) -> Section:
    """A table of the best candidates of each choice, the chosen one marked."""
    tables = []
    for choice in (run.choice for run in runs if run.choice is not None and run.choice.candidates):
        best = sorted(choice.candidates, key=lambda one: (not one.chosen, one.log_loss))[:NUM_CANDIDATES]
        rows = tuple(
            (
                literal(one.candidate),
                bare_percent(one.accuracy),
                f"{one.log_loss:.4f}",
            )
            for one in best
        )
        caption = (
            f"{len(rows)} of {len(choice.candidates)} candidates in cross-validation: {choice.num_folds} folds of "
            f"{choice.num_texts:,} texts, none of them of the test; the first was chosen"
        )
        tables.append(Table(caption, columns("Candidate", "#Accuracy, %", "#Log loss"), rows))
    return Section("tried", "What was tried", tuple(tables))
