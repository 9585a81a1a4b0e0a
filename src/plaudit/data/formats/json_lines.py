"""JSON lines as a stream of batches: one object a line, whose fields are columns."""

import json
import math
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa

from plaudit.data.formats import rows as limits
from plaudit.data.formats.compressed import open_text
from plaudit.data.formats.dialect import Dialect
from plaudit.data.formats.location import Location
from plaudit.data.formats.rows import BATCH_BYTES, CONTENT_CHARACTERS, ReadLog, UnreadableRow, not_encoded, printable


def json_rows(
    location: Location, file: IO[bytes], log: ReadLog, dialect: Dialect, *, fields: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Yield each line that is a JSON object, with these fields as strings or None; other lines go to the log."""
    number = 0
    while line := file.readline(limits.MAX_ROW_BYTES + 1):
        number += 1
        try:
            if len(line) > limits.MAX_ROW_BYTES:
                raise _UnreadableError(f"is longer than {limits.MAX_ROW_BYTES >> 20} MiB; write one object a line")
            if line.isspace():
                continue
            row = _parsed(line, dialect.encoding)
            row |= {name: _as_string(name, row.get(name)) for name in fields}
        except _UnreadableError as error:
            log.add(location, [UnreadableRow(number, str(error), printable(line[: 4 * CONTENT_CHARACTERS]))])
            while len(line) >= limits.MAX_ROW_BYTES and not line.endswith(b"\n"):  # the rest of a long line
                line = file.readline(limits.MAX_ROW_BYTES)
        else:
            yield row


def json_batches(
    location: Location, schema: pa.Schema, batch_rows: int, log: ReadLog, dialect: Dialect
) -> Iterator[pa.RecordBatch]:
    """Yield batches of the schema's columns, all of which are strings."""
    rows: list[dict[str, str | None]] = []
    num_characters = 0
    with open_text(location, log, dialect) as file:
        for row in json_rows(location, file, log, dialect, fields=schema.names):
            rows.append({name: row[name] for name in schema.names})
            num_characters += sum(len(cell or "") for cell in rows[-1].values())
            if len(rows) == batch_rows or num_characters > BATCH_BYTES:
                yield pa.RecordBatch.from_pylist(rows, schema=schema)
                rows, num_characters = [], 0
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema=schema)


class _UnreadableError(Exception):
    """Why a row cannot be read."""


def _parsed(line: bytes, encoding: str) -> dict[str, Any]:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError:
        raise _UnreadableError(not_encoded(encoding)) from None
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise _UnreadableError('is not a JSON object; write one a line: {"text": "…", "label": "…"}')
    return row


def _as_string(name: str, value: object) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, int | float):
        return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)
    if not isinstance(value, str):
        raise _UnreadableError(f"field {name!r} is a JSON {type(value).__name__}; write a string or a number")
    try:
        value.isascii() or value.encode()
    except UnicodeEncodeError:
        raise _UnreadableError(f"field {name!r} contains half a surrogate pair; write both halves") from None
    return value
