"""One part of a job: some rows of a file in, a file of scored rows out, whole or not at all, in constant memory.

Rows are read by one thread, scored by those of a pool, and written in their order by the thread that called. Without a
pool, one thread does all of it. What comes out is the same.
"""

import json
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from plaudit.data.formats.location import Location
from plaudit.data.formats.open import (
    JSON_SUFFIXES,
    batch_schema,
    column_names,
    file_suffix,
    open_batches,
    unknown_column,
)
from plaudit.data.formats.rows import ReadLog, UnreadableRow
from plaudit.errors import DataError
from plaudit.scale.scorer import Scorer
from plaudit.scale.writers import WRITERS
from plaudit.settings import Settings
from plaudit.storage import replacing

_HINT = "name a folder with room to write to"
_READ_AHEAD = 2


class Columns(Settings):
    """What is read of a file, and what of that is written."""

    known: tuple[str, ...]
    """All columns that the first file has."""
    text: str
    """The column of texts."""
    carried: tuple[str, ...]
    """The columns that come along with the scores."""
    keep_types: bool
    """Whether they keep the types that Parquet gives them; else all are strings."""

    @property
    def read(self) -> tuple[str, ...]:
        """All that is read."""
        return self.carried if self.text in self.carried else (*self.carried, self.text)

    @property
    def kept(self) -> tuple[str, ...]:
        """Those of which the type is kept."""
        return tuple(name for name in self.carried if name != self.text) if self.keep_types else ()


class Counts(NamedTuple):
    """How many rows were written, how many of those have no text or no verdict, and how many rows were rejected."""

    rows: int = 0
    rows_without_text: int = 0
    abstained: int = 0
    rejected: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Return the sums."""
        return Counts(*(one + more for one, more in zip(self, other, strict=True)))


Progress = Callable[[int, int], None]
"""Told, after each batch, of how many more rows are written and how many more bytes are read."""


def score_part(
    scorer: Scorer,
    source: Location,
    out: Path,
    *,
    columns: Columns,
    row_groups: tuple[int, int] | None,
    rejected_to: Path | None,
    pool: ThreadPoolExecutor | None,
    ahead: int,
    progress: Progress,
) -> Counts:
    """Score a file, or some row groups of it, into `out`; rows that cannot be read go to `rejected_to`.

    Without `rejected_to` such a row is a DataError, as is a file with other columns than the job's first. `ahead`
    batches may wait to be written. OutputError if `out` cannot be written.
    """
    _check_columns(source, columns)
    counts = Counts()
    schema = batch_schema(source, columns.carried, keep_types_of=columns.kept)
    schema = pa.schema([*schema, *scorer.schema])
    with ExitStack() as files:
        temporary = files.enter_context(replacing(out, hint=_HINT))
        rejected = _Rejected(source, rejected_to, files)
        log = ReadLog(None if rejected_to is None else rejected.add)
        batches = open_batches(source, columns.read, log=log, keep_types_of=columns.kept, row_groups=row_groups)
        bytes_before = 0
        with (
            WRITERS[out.suffix.lower()](temporary, schema) as write,
            closing(_scored(scorer, batches, columns, schema, pool, ahead)) as scored,
        ):
            for batch in scored:
                write(batch)
                without_text = batch.column(-1).null_count  # the last label's probability
                abstained = batch.column(len(columns.carried)).null_count - without_text
                counts = counts.plus(Counts(batch.num_rows, without_text, abstained))
                bytes_read = log.bytes_read
                progress(batch.num_rows, bytes_read - bytes_before)
                bytes_before = bytes_read
        rejected.finish()
    return counts._replace(rejected=rejected.count)


def _check_columns(source: Location, columns: Columns) -> None:
    """DataError if the file lacks a column, or has one that would be left out without a word."""
    if file_suffix(source) in JSON_SUFFIXES:
        return  # whose first row does not tell
    names = column_names(source)
    for name in columns.read:
        if name not in names:
            raise DataError(f"{source}: {unknown_column(name, names)}; the first file has it")
    new = [name for name in names if name not in columns.known]
    if new:
        known = ", ".join(map(repr, columns.known[:20]))
        raise DataError(f"{source}: has a column {new[0]!r}, the first file only {known}; score it in a job of its own")


class _Rejected:
    """The side file of rejected rows, which is there if there are any."""

    def __init__(self, source: Location, path: Path | None, files: ExitStack) -> None:
        self._source = source
        self._path = path
        self._files = files
        self._write: Callable[[str], object] | None = None
        self.count = 0

    def add(self, row: UnreadableRow) -> None:
        assert self._path is not None
        if self._write is None:
            temporary = self._files.enter_context(replacing(self._path, hint=_HINT))
            # Half of a surrogate pair is no UTF-8, but such an escape is JSON.
            file = temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
            self._write = self._files.enter_context(file).write
        self.count += 1
        self._write(json.dumps({"file": str(self._source), **row._asdict()}, ensure_ascii=False) + "\n")

    def finish(self) -> None:
        """Take away what an earlier job has left in the place."""
        if self._path is not None and self.count == 0:
            self._path.unlink(missing_ok=True)


def _scored(
    scorer: Scorer,
    batches: Iterator[pa.RecordBatch],
    columns: Columns,
    schema: pa.Schema,
    pool: ThreadPoolExecutor | None,
    ahead: int,
) -> Generator[pa.RecordBatch, None, None]:
    def score(batch: pa.RecordBatch) -> pa.RecordBatch:
        carried = [batch.column(name) for name in columns.carried]
        return pa.RecordBatch.from_arrays([*carried, *scorer.columns(batch.column(columns.text))], schema=schema)

    if pool is None:
        yield from map(score, batches)
        return
    waiting: deque[Future[pa.RecordBatch]] = deque()
    with closing(_read_ahead(batches)) as read:
        for batch in read:
            waiting.append(pool.submit(score, batch))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _read_ahead(batches: Iterator[pa.RecordBatch]) -> Generator[pa.RecordBatch, None, None]:
    with ThreadPoolExecutor(1, "plaudit-reader") as reader:
        waiting = deque(reader.submit(next, batches, None) for _ in range(_READ_AHEAD))
        while (batch := waiting.popleft().result()) is not None:
            waiting.append(reader.submit(next, batches, None))
            yield batch
