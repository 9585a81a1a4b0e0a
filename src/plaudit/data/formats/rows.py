"""How a file of reviews is read: what happens to rows that cannot be, how far it has come, and bytes made text.

Rows are counted from 1, the header of a CSV or TSV not among them; of JSON lines, a row is a line.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from plaudit.data.formats.location import Location
from plaudit.errors import DataError

MAX_ROW_BYTES = 64 << 20
BATCH_BYTES = 16 << 20
"""About what a batch holds. Of 2 MiB, scoring Parquet takes a tenth longer: what is done once a batch is not in a cache
by then, because the model has filled it."""
CONTENT_CHARACTERS = 1 << 16
UTF8_HINT = "save it as UTF-8"


class RejectedRow(NamedTuple):
    """A row that cannot be read."""

    row: int
    """Its number in the file."""
    reason: str
    content: str
    """What it holds, as far as that is text, cut at 65,536 characters."""


@dataclass
class Reading:
    """What to do while a file is read, and how far it has come."""

    reject: Callable[[RejectedRow], None] | None = None
    """Called, in order, with the rows that cannot be read, which are left out; None makes them a DataError."""
    bytes_read: int = 0
    """Of the file as it lies there: packed, if it is."""

    def refuse(self, location: Location, rows: Iterable[RejectedRow]) -> None:
        """Reject rows, which are in order; DataError names the first if none may be."""
        for row in rows:
            if self.reject is None:
                comma = "," if row.reason.startswith(("column ", "field ")) else ""
                raise DataError(f"{location}: row {row.row}{comma} {row.reason}")
            self.reject(row._replace(content=row.content[:CONTENT_CHARACTERS]))


def as_text(
    location: Location,
    batch: pa.RecordBatch,
    schema: pa.Schema,
    rows: npt.NDArray[np.int64],
    reading: Reading,
    *,
    rejected: Sequence[RejectedRow] = (),
) -> pa.RecordBatch:
    """Cast to `schema`; rows whose bytes are not UTF-8 are refused, in order with those that are `rejected` already."""
    try:
        columns = [batch[field.name].cast(field.type) for field in schema]
        for field in schema:
            # A cast from bytes has looked at them, but what Parquet calls a string may be none.
            if pa.types.is_string(batch[field.name].type):
                batch[field.name].validate(full=True)
    except pa.ArrowInvalid:
        places, wrong = _not_utf8(batch, schema, rows)
        reading.refuse(location, sorted([*rejected, *wrong]))
        keep = np.ones(len(batch), bool)
        keep[places] = False
        batch = batch.filter(pa.array(keep))
        columns = [batch[field.name].cast(field.type) for field in schema]
    else:
        reading.refuse(location, rejected)
    return pa.record_batch(columns, schema=schema)


def _not_utf8(
    batch: pa.RecordBatch, schema: pa.Schema, rows: npt.NDArray[np.int64]
) -> tuple[list[int], list[RejectedRow]]:
    """Return places and reasons of the rows that are not UTF-8."""
    found: dict[int, str] = {}
    for field in schema:
        values = batch[field.name]
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        kind = values.type
        if pa.types.is_string(field.type) and kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
            for place, value in enumerate(values.cast(pa.large_binary())):
                try:
                    value.as_buffer() and str(value.as_buffer(), "utf-8")
                except UnicodeDecodeError:
                    found.setdefault(place, field.name)
    wrong = []
    for place in sorted(found):
        content = {name: _shown(batch[name][place]) for name in schema.names}
        reason = f"column {found[place]!r} is not UTF-8; {UTF8_HINT}"
        wrong.append(RejectedRow(int(rows[place]), reason, json.dumps(content, ensure_ascii=False, default=str)))
    return sorted(found), wrong


def readable(content: Any) -> str:  # noqa: ANN401  # bytes, or one of Arrow's buffers
    """Return bytes as text, those that are none as escapes."""
    return str(content or b"", "utf-8", "backslashreplace")


def _shown(cell: Any) -> Any:  # noqa: ANN401  # one of Arrow's scalars, and its value
    return readable(cell.as_buffer()) if hasattr(cell, "as_buffer") else cell.as_py()
