"""Score one part of a job: some rows of a file in, a complete file of scored rows out, in constant memory.

With a pool, one thread reads, those of the pool score, and the calling thread writes in the order of the rows. Without
one, the calling thread does all of it. The output is the same.
"""

import json
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from plaudit.data.columns import no_usual_column, usual_column
from plaudit.data.formats.location import Location
from plaudit.data.formats.open import (
    batch_schema,
    column_names,
    find_format,
    open_batches,
    unknown_column,
)
from plaudit.data.formats.read_options import ReadOptions
from plaudit.data.formats.rows import ReadLog, UnreadableRow
from plaudit.errors import DataError
from plaudit.scale.arrow_scorer import ArrowScorer, added_columns
from plaudit.scale.progress import Progress
from plaudit.scale.writers import WRITERS
from plaudit.settings import Settings
from plaudit.storage import replacing

_READ_AHEAD = 2


class Columns(Settings):
    """Which columns of a file are read and written."""

    known: tuple[str, ...]
    """All columns that the first file has."""
    text: str
    """The column of texts."""
    carried: tuple[str, ...]
    """The columns that are written next to the scores."""
    keep_types: bool
    """Whether they keep the types that Parquet gives them; else all are strings."""
    read_options: ReadOptions = ReadOptions()
    """How the files are written."""

    @property
    def read(self) -> tuple[str, ...]:
        """All that is read."""
        return self.carried if self.text in self.carried else (*self.carried, self.text)

    @property
    def kept(self) -> tuple[str, ...]:
        """The columns that keep their type."""
        return tuple(name for name in self.carried if name != self.text) if self.keep_types else ()


