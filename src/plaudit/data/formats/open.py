"""Review files as streams: delimited text, JSON lines, spreadsheets or Parquet in, batches of string columns out.

A text file may be compressed and larger than memory, one row not longer than MAX_ROW_BYTES.
"""

import difflib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa

from plaudit.data.formats.archive import member_name
from plaudit.data.formats.compressed import DECOMPRESSORS, named_errors, open_text, read_start
from plaudit.data.formats.delimited import delimited_batches, delimited_columns
from plaudit.data.formats.dialect import Dialect, NoHeaderError, find_dialect
from plaudit.data.formats.encoding import shown
from plaudit.data.formats.fasttext import COLUMNS, PREFIX, fasttext_batches
from plaudit.data.formats.json_lines import json_batches, json_rows
from plaudit.data.formats.location import Location
from plaudit.data.formats.parquet import parquet_batches, parquet_file
from plaudit.data.formats.read_options import ReadOptions
from plaudit.data.formats.rows import ReadLog
from plaudit.data.formats.spreadsheet import SUFFIXES as SHEET_SUFFIXES
from plaudit.data.formats.spreadsheet import sheet_batches, sheet_columns
from plaudit.errors import DataError, SettingsError

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": None}
"""What usually separates cells in a file of this kind; None if a line may be one text."""
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_MEMBER_SUFFIXES = (*SEPARATORS, *JSON_SUFFIXES)
_SUFFIX_OF_ENDING = {
    suffix + compression: suffix for suffix in _MEMBER_SUFFIXES for compression in ("", *DECOMPRESSORS)
} | {suffix: suffix for suffix in (".parquet", ".zip", *SHEET_SUFFIXES)}
ENDINGS = tuple(ending for ending, suffix in _SUFFIX_OF_ENDING.items() if suffix != ".txt")
"""What the name of a review file in a folder ends in, in lower case; a .txt there may be anything."""

Kind = Literal["delimited", "fastText", "JSON lines", "spreadsheet", "Parquet"]
_EFFECTIVE: dict[Kind, tuple[str, ...]] = {
    "delimited": ("separator", "encoding", "quoting", "header"),
    "fastText": ("encoding",),
    "JSON lines": ("encoding",),
    "spreadsheet": ("header", "table"),
    "Parquet": (),
}


@dataclass(frozen=True)
class Format:
    """What kind of file it is, and how it is written if it is text."""

    kind: Kind
    dialect: Dialect = field(default_factory=Dialect)

    @property
    def is_standard(self) -> bool:
        """Whether there is nothing to tell: UTF-8, and commas, doubled quotes and a header in a delimited file."""
        return self.dialect == Dialect() and self.kind != "fastText"

    def describe(self) -> str:
        """Say how the file is written, in a few words."""
        if self.kind in ("spreadsheet", "Parquet"):
            return self.kind
        member = "" if self.dialect.member is None else f"{self.dialect.member}: "
        return member + (
            self.dialect.describe() if self.kind == "delimited" else f"{self.kind}, {shown(self.dialect.encoding)}"
        )


def find_format(source: Path | Location, options: ReadOptions | None = None) -> Format:
    """Find out how a file is written; DataError where that is uncertain, SettingsError if an option has no effect."""
    location, options = _located(source), options or ReadOptions()
    with named_errors(location):
        found = _format(location, options)
    effective = (*_EFFECTIVE[found.kind], *(("table",) if found.dialect.member is not None else ()))
    for name in options.given():
        if name not in effective:
            raise SettingsError(f"{name} has no effect on {location}, which is {found.kind}; leave it out")
    return found


def options_for(path: Path, options: ReadOptions, *, text: str | None, label: str | None) -> ReadOptions:
    """Return the options, with a header where that is in doubt but the first row holds both columns that are named."""
    if text is None or label is None or not path.is_file():
        return options
    try:
        find_format(path, options)
    except NoHeaderError as error:
        if {text, label} <= set(error.first_row):
            return options.model_copy(update={"header": True})
        raise
    return options


