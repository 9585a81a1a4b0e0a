"""Own files as streams: CSV, TSV, JSON lines (each also .gz) or Parquet in, Arrow batches of string columns
out.

A file may be larger than memory; one row may not be longer than MAX_ROW_BYTES. Rows are counted from 1, the
header of a CSV or TSV not among them.
"""

import csv
import difflib
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from undertone.errors import DataError

MAX_ROW_BYTES = 64 << 20
DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
UTF8_HINT = "save it as UTF-8"


def column_names(path: Path) -> list[str]:
    """Return the names of the file's columns; those of JSON lines are the fields of the first row."""
    with _Naming(path):
        suffix = _suffix(path)
        if suffix == ".parquet":
            return list(pa.parquet.read_schema(path).names)
        with _open(path) as file:
            return _json_fields(path, file) if suffix in JSON_SUFFIXES else _header(path, file, DELIMITERS[suffix])


def open_batches(path: Path, columns: Sequence[str], *, batch_rows: int = 8192) -> Iterator[pa.RecordBatch]:
    """Stream these columns of a file as batches of at most `batch_rows` rows.

    Every column is a string column: numbers come as they are written, a null of JSON or Parquet as null, an
    empty cell of a CSV or TSV as an empty string. DataError, raised while iterating, names file, row or
    column and what is wrong.
    """
    names = column_names(path)
    for column in columns:
        if column not in names:
            raise DataError(f"{path}: {unknown_column(column, names)}")
        if names.count(column) > 1:
            raise DataError(f"{path}: column {column!r} occurs {names.count(column)} times; rename all but one")
    suffix = _suffix(path)
    schema = pa.schema([(column, pa.string()) for column in columns])
    with _Naming(path):
        if suffix == ".parquet":
            batches = _parquet_batches(path, schema, batch_rows)
        elif suffix in JSON_SUFFIXES:
            batches = _json_batches(path, schema, batch_rows)
        else:
            batches = _delimited_batches(path, schema, batch_rows, DELIMITERS[suffix])
        yield from batches


def unknown_column(column: str, names: Sequence[str]) -> str:
    """Say that there is no such column, which ones there are, and which one may be meant."""
    near = difflib.get_close_matches(column.casefold(), [name.casefold() for name in names], n=1)
    meant = next((f"; did you mean {name!r}?" for name in names if near and name.casefold() == near[0]), "")
    shown = ", ".join(repr(name) for name in names[:20]) + (", …" if len(names) > 20 else "")
    return f"no column {column!r}; columns: {shown}{meant}"


def _suffix(path: Path) -> str:
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    packed_parquet = suffix == ".parquet" and path.name.lower().endswith(".gz")
    if packed_parquet or suffix not in (*DELIMITERS, *JSON_SUFFIXES, ".parquet"):
        raise DataError(f"{path}: not a known kind of file; give .csv, .tsv or .jsonl (each also .gz), or .parquet")
    return suffix


