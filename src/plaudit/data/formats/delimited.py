"""CSV and TSV as a stream of batches."""

import csv
from collections import deque
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from plaudit.data.formats import rows as limits
from plaudit.data.formats.compressed import open_text
from plaudit.data.formats.location import Location
from plaudit.data.formats.rows import UTF8_HINT, ReadLog, UnreadableRow, decoded
from plaudit.errors import DataError


def header(location: Location, file: IO[bytes], delimiter: str) -> list[str]:
    """Return the column names; DataError if the first line is not a header."""
    lines = (line.decode("utf-8", "surrogateescape") for line in file)
    try:
        names = next(row for row in csv.reader(lines, delimiter=delimiter) if row)
        "".join(names).encode()
    except UnicodeEncodeError:
        raise DataError(f"{location}: the header is not UTF-8; {UTF8_HINT}") from None
    except csv.Error as error:
        raise DataError(f"{location}: the header is not readable ({error}); the first line names the columns") from None
    return names


def delimited_batches(
    location: Location, schema: pa.Schema, batch_rows: int, log: ReadLog, delimiter: str
) -> Iterator[pa.RecordBatch]:
    """Yield batches of the schema's columns, all of which are strings."""
    last_row = 0
    # Arrow reads 32 blocks ahead, so blocks that are large enough for any row would take 2 GiB. Only a file with a row
    # longer than a small block is read again from the start in large ones.
    for block_bytes in (limits.MAX_ROW_BYTES // 32, limits.MAX_ROW_BYTES):
        try:
            for block in _blocks(location, schema, delimiter, block_bytes, log):
                for piece in block.pieces(batch_rows, after=last_row):
                    yield decoded(location, piece.cells, schema, piece.rows, log, unreadable=piece.ragged)
                    last_row = piece.last_row
            return
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error):
                raise
    raise DataError(
        f"{location}: row {last_row + 1} is over {limits.MAX_ROW_BYTES >> 20} MiB long; is a quote left open?"
    )


class _Block(NamedTuple):
    """Successive rows of a file: those that have the right number of cells, and the ragged ones among them."""

    cells: pa.RecordBatch
    """Bytes, because a failed conversion to text does not name its row."""
    rows: npt.NDArray[np.int64]
    """The numbers of the rows in `cells`."""
    ragged: list[UnreadableRow]

    @property
    def last_row(self) -> int:
        return max([*map(int, self.rows[-1:]), *(row.row for row in self.ragged[-1:])])

    def pieces(self, num_rows: int, *, after: int) -> Iterator["_Block"]:
        """Yield what follows row `after` of the file in blocks of at most `num_rows` good rows."""
        ragged = [row for row in self.ragged if row.row > after]
        start = int(np.searchsorted(self.rows, after, "right"))
        while start < len(self.rows) or ragged:
            rows = self.rows[start : start + num_rows]
            is_last = start + num_rows >= len(self.rows)
            here = [row for row in ragged if is_last or row.row < rows[-1]]
            yield _Block(self.cells.slice(start, num_rows), rows, here)
            ragged = ragged[len(here) :]
            start += num_rows


def _blocks(location: Location, schema: pa.Schema, delimiter: str, block_bytes: int, log: ReadLog) -> Iterator[_Block]:
    """Read a file from its start in blocks of so many bytes."""
    ragged: deque[UnreadableRow] = deque()  # also of blocks that Arrow has read ahead
    last_row = 0

    def on_ragged_row(row: pa.csv.InvalidRow) -> str:
        ragged.append(UnreadableRow(row.number - 1, _why_ragged(row, delimiter), row.text))
        return "error" if log.on_unreadable is None else "skip"

    binary = pa.schema([(name, pa.binary()) for name in schema.names])
    log.bytes_read = 0
    with open_text(location, log) as file:
        try:
            for cells in pa.csv.open_csv(
                file,
                # One thread: with more, a ragged row does not know its number.
                read_options=pa.csv.ReadOptions(use_threads=False, block_size=block_bytes),
                parse_options=pa.csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=True, invalid_row_handler=on_ragged_row
                ),
                convert_options=pa.csv.ConvertOptions(include_columns=schema.names, column_types=binary),
            ):
                block = _numbered(cells, ragged, first_row=last_row + 1)
                last_row += len(block.rows) + len(block.ragged)
                yield block
        except pa.ArrowInvalid as error:
            if ragged and log.on_unreadable is None:
                log.add(location, [ragged[0]])
            if "Empty CSV" not in str(error):  # Arrow's word for a header without a line break after it
                raise
    no_cells = pa.RecordBatch.from_pylist([], schema=binary)
    yield _Block(no_cells, np.arange(0), list(ragged))


def _numbered(cells: pa.RecordBatch, ragged: deque[UnreadableRow], *, first_row: int) -> _Block:
    """Number the rows of a block, and move the ragged rows among them out of `ragged`."""
    here: list[UnreadableRow] = []
    while ragged and ragged[0].row < first_row + len(cells) + len(here):
        here.append(ragged.popleft())
    rows = np.arange(first_row, first_row + len(cells) + len(here))
    return _Block(cells, np.delete(rows, [row.row - first_row for row in here]), here)


def _why_ragged(row: pa.csv.InvalidRow, delimiter: str) -> str:
    num_lines = row.text.count("\n") + 1
    hint = "put quotes around cells that hold " + ("tabs" if delimiter == "\t" else f"{delimiter!r}")
    if num_lines > 1:
        hint = f"it is {num_lines:,} lines long: is a quote left open?"
    return f"has {row.actual_columns} cells where the header has {row.expected_columns}; {hint}"
