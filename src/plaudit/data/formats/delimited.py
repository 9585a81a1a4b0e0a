"""Delimited text, such as CSV and TSV, as a stream of batches."""

import csv
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from plaudit.data.formats import rows as limits
from plaudit.data.formats.compressed import open_text
from plaudit.data.formats.dialect import Dialect
from plaudit.data.formats.location import Location
from plaudit.data.formats.read_options import naming
from plaudit.data.formats.rows import ReadLog, UnreadableRow, column_labels, decoded, not_encoded, printable
from plaudit.errors import DataError

_NO_SEPARATOR = "\x1f"
"""A control character that separates units, for lines of one text, which do not hold it."""


def delimited_columns(location: Location, dialect: Dialect) -> list[str]:
    """Return the column names: those in the header, or numbers if there is none; one text a line is a column `text`.

    DataError if the first line cannot be read.
    """
    if dialect.separator is None and not dialect.has_header:
        return ["text"]
    with _opened(location, ReadLog(), dialect) as file:
        names = _first_row(location, file, dialect)
    return column_labels(names) if dialect.has_header else [str(i + 1) for i in range(len(names))]


def _opened(location: Location, log: ReadLog, dialect: Dialect) -> IO[bytes]:
    file = open_text(location, log, dialect)
    if dialect.names_separator:
        file.readline()
    return file


def _first_row(location: Location, file: IO[bytes], dialect: Dialect) -> list[str]:
    """Read the first row that is not empty, and no further."""
    lines = (line.decode("utf-8", "surrogateescape") for line in file)
    rows = csv.reader(
        lines,
        delimiter=dialect.separator or _NO_SEPARATOR,
        quoting=csv.QUOTE_NONE if dialect.quoting == "none" else csv.QUOTE_MINIMAL,
        escapechar="\\" if dialect.quoting == "backslash" else None,
    )
    try:
        names = next(row for row in rows if row)
        "".join(names).encode()
    except UnicodeEncodeError:
        raise DataError(f"{location}: the header {not_encoded(dialect.encoding)}") from None
    except (csv.Error, StopIteration) as error:
        raise DataError(f"{location}: the header is not readable ({error}); the first line names the columns") from None
    return names


def delimited_batches(
    location: Location, schema: pa.Schema, batch_rows: int, log: ReadLog, dialect: Dialect
) -> Iterator[pa.RecordBatch]:
    """Yield batches of the schema's columns, all of which are strings."""
    last_row = 0
    # Arrow reads 32 blocks ahead, so blocks that are large enough for any row would take 2 GiB. Only a file with a row
    # longer than a small block is read again from the start in large ones.
    for block_bytes in (limits.MAX_ROW_BYTES // 32, limits.MAX_ROW_BYTES):
        try:
            for block in _blocks(location, schema, dialect, block_bytes, log):
                for piece in block.pieces(batch_rows, after=last_row):
                    yield decoded(
                        location,
                        piece.cells,
                        schema,
                        piece.rows,
                        log,
                        unreadable=piece.ragged,
                        encoding=dialect.encoding,
                    )
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


def _blocks(
    location: Location, schema: pa.Schema, dialect: Dialect, block_bytes: int, log: ReadLog
) -> Iterator[_Block]:
    """Read a file from its start in blocks of so many bytes."""
    ragged: deque[UnreadableRow] = deque()  # also of blocks that Arrow has read ahead
    last_row = 0

    def on_ragged_row(row: pa.csv.InvalidRow) -> str:
        ragged.append(UnreadableRow(row.number, _why_ragged(row, dialect), row.text))
        return "error" if log.on_unreadable is None else "skip"

    binary = pa.schema([(name, pa.binary()) for name in schema.names])
    names = delimited_columns(location, dialect)
    log.bytes_read = 0
    with _opened(location, log, dialect) as file:
        if dialect.has_header:
            _first_row(location, file, dialect)
        try:
            for cells in pa.csv.open_csv(
                file,
                # One thread: with more, a ragged row does not know its number.
                read_options=pa.csv.ReadOptions(use_threads=False, block_size=block_bytes, column_names=names),
                parse_options=_parse_options(dialect, on_ragged_row, is_only_column=len(names) == 1),
                convert_options=pa.csv.ConvertOptions(include_columns=schema.names, column_types=binary),
            ):
                block = _numbered(cells, ragged, first_row=last_row + 1)
                last_row += len(block.rows) + len(block.ragged)
                yield block if dialect.is_quoting_given else _without_swallowed_rows(block, dialect)
        except pa.ArrowInvalid as error:
            if ragged and log.on_unreadable is None:
                log.add(location, [ragged[0]])
            if "Empty CSV" not in str(error):  # Arrow's word for a file without rows
                raise
    no_cells = pa.RecordBatch.from_pylist([], schema=binary)
    yield _Block(no_cells, np.arange(0), list(ragged))


def _without_swallowed_rows(block: _Block, dialect: Dialect) -> _Block:
    """Move rows whose cell holds a tab and then a line break to the ragged ones of a file that is separated by tabs.

    Such a cell is likely to begin with a quote that was meant as a character, and to hold other rows.
    """
    if dialect.separator != "\t" or dialect.quoting != "double" or not len(block.cells):
        return block
    swallows = np.zeros(len(block.cells), bool)
    for column in block.cells.columns:
        swallows |= pc.match_substring_regex(column, "\t[^\n]*\n").to_numpy(zero_copy_only=False)
    if not swallows.any():
        return block
    why = f"has a cell that holds a tab and a line break; say how quotes are meant ({naming('quoting')})"
    swallowing = [
        UnreadableRow(int(block.rows[i]), why, "\t".join(printable(c[i].as_buffer()) for c in block.cells.columns))
        for i in np.flatnonzero(swallows)
    ]
    keep = ~swallows
    return _Block(block.cells.filter(pa.array(keep)), block.rows[keep], sorted([*block.ragged, *swallowing]))


def _parse_options(
    dialect: Dialect, on_ragged_row: Callable[[pa.csv.InvalidRow], str], *, is_only_column: bool
) -> pa.csv.ParseOptions:
    has_quotes = dialect.quoting != "none"
    return pa.csv.ParseOptions(
        delimiter=dialect.separator or _NO_SEPARATOR,
        quote_char='"' if has_quotes else False,
        escape_char="\\" if dialect.quoting == "backslash" else False,
        newlines_in_values=has_quotes,
        invalid_row_handler=on_ragged_row,
        # An empty line of several columns separates; of one column, it is an empty cell.
        ignore_empty_lines=not is_only_column,
    )


def _numbered(cells: pa.RecordBatch, ragged: deque[UnreadableRow], *, first_row: int) -> _Block:
    """Number the rows of a block, and move the ragged rows among them out of `ragged`."""
    here: list[UnreadableRow] = []
    while ragged and ragged[0].row < first_row + len(cells) + len(here):
        here.append(ragged.popleft())
    rows = np.arange(first_row, first_row + len(cells) + len(here))
    return _Block(cells, np.delete(rows, [row.row - first_row for row in here]), here)


def _why_ragged(row: pa.csv.InvalidRow, dialect: Dialect) -> str:
    if dialect.separator is None:
        return "holds the control character 1F"
    num_lines = row.text.count("\n") + 1
    hint = "put quotes around cells that hold " + ("tabs" if dialect.separator == "\t" else f"{dialect.separator!r}")
    if num_lines > 1:
        hint = f"it is {num_lines:,} lines long: is a quote left open?"
    return f"has {row.actual_columns} cells where the header has {row.expected_columns}; {hint}"
