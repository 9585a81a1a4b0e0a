"""What the readers of all formats share: limits, a log of unreadable rows and of bytes read, and decoding to text.

Rows are counted from 1, without the header of a CSV or TSV; in JSON lines, a row is a line.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from plaudit.data.formats.encoding import shown
from plaudit.data.formats.location import Location
from plaudit.data.formats.read_options import naming
from plaudit.errors import DataError

MAX_ROW_BYTES = 64 << 20
BATCH_BYTES = 16 << 20
"""About what a batch holds. Batches of 2 MiB make scoring Parquet a tenth slower: the model fills the cache, and what
is done once a batch finds it cold."""
CONTENT_CHARACTERS = 1 << 16
UTF8_HINT = f"save it as UTF-8, or name its encoding ({naming('encoding')})"


class UnreadableRow(NamedTuple):
    """A row that cannot be read."""

    row: int
    """Its number in the file."""
    reason: str
    content: str
    """Its text, as far as it is text, cut after 65,536 characters."""


@dataclass
class ReadLog:
    """What is noted while a file is read: rows that cannot be read, and how many bytes have been read."""

    on_unreadable: Callable[[UnreadableRow], object] | None = None
    """Called in order for each unreadable row, which is left out; None makes the first one a DataError."""
    bytes_read: int = 0
    """Bytes of the file as it is stored, that is before decompression."""
    num_unreadable: int = 0

    def add(self, location: Location, rows: Iterable[UnreadableRow]) -> None:
        """Note unreadable rows, in their order; DataError for the first one if there must be none."""
        for row in rows:
            if self.on_unreadable is None:
                comma = "," if row.reason.startswith(("column ", "field ")) else ""
                raise DataError(f"{location}: row {row.row}{comma} {row.reason}")
            self.num_unreadable += 1
            self.on_unreadable(row._replace(content=row.content[:CONTENT_CHARACTERS]))


def decoded(
    location: Location,
    batch: pa.RecordBatch,
    schema: pa.Schema,
    rows: npt.NDArray[np.int64],
    log: ReadLog,
    *,
    unreadable: Sequence[UnreadableRow] = (),
    encoding: str | None = None,
) -> pa.RecordBatch:
    """Cast a batch to `schema` without the rows that are not UTF-8; `rows` are the numbers of the batch's rows.

    `encoding` is that of a text file, before it is read as UTF-8. Those rows are logged in one order with those that
    are `unreadable` already.
    """
    try:
        columns = [batch[field.name].cast(field.type) for field in schema]
        for field in schema:
            # A cast from bytes has checked them, but what Parquet calls a string may not be UTF-8.
            if pa.types.is_string(batch[field.name].type):
                batch[field.name].validate(full=True)
    except pa.ArrowInvalid:
        bad_columns = _columns_not_utf8(batch, schema)
        not_utf8 = [
            UnreadableRow(int(rows[i]), f"column {name!r} {not_encoded(encoding)}", _as_json(batch, schema, i))
            for i, name in bad_columns.items()
        ]
        log.add(location, sorted([*unreadable, *not_utf8]))
        keep = np.ones(len(batch), bool)
        keep[list(bad_columns)] = False
        batch = batch.filter(pa.array(keep))
        columns = [batch[field.name].cast(field.type) for field in schema]
    else:
        log.add(location, unreadable)
    return pa.record_batch(columns, schema=schema)


def _columns_not_utf8(batch: pa.RecordBatch, schema: pa.Schema) -> dict[int, str]:
    """Return the positions of rows that are not UTF-8, each with the first column that is not."""
    column_of: dict[int, str] = {}
    for field in schema:
        values = batch[field.name]
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        is_text = values.type in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
        if is_text and pa.types.is_string(field.type):
            for i, value in enumerate(values.cast(pa.large_binary())):
                try:
                    str(value.as_buffer() or b"", "utf-8")
                except UnicodeDecodeError:
                    column_of.setdefault(i, field.name)
    return column_of


def _as_json(batch: pa.RecordBatch, schema: pa.Schema, i: int) -> str:
    cells = {name: batch[name][i] for name in schema.names}
    content = {name: printable(c.as_buffer()) if hasattr(c, "as_buffer") else c.as_py() for name, c in cells.items()}
    return json.dumps(content, ensure_ascii=False, default=str)


def not_encoded(encoding: str | None) -> str:
    """Say that a row is not in the encoding of its text file, or not UTF-8 (None), and what to do."""
    if encoding is None:
        return "is not UTF-8; save it as UTF-8"
    hint = UTF8_HINT if encoding == "utf-8" else f"name another encoding ({naming('encoding')})"
    return f"is not {shown(encoding)}; {hint}"


def column_labels(names: Sequence[str]) -> list[str]:
    """Return the names in a header, `column_3` for a third that is blank."""
    return [name if name.strip() else f"column_{i}" for i, name in enumerate(names, start=1)]


def printable(content: Any) -> str:  # noqa: ANN401  # bytes, or one of Arrow's buffers
    """Return bytes as text, with escapes for those that are not UTF-8."""
    return str(content or b"", "utf-8", "backslashreplace")
