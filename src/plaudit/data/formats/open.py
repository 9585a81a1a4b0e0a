"""Own files as streams: CSV, TSV, JSON lines (each also packed) or Parquet in, Arrow batches of string columns out.

A file may be larger than memory; one row may not be longer than MAX_ROW_BYTES. Rows are counted from 1, the
header of a CSV or TSV not among them; of JSON lines, a row is a line.
"""

import difflib
from collections.abc import Generator, Sequence
from pathlib import Path

import pyarrow as pa

from plaudit.data.formats.delimited import delimited_batches, header
from plaudit.data.formats.json_lines import json_batches, json_rows
from plaudit.data.formats.location import Location
from plaudit.data.formats.parquet import parquet_batches, parquet_file
from plaudit.data.formats.rows import Reading
from plaudit.data.formats.unpack import UNPACKERS, naming, open_text
from plaudit.errors import DataError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_TEXT_SUFFIXES = (*DELIMITERS, *JSON_SUFFIXES)
ENDINGS = (*(suffix + packed for suffix in _TEXT_SUFFIXES for packed in ("", *UNPACKERS)), ".parquet")
"""How the name of a file that can be read ends, in lower case."""


def column_names(source: Path | Location, *, reading: Reading | None = None) -> list[str]:
    """Return the names of the file's columns; those of JSON lines are the fields of the first row that can be read."""
    location, reading = _located(source), reading or Reading()
    with naming(location):
        suffix = file_suffix(location)
        if suffix == ".parquet":
            return list(parquet_schema(location).names)
        with open_text(location, reading) as file:
            if suffix in JSON_SUFFIXES:
                return list(next(json_rows(location, file, reading), (0, {}))[1])
            return header(location, file, DELIMITERS[suffix])


def open_batches(
    source: Path | Location,
    columns: Sequence[str],
    *,
    batch_rows: int = 1 << 16,
    reading: Reading | None = None,
    keep_types_of: Sequence[str] = (),
    row_groups: tuple[int, int] | None = None,
) -> Generator[pa.RecordBatch, None, None]:
    """Stream these columns of a file as batches of at most `batch_rows` rows.

    Every column is a string column: numbers come as they are written, a null of JSON or Parquet as null, an
    empty cell of a CSV or TSV as an empty string. Of Parquet, columns of `keep_types_of` stay what they are, and
    `row_groups` (first, last + 1) are read alone. DataError, raised while iterating, names file, row or column and
    what is wrong; rows that cannot be read go to `reading` instead, if it takes any.
    """
    location, reading = _located(source), reading or Reading()
    # Rows before the first that can be read are rejected once, by the pass over all of them.
    names = column_names(location, reading=Reading(reading.reject and (lambda _: None)))
    for column in columns:
        if column not in names:
            raise DataError(f"{location}: {unknown_column(column, names)}")
        if names.count(column) > 1:
            raise DataError(f"{location}: column {column!r} occurs {names.count(column)} times; rename all but one")
    suffix = file_suffix(location)
    schema = batch_schema(location, columns, keep_types_of=keep_types_of)
    with naming(location):
        if suffix == ".parquet":
            batches = parquet_batches(location, schema, batch_rows, reading, row_groups)
        elif suffix in JSON_SUFFIXES:
            batches = json_batches(location, schema, batch_rows, reading)
        else:
            batches = delimited_batches(location, schema, batch_rows, reading, DELIMITERS[suffix])
        yield from batches


def batch_schema(source: Path | Location, columns: Sequence[str], *, keep_types_of: Sequence[str] = ()) -> pa.Schema:
    """Return the schema of the batches that `open_batches` yields."""
    location = _located(source)
    kept = parquet_schema(location) if keep_types_of and file_suffix(location) == ".parquet" else None
    return pa.schema(
        [(name, kept.field(name).type if kept and name in keep_types_of else pa.string()) for name in columns]
    )


def parquet_schema(source: Path | Location) -> pa.Schema:
    """Return the schema that a Parquet file has."""
    location = _located(source)
    with naming(location), parquet_file(location) as file:
        return file.schema_arrow


def unknown_column(column: str, names: Sequence[str]) -> str:
    """Say that there is no such column, which ones there are, and which one may be meant."""
    near = difflib.get_close_matches(column.casefold(), [name.casefold() for name in names], n=1)
    meant = next((f"; did you mean {name!r}?" for name in names if near and name.casefold() == near[0]), "")
    shown = ", ".join(repr(name) for name in names[:20]) + (", …" if len(names) > 20 else "")
    return f"no column {column!r}; columns: {shown}{meant}"


def file_suffix(source: Path | Location) -> str:
    """Return the suffix that tells a file's format, such as `.csv` of `a.csv.gz`; DataError if it is not known."""
    name = source.name.lower()
    packed = Path(name).suffix if Path(name).suffix in UNPACKERS else ""
    suffix = Path(name.removesuffix(packed)).suffix
    if not name.endswith(ENDINGS) or suffix not in (*_TEXT_SUFFIXES, ".parquet"):
        raise DataError(
            f"{source}: not a known kind of file; give .csv, .tsv or .jsonl (each also {', '.join(UNPACKERS)}), "
            "or .parquet"
        )
    return suffix


def _located(source: Path | Location) -> Location:
    return source if isinstance(source, Location) else Location.of(source)
