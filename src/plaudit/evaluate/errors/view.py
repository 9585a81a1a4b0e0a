"""What is wrong with a model's verdicts, as three tables in the terminal."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from plaudit.evaluate.errors.mistakes import Errors


def render(errors: Errors, console: Console) -> None:
    """Print how many verdicts are wrong, doubtful labels, words that drive errors, and the surest mistakes."""
    console.print(
        f"{errors.model} on {errors.data}, {errors.split}: {errors.num_wrong:,} of {errors.n:,} judged wrongly",
        highlight=False,
        markup=False,
    )
    noise = _table(
        f"labels that are probably wrong: {errors.num_doubtful:,}", "review", "label", "probability of it", "judged"
    )
    for doubtful in errors.noise:
        noise.add_row(*_cells(doubtful.id, doubtful.label, f"{doubtful.probability:.3f}", doubtful.predicted))
    words = _table("words that drive errors", "word", "towards", "mistakes", "mean log-odds")
    for word in errors.words:
        words.add_row(*_cells(word.word, word.towards, f"{word.count:,}", f"{word.mean_contribution:+.2f}"))
    mistakes = _table("surest mistakes", "review", "label", "judged", "training reviews like it")
    for mistake in errors.mistakes:
        near = "\n".join(f"{each.id} {each.label} {each.similarity:.2f}" for each in mistake.nearest)
        verdict = f"{mistake.predicted} {mistake.probability:.3f}"
        mistakes.add_row(*_cells(mistake.id, mistake.label, verdict, near or "–"))
    for table in (noise, words, mistakes):
        if table.row_count:
            console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _cells(*values: str) -> tuple[str, ...]:
    return tuple(map(escape, values))
