"""Review files as streams: CSV, TSV, JSON lines (each also compressed) or Parquet in, batches of string columns out.

A file may be larger than memory, one row not longer than MAX_ROW_BYTES.
"""

import difflib
from collections.abc import Generator, Sequence
from pathlib import Path

import pyarrow as pa

from plaudit.data.formats.compressed import DECOMPRESSORS, named_errors, open_text
from plaudit.data.formats.delimited import delimited_batches, header
from plaudit.data.formats.json_lines import json_batches, json_rows
from plaudit.data.formats.location import Location
from plaudit.data.formats.parquet import parquet_batches, parquet_file
from plaudit.data.formats.rows import ReadLog
from plaudit.errors import DataError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_SUFFIX_OF_ENDING = {
    suffix + compression: suffix for suffix in (*DELIMITERS, *JSON_SUFFIXES) for compression in ("", *DECOMPRESSORS)
} | {".parquet": ".parquet"}
ENDINGS = tuple(_SUFFIX_OF_ENDING)
"""What the name of a readable file ends in, in lower case."""


def column_names(source: Path | Location, *, log: ReadLog | None = None) -> list[str]:
    """Return the names of the file's columns; for JSON lines, the fields of the first row that can be read."""
    location, log = _located(source), log or ReadLog()
    suffix = file_suffix(location)
    with named_errors(location):
        if suffix == ".parquet":
            return list(parquet_schema(location).names)
        with open_text(location, log) as file:
            if suffix in JSON_SUFFIXES:
                return list(next(json_rows(location, file, log), {}))
            return header(location, file, DELIMITERS[suffix])


def open_batches(
    source: Path | Location,
    columns: Sequence[str],
    *,
    batch_rows: int = 1 << 16,
    log: ReadLog | None = None,
    keep_types_of: Sequence[str] = (),
    row_groups: tuple[int, int] | None = None,
) -> Generator[pa.RecordBatch, None, None]:
    """Stream these columns of a file as batches of at most `batch_rows` rows.

    Every column is a string column: numbers as they are written, null for a null of JSON or Parquet, an empty string
    for an empty cell of a CSV or TSV. From Parquet, the columns in `keep_types_of` keep their types, and `row_groups`
    (first, last + 1) selects what is read. DataError, raised while iterating, names file, row or column and what is
    wrong; a `log` that takes unreadable rows gets them instead.
    """
    location, log = _located(source), log or ReadLog()
    # The pass over all rows logs the unreadable ones; looking for the names must not log them too.
    names = column_names(location, log=ReadLog(log.on_unreadable and (lambda _: None)))
    for column in columns:
        if column not in names:
            raise DataError(f"{location}: {unknown_column(column, names)}")
        if names.count(column) > 1:
            raise DataError(f"{location}: column {column!r} occurs {names.count(column)} times; rename all but one")
    suffix = file_suffix(location)
    schema = batch_schema(location, columns, keep_types_of=keep_types_of)
    with named_errors(location):
        if suffix == ".parquet":
            batches = parquet_batches(location, schema, batch_rows, log, row_groups)
        elif suffix in JSON_SUFFIXES:
            batches = json_batches(location, schema, batch_rows, log)
        else:
            batches = delimited_batches(location, schema, batch_rows, log, DELIMITERS[suffix])
        yield from batches


def batch_schema(source: Path | Location, columns: Sequence[str], *, keep_types_of: Sequence[str] = ()) -> pa.Schema:
    """Return the schema of the batches that `open_batches` yields."""
    location = _located(source)
    stored = parquet_schema(location) if keep_types_of and file_suffix(location) == ".parquet" else None
    return pa.schema(
        [(name, stored.field(name).type if stored and name in keep_types_of else pa.string()) for name in columns]
    )


def parquet_schema(location: Location) -> pa.Schema:
    """Return the schema of a Parquet file."""
    with named_errors(location), parquet_file(location) as file:
        return file.schema_arrow


def unknown_column(column: str, names: Sequence[str]) -> str:
    """Return the message for a column that does not exist: which columns there are, and which one may be meant."""
    near = difflib.get_close_matches(column.casefold(), [name.casefold() for name in names], n=1)
    suggestion = next((f"; did you mean {name!r}?" for name in names if near and name.casefold() == near[0]), "")
    listed = ", ".join(map(repr, names[:20])) + (", …" if len(names) > 20 else "")
    return f"no column {column!r}; columns: {listed}{suggestion}"


def file_suffix(source: Path | Location) -> str:
    """Return the suffix that names a file's format, such as `.csv` for `a.csv.gz`; DataError if it is unknown."""
    name = source.name.lower()
    suffix = next((suffix for ending, suffix in _SUFFIX_OF_ENDING.items() if name.endswith(ending)), None)
    if suffix is None:
        raise DataError(
            f"{source}: unknown kind of file; give .csv, .tsv or .jsonl (each also {', '.join(DECOMPRESSORS)}), "
            "or .parquet"
        )
    return suffix


def _located(source: Path | Location) -> Location:
    return source if isinstance(source, Location) else Location.of(source)
