"""A file of texts in, the same file with scores out, in constant memory on one machine."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from undertone.data.atomic import replacing
from undertone.data.files import column_names, open_batches
from undertone.data.own import required_column
from undertone.errors import DataError, OutputError
from undertone.predictor import Predictor

Writer = Callable[[pa.RecordBatch], None]


def scored_batches(predictor: Predictor, path: Path, column: str | None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file with `predicted` and, for each label, `probability_LABEL`.

    An empty or missing text has neither: both are null. `predicted` is null where the predictor abstains, too.
    Every column of the file comes along as text.
    """
    names = column_names(path)
    text_column = required_column(path, "text", column)
    added = ["predicted", *(f"probability_{label}" for label in predictor.labels)]
    taken = [name for name in added if name in names]
    if taken:
        raise DataError(f"{path}: has a column {taken[0]!r} already; rename it, scores are written under that name")
    for batch in open_batches(path, names):
        texts = batch.column(text_column).to_pylist()
        rows = [i for i, text in enumerate(texts) if text and not text.isspace()]
        probabilities = predictor.predict_proba([texts[i] for i in rows])
        place = dict(zip(rows, range(len(rows)), strict=True))
        indices = pa.array([place.get(i) for i in range(len(texts))], pa.int64())
        predicted = pa.array(predictor.verdicts(probabilities), pa.string())
        scores = [pa.array(probabilities[:, i]).take(indices) for i in range(len(predictor.labels))]
        yield pa.RecordBatch.from_arrays(
            [*batch.columns, predicted.take(indices), *scores], names=[*batch.schema.names, *added]
        )


class Scored(NamedTuple):
    """How many rows were written, how many of them have no text, and on how many the predictor abstained."""

    rows: int
    rows_without_text: int
    abstained: int


def score_file(predictor: Predictor, path: Path, out: Path, *, column: str | None, console: Console) -> Scored:
    """Write the scored rows to `out`, whole or not at all, in the format of its suffix.

    DataError if `path` is not what it should be, OutputError if
    `out` cannot be written.
    """
    if out.suffix.lower() not in _WRITERS:
        raise OutputError(f"{out}: write to one of {', '.join(_WRITERS)}")
    batches = scored_batches(predictor, path, column)
    first = next(batches, None)
    if first is None:
        raise DataError(f"{path}: has no rows to score")
    num_rows = num_empty = num_null = 0
    bar = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with (
        replacing(out, hint="name a folder with room to write to") as temporary,
        Progress(*bar, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task(f"Scoring {path}", total=None)
        with _WRITERS[out.suffix.lower()](temporary, first.schema) as write:
            batch: pa.RecordBatch | None = first
            while batch is not None:
                write(batch)
                num_rows += batch.num_rows
                num_empty += batch.column(-1).null_count  # the last label's probability
                num_null += batch.column("predicted").null_count
                progress.update(task, description=f"Scoring {path}: {num_rows:,} rows")
                batch = next(batches, None)
    return Scored(num_rows, num_empty, num_null - num_empty)


@contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[Writer]:
    with pa.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        yield writer.write_batch


def _delimited(delimiter: str) -> Callable[[Path, pa.Schema], AbstractContextManager[Writer]]:
    @contextmanager
    def open_writer(path: Path, schema: pa.Schema) -> Iterator[Writer]:
        options = pa.csv.WriteOptions(delimiter=delimiter)
        with pa.csv.CSVWriter(path, schema, write_options=options) as writer:
            yield writer.write_batch

    return open_writer


@contextmanager
def _json_lines(path: Path, schema: pa.Schema) -> Iterator[Writer]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda batch: write_json_lines(batch, file)


def write_json_lines(batch: pa.RecordBatch, file: IO[str]) -> None:
    """Write one JSON object a row; probabilities are rounded to what a float32 holds."""
    for row in batch.to_pylist():
        rounded = {name: round(value, 7) if isinstance(value, float) else value for name, value in row.items()}
        file.write(json.dumps(rounded, ensure_ascii=False) + "\n")


_WRITERS = {
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
