"""JSON lines as a stream of batches: one object a line, whose fields are columns."""

import json
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa

from plaudit.data.formats import rows as limits
from plaudit.data.formats.location import Location
from plaudit.data.formats.rows import BATCH_BYTES, CONTENT_CHARACTERS, UTF8_HINT, Reading, RejectedRow, readable
from plaudit.data.formats.unpack import open_text


def json_rows(location: Location, file: IO[bytes], reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and content of each line that is a JSON object."""
    number = 0
    while line := file.readline(limits.MAX_ROW_BYTES + 1):
        number += 1
        if len(line) > limits.MAX_ROW_BYTES:
            reason = f"is longer than {limits.MAX_ROW_BYTES >> 20} MiB; write one object a line"
            reading.refuse(location, [RejectedRow(number, reason, readable(line[:CONTENT_CHARACTERS]))])
            while line and not line.endswith(b"\n"):
                line = file.readline(limits.MAX_ROW_BYTES)
            continue
        if line.isspace():
            continue
        try:
            row = json.loads(line.decode())
        except UnicodeDecodeError as error:
            reason = f"is not UTF-8 (byte {error.start}); {UTF8_HINT}"
            reading.refuse(location, [RejectedRow(number, reason, readable(line))])
            continue
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            reason = 'is not a JSON object; write one a line: {"text": "…", "label": "…"}'
            reading.refuse(location, [RejectedRow(number, reason, readable(line))])
            continue
        yield number, row


def json_batches(location: Location, schema: pa.Schema, batch_rows: int, reading: Reading) -> Iterator[pa.RecordBatch]:
    """Yield batches of the schema's columns, all of which are strings."""
    values: list[list[str | None]] = [[] for _ in schema.names]
    size = 0
    with open_text(location, reading) as file:
        for number, row in json_rows(location, file, reading):
            try:
                cells = [_scalar(name, row.get(name)) for name in schema.names]
            except _WrongField as wrong:
                reading.refuse(location, [RejectedRow(number, str(wrong), json.dumps(row))])
                continue
            for cell, column in zip(cells, values, strict=True):
                column.append(cell)
                size += len(cell or "")
            if len(values[0]) == batch_rows or size > BATCH_BYTES:
                yield pa.record_batch([pa.array(column, pa.string()) for column in values], schema=schema)
                values = [[] for _ in schema.names]
                size = 0
    if values[0]:
        yield pa.record_batch([pa.array(column, pa.string()) for column in values], schema=schema)


class _WrongField(Exception):  # noqa: N818  # a reason on its way to whoever knows the row
    pass


def _scalar(name: str, value: object) -> str | None:
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise _WrongField(f"field {name!r} holds half a surrogate pair; write it whole") from None
        return value
    if value is None:
        return None
    if isinstance(value, int | float):
        return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)
    raise _WrongField(f"field {name!r} is a JSON {type(value).__name__}; write a string or a number")
