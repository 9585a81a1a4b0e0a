"""Progress of a scoring job: a bar with the rows written and the time that is left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import TaskProgressColumn

from plaudit.console import progress

Progress = Callable[[int, int], None]
"""Called after each batch with the number of rows written and of input bytes read since the last call."""


@contextmanager
def scoring_progress(what: str, *, total_bytes: int, console: Console) -> Iterator[Progress]:
    """Show a bar while the block runs; a `total_bytes` of 0 is not known."""
    num_rows = num_bytes = 0
    with progress(console, what, total=total_bytes or None, columns=(TaskProgressColumn(),)) as show:

        def advance(more_rows: int, more_bytes: int) -> None:
            nonlocal num_rows, num_bytes
            num_rows += more_rows  # between threads a count may be lost, which only the screen shows
            num_bytes += more_bytes
            show(num_bytes, f"{num_rows:,} rows")

        yield advance
