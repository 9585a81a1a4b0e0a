"""Write scored batches to a CSV, TSV, JSON-lines or Parquet file."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from plaudit.models.base import DECIMALS

Writer = Callable[[pa.RecordBatch], None]

_ROW_GROUP_ROWS = 1 << 17
_ROW_GROUP_BYTES = 32 << 20


@contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[Writer]:
    waiting: list[pa.RecordBatch] = []
    num_rows = num_bytes = 0

    def write(batch: pa.RecordBatch) -> None:
        nonlocal num_rows, num_bytes
        waiting.append(batch)
        num_rows += batch.num_rows
        num_bytes += batch.nbytes
        if num_rows >= _ROW_GROUP_ROWS or num_bytes >= _ROW_GROUP_BYTES:
            write_row_group()

    def write_row_group() -> None:
        nonlocal num_rows, num_bytes
        writer.write_table(pa.Table.from_batches(waiting, schema))
        waiting.clear()
        num_rows = num_bytes = 0

    # A dictionary for numbers that hardly ever occur twice takes longer than all the rest of writing them.
    strings = [field.name for field in schema if pa.types.is_string(field.type)]
    with pa.parquet.ParquetWriter(path, schema, compression="zstd", use_dictionary=strings) as writer:
        yield write
        if waiting:
            write_row_group()


def _delimited(delimiter: str) -> Callable[[Path, pa.Schema], AbstractContextManager[Writer]]:
    @contextmanager
    def open_writer(path: Path, schema: pa.Schema) -> Iterator[Writer]:
        options = pa.csv.WriteOptions(delimiter=delimiter)
        with pa.csv.CSVWriter(path, schema, write_options=options) as writer:
            yield writer.write_batch

    return open_writer


@contextmanager
def _json_lines(path: Path, schema: pa.Schema) -> Iterator[Writer]:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        yield lambda batch: write_json_lines(batch, file)


def write_json_lines(batch: pa.RecordBatch, file: IO[str]) -> None:
    """Write one JSON object a row, with rounded probabilities."""
    for row in batch.to_pylist():
        rounded = {name: round(value, DECIMALS) if isinstance(value, float) else value for name, value in row.items()}
        file.write(json.dumps(rounded, ensure_ascii=False) + "\n")


WRITERS: dict[str, Callable[[Path, pa.Schema], AbstractContextManager[Writer]]] = {
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
"""By the suffix of the file: a function that opens it and returns a function to write a batch."""
