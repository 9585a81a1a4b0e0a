"""Lines as fastText reads them: `__label__NAME text`, as columns `label` and `text`."""

import re
from collections.abc import Iterator

import pyarrow as pa

from plaudit.data.formats import rows as limits
from plaudit.data.formats.compressed import open_text
from plaudit.data.formats.dialect import Dialect
from plaudit.data.formats.location import Location
from plaudit.data.formats.rows import BATCH_BYTES, CONTENT_CHARACTERS, ReadLog, UnreadableRow, not_encoded, printable

PREFIX = "__label__"
COLUMNS = ("label", "text")
_LABEL = re.compile(rf"(?:^|(?<=\s)){PREFIX}(\S+)(?:\s+|$)")


def fasttext_batches(
    location: Location, schema: pa.Schema, batch_rows: int, log: ReadLog, dialect: Dialect
) -> Iterator[pa.RecordBatch]:
    """Yield batches of the schema's columns; a line with several labels is unreadable, one without has an empty one."""
    rows: list[dict[str, str]] = []
    num_bytes, number = 0, 0
    with open_text(location, log, dialect) as file:
        while line := file.readline(limits.MAX_ROW_BYTES + 1):
            number += 1
            if line.isspace():
                continue
            try:
                rows.append(_parsed(line, dialect.encoding))
            except ValueError as error:
                log.add(location, [UnreadableRow(number, str(error), printable(line[: 4 * CONTENT_CHARACTERS]))])
                continue
            num_bytes += len(line)
            if len(rows) == batch_rows or num_bytes > BATCH_BYTES:
                yield pa.RecordBatch.from_pylist(rows, schema=schema)
                rows, num_bytes = [], 0
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema=schema)


def _parsed(line: bytes, encoding: str) -> dict[str, str]:
    """Return label and text of a line; ValueError says why it has none."""
    if len(line) > limits.MAX_ROW_BYTES:
        raise ValueError(f"is longer than {limits.MAX_ROW_BYTES >> 20} MiB; write one text a line")
    try:
        text = line.decode().strip()
    except UnicodeDecodeError:
        raise ValueError(not_encoded(encoding)) from None
    labels = _LABEL.findall(text)
    if len(labels) > 1:
        raise ValueError(f"has {len(labels)} labels; give each text one")
    return {"label": "".join(labels), "text": _LABEL.sub("", text).strip()}