class Counts(NamedTuple):
    """How many rows were written, how many of these have no text or no label, and how many rows were rejected."""

    rows: int = 0
    rows_without_text: int = 0
    abstained: int = 0
    rejected: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Return the sums."""
        return Counts(*(one + more for one, more in zip(self, other, strict=True)))


def choose_columns(
    first: Location,
    labels: Sequence[str],
    read_options: ReadOptions | None = None,
    *,
    text: str | None,
    drop: Sequence[str],
    rejects: bool,
) -> Columns:
    """Choose what is read of a job's files by the columns of the first, all as strings.

    DataError if there is no column `text` or to `drop`, or if one has a name that scores are written under.
    """
    names = column_names(first, read_options, log=ReadLog(lambda _: None) if rejects else None)
    names = names or column_names(first, read_options)
    for name in added_columns(labels):
        if name in names:
            raise DataError(f"{first}: has a column {name!r} already; rename it, scores are written under that name")
    for name in [*([text] if text else []), *drop]:
        if name not in names:
            raise DataError(f"{first}: {unknown_column(name, names)}")
    text = text or usual_column(names, "text")
    if text is None:
        raise DataError(f"{first}: {no_usual_column('text', names)}")
    carried = tuple(name for name in names if name not in drop)
    return Columns(
        known=tuple(names), text=text, carried=carried, keep_types=False, read_options=read_options or ReadOptions()
    )


class ScoringPool(NamedTuple):
    """Threads that score, and how many batches may wait to be written."""

    threads: ThreadPoolExecutor
    ahead: int


def score_part(
    scorer: ArrowScorer,
    source: Location,
    out: Path,
    *,
    columns: Columns,
    row_groups: tuple[int, int] | None,
    rejected_to: Path | None,
    pool: ScoringPool | None,
    progress: Progress,
) -> Counts:
    """Score a file, or some row groups of it, into `out`; rows that cannot be read go to `rejected_to`.

    Without `rejected_to` such a row is a DataError, as is a file with other columns than the job's first. OutputError
    if `out` cannot be written.
    """
    _check_columns(source, columns)
    counts, bytes_read = Counts(), 0
    carried = batch_schema(source, columns.carried, keep_types_of=columns.kept)
    schema = pa.schema([*carried, *scorer.schema])

    def score(batch: pa.RecordBatch) -> pa.RecordBatch:
        return scored(scorer, batch, columns, schema)

    with (
        replacing(out) as temporary,
        _rejected_rows(source, rejected_to) as log,
        WRITERS[out.suffix.lower()](temporary, schema) as write,
        closing(
            open_batches(
                source, columns.read, columns.read_options, log=log, keep_types_of=columns.kept, row_groups=row_groups
            )
        ) as batches,
        closing(_map(score, batches) if pool is None else _map_in_pool(score, batches, pool)) as scored_batches,
    ):
        for batch in scored_batches:
            write(batch)
            without_text = batch.column(-1).null_count  # the last label's probability
            abstained = batch.column(len(columns.carried)).null_count - without_text
            counts = counts.plus(Counts(batch.num_rows, without_text, abstained))
            progress(batch.num_rows, log.bytes_read - bytes_read)
            bytes_read = log.bytes_read
    return counts._replace(rejected=log.num_unreadable)


def scored(scorer: ArrowScorer, batch: pa.RecordBatch, columns: Columns, schema: pa.Schema) -> pa.RecordBatch:
    """Return the columns to carry of a batch, and its scores."""
    carried = [batch.column(name) for name in columns.carried]
    return pa.RecordBatch.from_arrays([*carried, *scorer.columns(batch.column(columns.text))], schema=schema)


def _check_columns(source: Location, columns: Columns) -> None:
    """DataError if the file lacks a column, or has one that would be left out silently."""
    if find_format(source, columns.read_options).kind == "JSON lines":
        return  # whose first row need not have all fields
    names = column_names(source, columns.read_options)
    for name in columns.read:
        if name not in names:
            raise DataError(f"{source}: {unknown_column(name, names)}; the first file has it")
    new = [name for name in names if name not in columns.known]
    if new:
        known = ", ".join(map(repr, columns.known[:20]))
        raise DataError(f"{source}: has a column {new[0]!r}, the first file only {known}; score it in a job of its own")


@contextmanager
def _rejected_rows(source: Location, path: Path | None) -> Iterator[ReadLog]:
    """Yield a log that writes unreadable rows to a side file, which only exists if there are any."""
    if path is None:
        yield ReadLog()
        return
    with ExitStack() as files:
        write: Callable[[str], object] | None = None

        def reject(row: UnreadableRow) -> None:
            nonlocal write
            if write is None:
                temporary = files.enter_context(replacing(path))
                # Half of a surrogate pair is not UTF-8, but its escape is JSON.
                file = temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
                write = files.enter_context(file).write
            write(json.dumps({"file": str(source), **row._asdict()}, ensure_ascii=False) + "\n")

        log = ReadLog(reject)
        yield log
        if log.num_unreadable == 0:
            path.unlink(missing_ok=True)  # of an earlier job


_Score = Callable[[pa.RecordBatch], pa.RecordBatch]
_Batches = Generator[pa.RecordBatch, None, None]


def _map(score: _Score, batches: Iterator[pa.RecordBatch]) -> _Batches:
    yield from map(score, batches)


def _map_in_pool(score: _Score, batches: Iterator[pa.RecordBatch], pool: ScoringPool) -> _Batches:
    waiting: deque[Future[pa.RecordBatch]] = deque()
    with closing(_read_ahead(batches)) as read:
        for batch in read:
            waiting.append(pool.threads.submit(score, batch))
            if len(waiting) > pool.ahead:
                yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _read_ahead(batches: Iterator[pa.RecordBatch]) -> _Batches:
    with ThreadPoolExecutor(1, "plaudit-reader") as reader:
        waiting = deque(reader.submit(next, batches, None) for _ in range(_READ_AHEAD))
        while (batch := waiting.popleft().result()) is not None:
            waiting.append(reader.submit(next, batches, None))
            yield batch
