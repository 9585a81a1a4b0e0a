"""How far a job has come, as a bar with the time that is left."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from plaudit.scale import part


@contextmanager
def shown_progress(what: str, *, total_bytes: int, console: Console) -> Iterator[part.Progress]:
    """Yield what is to be told of each batch; a `total_bytes` of 0 is not known."""
    bar = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeRemainingColumn(),
    )
    with Progress(*bar, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total_bytes or None, rows=0)
        num_rows = 0

        def tell(rows: int, num_bytes: int) -> None:
            nonlocal num_rows
            num_rows += rows  # a count lost between threads is a count on a screen
            progress.update(task, advance=num_bytes, rows=num_rows)

        yield tell
