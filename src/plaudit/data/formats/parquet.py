"""Parquet as a stream of batches, of whole files or of some successive row groups."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from plaudit.data.formats.location import Location
from plaudit.data.formats.rows import BATCH_BYTES, ReadLog, decoded
from plaudit.errors import DataError


def parquet_file(location: Location) -> pa.parquet.ParquetFile:
    """Open a file to read its rows one after the other."""
    if location.is_local:
        # A buffer, not the whole row group at once: that is quicker, and takes less memory.
        return pa.parquet.ParquetFile(location.path, pre_buffer=False, buffer_size=1 << 20)
    return pa.parquet.ParquetFile(location.open(), pre_buffer=True)


def parquet_batches(
    location: Location, schema: pa.Schema, batch_rows: int, log: ReadLog, row_groups: tuple[int, int] | None
) -> Iterator[pa.RecordBatch]:
    """Yield batches of the schema's columns from all row groups, or from those in `row_groups` (first, last + 1)."""
    with parquet_file(location) as file:
        for name in schema.names:
            _check_type(location, name, file.schema_arrow.field(name).type, schema.field(name).type)
        first, end = row_groups or (0, file.num_row_groups)
        groups = [file.metadata.row_group(i) for i in range(end)]
        last_row = sum(group.num_rows for group in groups[:first])
        num_rows = sum(group.num_rows for group in groups[first:])
        num_bytes = sum(group.total_byte_size for group in groups[first:])
        stored_bytes = sum(map(compressed_bytes, groups[first:]))
        batch_rows = max(1, min(batch_rows, BATCH_BYTES * num_rows // max(1, num_bytes)))
        rows_read = 0
        for batch in file.iter_batches(
            batch_size=batch_rows, row_groups=range(first, end), columns=schema.names, use_threads=False
        ):
            rows_read += len(batch)
            log.bytes_read = stored_bytes * rows_read // num_rows
            yield decoded(location, batch, schema, np.arange(last_row + 1, last_row + len(batch) + 1), log)
            last_row += len(batch)


def compressed_bytes(group: pa.parquet.RowGroupMetaData) -> int:
    """Return how many bytes of the file a row group takes."""
    return sum(group.column(i).total_compressed_size for i in range(group.num_columns))


def _check_type(location: Location, name: str, stored: pa.DataType, requested: pa.DataType) -> None:
    if requested == stored:
        return
    kind = stored.value_type if pa.types.is_dictionary(stored) else stored
    if pa.types.is_nested(kind) or pa.types.is_temporal(kind):
        raise DataError(f"{location}: column {name!r} holds {kind}; give a column of strings or numbers")