def _format(location: Location, options: ReadOptions) -> Format:
    suffix, member = file_suffix(location), None
    if suffix == ".parquet":
        return Format("Parquet")
    if suffix in SHEET_SUFFIXES:
        return Format("spreadsheet")
    if suffix == ".zip":
        with location.open() as file:
            member = member_name(location, file, _MEMBER_SUFFIXES, options.table)
        suffix = Path(member.lower()).suffix
        if suffix not in _MEMBER_SUFFIXES:
            raise DataError(f"{location}: {member!r} is not one of {', '.join(_MEMBER_SUFFIXES)}; unzip it")
    start = read_start(location, member, options)
    if suffix in JSON_SUFFIXES or (suffix == ".txt" and start.text.lstrip().startswith(PREFIX)):
        dialect = Dialect(encoding=start.encoding, is_encoding_guessed=start.is_encoding_guessed, member=member)
        return Format("JSON lines" if suffix in JSON_SUFFIXES else "fastText", dialect)
    return Format("delimited", find_dialect(location, start, options, SEPARATORS[suffix]))


def column_names(
    source: Path | Location, options: ReadOptions | None = None, *, log: ReadLog | None = None
) -> list[str]:
    """Return the names of the file's columns; for JSON lines, the fields of the first row that can be read."""
    location, options = _located(source), options or ReadOptions()
    return _names(location, find_format(location, options), options, log or ReadLog())


def _names(location: Location, found: Format, options: ReadOptions, log: ReadLog) -> list[str]:
    with named_errors(location):
        if found.kind == "Parquet":
            return list(parquet_schema(location).names)
        if found.kind == "spreadsheet":
            return sheet_columns(location, options)
        if found.kind == "fastText":
            return list(COLUMNS)
        if found.kind == "delimited":
            return delimited_columns(location, found.dialect)
        with open_text(location, log, found.dialect) as file:
            return list(next(json_rows(location, file, log, found.dialect), {}))


def open_batches(
    source: Path | Location,
    columns: Sequence[str],
    options: ReadOptions | None = None,
    *,
    batch_rows: int = 1 << 16,
    log: ReadLog | None = None,
    keep_types_of: Sequence[str] = (),
    row_groups: tuple[int, int] | None = None,
) -> Generator[pa.RecordBatch, None, None]:
    """Stream these columns of a file as batches of at most `batch_rows` rows.

    Every column is a string column: numbers as they are written, null for a null of JSON or Parquet, an empty string
    for an empty cell of a delimited file or a spreadsheet. From Parquet, the columns in `keep_types_of` keep their
    types, and `row_groups` (first, last + 1) selects what is read. DataError, raised while iterating, names file, row
    or column and what is wrong; a `log` that takes unreadable rows gets them instead.
    """
    location, log, options = _located(source), log or ReadLog(), options or ReadOptions()
    found = find_format(location, options)
    # The pass over all rows logs the unreadable ones; looking for the names must not log them too.
    names = _names(location, found, options, ReadLog(log.on_unreadable and (lambda _: None)))
    for column in columns:
        if column not in names:
            raise DataError(f"{location}: {unknown_column(column, names)}")
        if names.count(column) > 1:
            raise DataError(f"{location}: column {column!r} occurs {names.count(column)} times; rename all but one")
    schema = batch_schema(location, columns, keep_types_of=keep_types_of)
    with named_errors(location):
        if found.kind == "Parquet":
            yield from parquet_batches(location, schema, batch_rows, log, row_groups)
        elif found.kind == "spreadsheet":
            yield from sheet_batches(location, schema, batch_rows, log, options)
        elif found.kind == "fastText":
            yield from fasttext_batches(location, schema, batch_rows, log, found.dialect)
        elif found.kind == "JSON lines":
            yield from json_batches(location, schema, batch_rows, log, found.dialect)
        else:
            yield from delimited_batches(location, schema, batch_rows, log, found.dialect)


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


def has_known_ending(name: str) -> bool:
    """Whether the name of a file says its format."""
    return name.lower().endswith(tuple(_SUFFIX_OF_ENDING))


def file_suffix(source: Path | Location) -> str:
    """Return the suffix that names a file's format, such as `.csv` for `a.csv.gz`; DataError if it is unknown."""
    name = source.name.lower()
    suffix = next((suffix for ending, suffix in _SUFFIX_OF_ENDING.items() if name.endswith(ending)), None)
    if suffix is None:
        raise DataError(
            f"{source}: unknown kind of file; give .csv, .tsv, .txt or .jsonl (each also {', '.join(DECOMPRESSORS)}), "
            ".parquet, .zip, .xlsx, .xls or .ods"
        )
    return suffix


def _located(source: Path | Location) -> Location:
    return source if isinstance(source, Location) else Location.of(source)
