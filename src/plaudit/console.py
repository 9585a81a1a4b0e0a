"""How every verb prints tables, progress bars and the error for a missing extra."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from plaudit.errors import MissingExtraError

_EXTRA_OF_MODULE = {"transformers": "transformer", "tokenizers": "transformer"}
"""Modules that a block may lack although it asked for another extra: a recipe's model kind decides."""


def table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table; the cells of a column whose name begins with "#" are numbers, set to the right."""
    result = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        result.add_column(column.removeprefix("#"), justify="right" if column.startswith("#") else "left")
    return result


@contextmanager
def progress(
    console: Console,
    description: str,
    *,
    total: int | None,
    completed: int = 0,
    columns: tuple[ProgressColumn, ...] = (),
) -> Iterator[Callable[..., None]]:
    """Show a progress bar while the block runs, and yield a function that sets the number completed and a `note`.

    `columns` take the place of "n/total"; a `total` of None is not known. Nothing is shown unless on a terminal.
    """
    shown = columns or (MofNCompleteColumn(),)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *shown,
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(description, total=total, completed=completed, note="")
        yield lambda done, note="": bar.update(task, completed=done, note=note)


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Run the imports of an optional part; a module that is not installed becomes a MissingExtraError.

    `what` begins the sentence, as in "a report needs altair: pip install 'plaudit[report]'".
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module in ("", "plaudit"):
            raise
        raise missing_extra(_EXTRA_OF_MODULE.get(module, extra), f"{what} needs {module}") from None


def missing_extra(extra: str, what: str) -> MissingExtraError:
    """Return the error that says what is missing and how to install it."""
    return MissingExtraError(f"{what}: pip install 'plaudit[{extra}]'")
