"""A model's mistakes and doubtful labels as tables in the terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from plaudit.console import table
from plaudit.evaluate.errors.mistakes import Errors


def print_errors(errors: Errors, console: Console) -> None:
    """Print the number of mistakes, doubtful labels, misleading words, and the most confident mistakes."""
    summary = f"{errors.model} on {errors.data}, {errors.split}: {errors.num_wrong:,} of {errors.n:,} misclassified"
    console.print(summary, highlight=False, markup=False)
    doubtful = f"labels that are probably wrong: {errors.num_doubtful:,}"
    noise = _foldable("review", "label", "its probability", "predicted", title=doubtful)
    for label in errors.noise:
        noise.add_row(*map(escape, (label.id, label.label, f"{label.probability:.3f}", label.predicted)))
    words = _foldable("word", "towards", "mistakes", "mean log-odds", title="misleading words")
    for word in errors.words:
        words.add_row(*map(escape, (word.word, word.towards, f"{word.count:,}", f"{word.mean_contribution:+.2f}")))
    columns = ("review", "label", "predicted", "similar training reviews")
    mistakes = _foldable(*columns, title="most confident mistakes")
    for mistake in errors.mistakes:
        similar = "\n".join(f"{each.id} {each.label} {each.similarity:.2f}" for each in mistake.nearest)
        prediction = f"{mistake.predicted} {mistake.probability:.3f}"
        mistakes.add_row(*map(escape, (mistake.id, mistake.label, prediction, similar or "–")))
    for shown in (noise, words, mistakes):
        if shown.row_count:
            console.print(shown)


def _foldable(*columns: str, title: str) -> Table:
    shown = table(*columns, title=title)
    for column in shown.columns:
        column.overflow = "fold"
    return shown
