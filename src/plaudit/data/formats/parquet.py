"""Parquet as a stream of batches, whole files or runs of their row groups."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from plaudit.data.formats.location import Location
from plaudit.data.formats.rows import BATCH_BYTES, Reading, as_text
from plaudit.errors import DataError


def parquet_file(location: Location) -> pa.parquet.ParquetFile:
    """Open a file to read its rows one after the other."""
    if location.is_local:
        # A buffer, not the whole row group at once: that is quicker, and takes less memory.
        return pa.parquet.ParquetFile(location.path, pre_buffer=False, buffer_size=1 << 20)
    return pa.parquet.ParquetFile(location.open(), pre_buffer=True)


def parquet_batches(
    location: Location, schema: pa.Schema, batch_rows: int, reading: Reading, row_groups: tuple[int, int] | None
) -> Iterator[pa.RecordBatch]:
    """Yield batches of the schema's columns, of all row groups or of those from the first to before the last + 1."""
    with parquet_file(location) as file:
        for name in schema.names:
            kind = file.schema_arrow.field(name).type
            kept = schema.field(name).type == kind
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not kept and (pa.types.is_nested(kind) or pa.types.is_temporal(kind)):
                raise DataError(f"{location}: column {name!r} holds {kind}; give a column of strings or numbers")
        first, end = row_groups or (0, file.num_row_groups)
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        done = sum(group.num_rows for group in groups[:first])
        num_rows = sum(group.num_rows for group in groups[first:end])
        num_bytes = sum(group.total_byte_size for group in groups[first:end])
        packed_bytes = sum(packed_group_bytes(group) for group in groups[first:end])
        batch_rows = max(1, min(batch_rows, BATCH_BYTES * num_rows // max(1, num_bytes)))
        rows_read = 0
        for batch in file.iter_batches(
            batch_size=batch_rows, row_groups=range(first, end), columns=schema.names, use_threads=False
        ):
            rows_read += len(batch)
            reading.bytes_read = packed_bytes * rows_read // num_rows
            yield as_text(location, batch, schema, np.arange(done + 1, done + len(batch) + 1), reading)
            done += len(batch)


def packed_group_bytes(group: pa.parquet.RowGroupMetaData) -> int:
    """Return how many bytes of the file a row group takes."""
    return sum(group.column(i).total_compressed_size for i in range(group.num_columns))
