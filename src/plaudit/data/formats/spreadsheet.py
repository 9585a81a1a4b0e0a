"""Sheets of .xlsx, .xls and .ods files as a stream of batches, all cells as text."""

import datetime
import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from plaudit.console import needs_extra
from plaudit.data.formats.location import Location
from plaudit.data.formats.read_options import ReadOptions, naming
from plaudit.data.formats.rows import BATCH_BYTES, ReadLog, column_labels
from plaudit.errors import DataError

if TYPE_CHECKING:
    from python_calamine import CalamineSheet

SUFFIXES = (".xlsx", ".xls", ".ods", ".xlsm", ".xlsb")


def sheet_columns(location: Location, options: ReadOptions) -> list[str]:
    """Return the column names: the first row, or numbers if there is no header."""
    names, _ = _columns_and_rows(location, options)
    return names


def sheet_batches(
    location: Location, schema: pa.Schema, batch_rows: int, log: ReadLog, options: ReadOptions
) -> Iterator[pa.RecordBatch]:
    """Yield batches of the schema's columns, all of which are strings."""
    names, rows = _columns_and_rows(location, options)
    positions = [names.index(name) for name in schema.names]
    cells: list[list[str]] = []
    num_characters = 0
    for row in rows:
        cells.append([_as_string(row[i]) if i < len(row) else "" for i in positions])
        num_characters += sum(map(len, cells[-1]))
        if len(cells) == batch_rows or num_characters > BATCH_BYTES:
            yield _batch(cells, schema)
            cells, num_characters = [], 0
    if cells:
        yield _batch(cells, schema)
    with location.open() as file:
        log.bytes_read = file.seek(0, io.SEEK_END)


def _batch(cells: list[list[str]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array(column, pa.string()) for column in zip(*cells, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _columns_and_rows(location: Location, options: ReadOptions) -> tuple[list[str], Iterator[list[Any]]]:
    rows = iter(_sheet(location, options).to_python(skip_empty_area=False))
    first = next((row for row in rows if any(cell != "" for cell in row)), None)
    if first is None:
        raise DataError(f"{location}: the sheet is empty; it needs a header and at least one row")
    if options.header is False:
        return [str(i + 1) for i in range(len(first))], _chained(first, rows)
    return column_labels([_as_string(cell) for cell in first]), rows


def _chained(first: list[Any], rows: Iterator[list[Any]]) -> Iterator[list[Any]]:
    yield first
    yield from rows


def _sheet(location: Location, options: ReadOptions) -> "CalamineSheet":
    with needs_extra("spreadsheet", "reading a spreadsheet"):
        from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    try:
        with location.open() as file:
            book = CalamineWorkbook.from_filelike(io.BytesIO(file.read()))
        filled = [sheet for name in book.sheet_names if (sheet := book.get_sheet_by_name(name)).height]
    except PasswordError:
        raise DataError(f"{location}: has a password; save it without") from None
    except CalamineError as error:
        message = str(error).splitlines()[0]
        raise DataError(f"{location}: not readable as a spreadsheet ({message}); save it as .xlsx or CSV") from None
    if options.table is not None:
        if options.table not in book.sheet_names:
            raise DataError(f"{location}: no sheet {options.table!r}; sheets: {', '.join(map(repr, book.sheet_names))}")
        return book.get_sheet_by_name(options.table)
    if len(filled) > 1:
        listed = ", ".join(repr(sheet.name) for sheet in filled)
        raise DataError(f"{location}: has the sheets {listed}; choose one ({naming('table')})")
    return filled[0] if filled else book.get_sheet_by_index(0)


def _as_string(cell: Any) -> str:  # noqa: ANN401  # what calamine makes of a cell
    if isinstance(cell, str):
        return cell
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return json.dumps(cell) if isinstance(cell, bool | int | float) else str(cell)
