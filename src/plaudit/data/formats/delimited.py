"""CSV and TSV as a stream of batches."""

import csv
from collections import deque
from collections.abc import Iterator
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from plaudit.data.formats import rows as limits
from plaudit.data.formats.location import Location
from plaudit.data.formats.rows import UTF8_HINT, Reading, RejectedRow, as_text
from plaudit.data.formats.unpack import open_text
from plaudit.errors import DataError


def header(location: Location, file: IO[bytes], delimiter: str) -> list[str]:
    """Return the names of the columns; DataError if the first line does not name any."""
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
    location: Location, schema: pa.Schema, batch_rows: int, reading: Reading, delimiter: str
) -> Iterator[pa.RecordBatch]:
    """Yield batches of the schema's columns, all of which are strings."""
    done = 0
    # Arrow reads 32 blocks ahead, so blocks that hold any row would take 2 GiB. A file with a row longer than
    # a small block is read again from the start in large ones.
    for block_bytes in (limits.MAX_ROW_BYTES // 32, limits.MAX_ROW_BYTES):
        before = 0
        ragged: deque[RejectedRow] = deque()
        try:
            for block in _delimited_blocks(location, schema, delimiter, block_bytes, ragged, reading):
                rows, among = _row_numbers(before, len(block), ragged)
                before += len(rows) + len(among)
                for start in range(int(np.searchsorted(rows, done, "right")), len(rows), batch_rows):
                    batch_of = rows[start : start + batch_rows]
                    wrong = [each for each in among if done < each.row < batch_of[-1]]
                    yield as_text(location, block.slice(start, batch_rows), schema, batch_of, reading, rejected=wrong)
                    done = int(batch_of[-1])
                reading.refuse(location, [each for each in among if each.row > done])
                done = max([done, *(each.row for each in among[-1:])])
            reading.refuse(location, [each for each in ragged if each.row > done])
            return
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error):
                raise
    raise DataError(f"{location}: row {done + 1} is over {limits.MAX_ROW_BYTES >> 20} MiB long; is a quote left open?")


def _row_numbers(
    before: int, num_good: int, ragged: deque[RejectedRow]
) -> tuple[npt.NDArray[np.int64], list[RejectedRow]]:
    """Return the numbers of the good rows of a block, and take the ragged rows among them out of `ragged`."""
    among: list[RejectedRow] = []
    while ragged and ragged[0].row <= before + num_good + len(among):
        among.append(ragged.popleft())
    rows = np.arange(before + 1, before + num_good + len(among) + 1)
    return np.delete(rows, [each.row - before - 1 for each in among]), among


def _delimited_blocks(
    location: Location,
    schema: pa.Schema,
    delimiter: str,
    block_bytes: int,
    ragged: deque[RejectedRow],
    reading: Reading,
) -> Iterator[pa.RecordBatch]:
    """Yield blocks as bytes, because a failed conversion to text does not name its row; `ragged` gets ragged rows."""

    def keep(row: pa.csv.InvalidRow) -> str:
        quote = "put quotes around cells that hold " + ("tabs" if delimiter == "\t" else f"{delimiter!r}")
        lines = row.text.count("\n") + 1
        if lines > 1:
            quote = f"it is {lines:,} lines long: is a quote left open?"
        reason = f"has {row.actual_columns} cells where the header has {row.expected_columns}; {quote}"
        ragged.append(RejectedRow(row.number - 1, reason, row.text))
        return "error" if reading.reject is None else "skip"

    reading.bytes_read = 0
    with open_text(location, reading) as file:
        try:
            yield from pa.csv.open_csv(
                file,
                # One thread: only then does a ragged row know its number.
                read_options=pa.csv.ReadOptions(use_threads=False, block_size=block_bytes),
                parse_options=pa.csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=True, invalid_row_handler=keep
                ),
                convert_options=pa.csv.ConvertOptions(
                    include_columns=schema.names, column_types=dict.fromkeys(schema.names, pa.binary())
                ),
            )
        except pa.ArrowInvalid as error:
            if ragged and reading.reject is None:
                reading.refuse(location, [ragged[0]])
            if "Empty CSV" not in str(error):  # what a header without a line break after it is called
                raise