class _Naming:
    """Turn what readers raise into a DataError that names the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        path = self._path
        match error:
            case FileNotFoundError():
                raise DataError(f"{path}: no such file") from None
            case gzip.BadGzipFile() | zlib.error() | EOFError():
                raise DataError(f"{path}: not a whole gzip file ({error}); pack or fetch it again") from None
            case pa.ArrowException():
                message = str(error).splitlines()[0]
                raise DataError(f"{path}: not readable as {_suffix(path)}: {message}") from None
            case OSError():
                raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def _open(path: Path) -> IO[bytes]:
    """Open a text file, unpacked if it is gzip, at its first byte after a byte order mark; DataError if it is
    not text.
    """
    opener: Callable[[Path], IO[bytes]] = _gzip if path.name.lower().endswith(".gz") else _plain
    file = opener(path)
    try:
        head = file.read(4096)
        if not head.strip():
            raise DataError(f"{path}: the file is empty; it needs a header and at least one row")
        if head.startswith(b"PK\x03\x04"):
            raise DataError(f"{path}: this is a zip archive (or a spreadsheet); unpack it, or save it as CSV")
        if head.startswith(b"\x1f\x8b"):
            raise DataError(f"{path}: this is a gzip file; let its name end in .gz")
        if b"\0" in head:
            raise DataError(f"{path}: this is a binary or UTF-16 file, not UTF-8 text; {UTF8_HINT}")
        file.seek(3 if head.startswith(b"\xef\xbb\xbf") else 0)
    except BaseException:
        file.close()
        raise
    return file


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _gzip(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path))


def _header(path: Path, file: IO[bytes], delimiter: str) -> list[str]:
    lines = (line.decode("utf-8", "surrogateescape") for line in file)
    try:
        names = next(row for row in csv.reader(lines, delimiter=delimiter) if row)
        "".join(names).encode()
    except UnicodeEncodeError:
        raise DataError(f"{path}: the header is not UTF-8; {UTF8_HINT}") from None
    except csv.Error as error:
        raise DataError(f"{path}: the header is not readable ({error}); the first line names the columns") from None
    return names


def _delimited_batches(path: Path, schema: pa.Schema, batch_rows: int, delimiter: str) -> Iterator[pa.RecordBatch]:
    done = 0
    # Arrow reads 32 blocks ahead, so blocks that hold any row would take 2 GiB. A file with a row longer than
    # a small block is read again from the start in large ones.
    for block_bytes in (MAX_ROW_BYTES // 32, MAX_ROW_BYTES):
        seen = 0
        try:
            for block in _delimited_blocks(path, schema, delimiter, block_bytes):
                known = min(done - seen, len(block))
                seen += len(block)
                for start in range(known, len(block), batch_rows):
                    batch = block.slice(start, batch_rows)
                    texts = [_utf8(path, name, batch[name], done) for name in schema.names]
                    yield pa.record_batch(texts, schema=schema)
                    done += len(batch)
            return
        except pa.ArrowInvalid as error:
            if "straddling" not in str(error):
                raise
    raise DataError(f"{path}: row {done + 1} is over {MAX_ROW_BYTES >> 20} MiB long; is a quote left open?")


def _delimited_blocks(path: Path, schema: pa.Schema, delimiter: str, block_bytes: int) -> Iterator[pa.RecordBatch]:
    """Yield blocks as bytes, because a failed conversion to text does not name its row."""
    ragged: list[pa.csv.InvalidRow] = []

    def keep(row: pa.csv.InvalidRow) -> str:
        ragged.append(row)
        return "error"

    with _open(path) as file:
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
            if ragged:
                row = ragged[0]
                raise DataError(
                    f"{path}: row {row.number - 1} has {row.actual_columns} cells where the header has "
                    f"{row.expected_columns}; put quotes around cells that hold {_spoken(delimiter)}"
                ) from None
            if "Empty CSV" not in str(error):  # what a header without a line break after it is called
                raise


def _spoken(delimiter: str) -> str:
    return "tabs" if delimiter == "\t" else f"{delimiter!r}"


def _json_fields(path: Path, file: IO[bytes]) -> list[str]:
    _, row = next(_json_rows(path, file), (0, {}))
    return list(row)


def _json_rows(path: Path, file: IO[bytes]) -> Iterator[tuple[int, dict[str, object]]]:
    number = 0
    while line := file.readline(MAX_ROW_BYTES + 1):
        number += 1
        if len(line) > MAX_ROW_BYTES:
            raise DataError(f"{path}: row {number} is longer than {MAX_ROW_BYTES >> 20} MiB; write one object a line")
        if line.isspace():
            continue
        try:
            row = json.loads(line.decode())
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: row {number} is not UTF-8 (byte {error.start}); {UTF8_HINT}") from None
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(
                f'{path}: row {number} is not a JSON object; write one a line: {{"text": "…", "label": "…"}}'
            )
        yield number, row


def _json_batches(path: Path, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
    values: list[list[str | None]] = [[] for _ in schema.names]
    size = 0
    with _open(path) as file:
        for number, row in _json_rows(path, file):
            for name, column in zip(schema.names, values, strict=True):
                column.append(_scalar(path, number, name, row.get(name)))
                size += len(column[-1] or "")
            if len(values[0]) == batch_rows or size > MAX_ROW_BYTES:
                yield pa.record_batch([pa.array(column, pa.string()) for column in values], schema=schema)
                values = [[] for _ in schema.names]
                size = 0
    if values[0]:
        yield pa.record_batch([pa.array(column, pa.string()) for column in values], schema=schema)


def _scalar(path: Path, row: int, name: str, value: object) -> str | None:
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise DataError(
                    f"{path}: row {row}, field {name!r} holds half a surrogate pair; write it whole"
                ) from None
        return value
    if value is None:
        return None
    if isinstance(value, int | float):
        return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)
    raise DataError(f"{path}: row {row}, field {name!r} is a JSON {type(value).__name__}; write a string or a number")


def _parquet_batches(path: Path, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
    with pa.parquet.ParquetFile(path) as file:
        for name in schema.names:
            kind = file.schema_arrow.field(name).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            if pa.types.is_nested(kind) or pa.types.is_temporal(kind):
                raise DataError(f"{path}: column {name!r} holds {kind}; give a column of strings or numbers")
        done = 0
        for batch in file.iter_batches(batch_size=batch_rows, columns=schema.names):
            yield pa.record_batch([_utf8(path, name, batch[name], done) for name in schema.names], schema=schema)
            done += len(batch)


def _utf8(path: Path, name: str, values: pa.Array, rows_before: int) -> pa.Array:
    """Cast to strings; DataError names the row whose bytes are not UTF-8."""
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:
        for row, value in enumerate(values, start=rows_before + 1):
            try:
                value.cast(pa.string())
            except pa.ArrowInvalid:
                raise DataError(f"{path}: row {row}, column {name!r} is not UTF-8; {UTF8_HINT}") from None
        raise
