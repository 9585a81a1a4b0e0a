"""Adds a test file or a file of unlabelled texts to the labelled file that a model is trained on."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from plaudit.data.columns import no_usual_column, usual_column
from plaudit.data.formats.open import column_names, open_batches, unknown_column
from plaudit.data.formats.read_options import ReadOptions
from plaudit.data.labelled_file import read_labelled_file
from plaudit.data.source_files import printable
from plaudit.data.table import SCHEMA, Dataset, with_split
from plaudit.errors import DataError


def with_test_file(
    dataset: Dataset,
    path: Path,
    columns: Mapping[str, str],
    labels: tuple[str, ...] | Mapping[str, Sequence[str]],
    options: ReadOptions,
) -> Dataset:
    """Return the dataset with the rows of another labelled file as its test split; DataError if it has one already."""
    if len(dataset.split("test")):
        raise DataError(f"{dataset.name}: has test rows of its own; leave {path} out, or the split column")
    own = {role: column for role, column in columns.items() if role in ("text", "label")}
    return _joined(dataset, read_labelled_file(path, own, labels=labels, read_options=options), "test")


def with_unlabelled_file(dataset: Dataset, path: Path, text_column: str | None, options: ReadOptions) -> Dataset:
    """Return the dataset with the texts of another file, whose labels are not read."""
    names = column_names(path, options)
    column = text_column if text_column in names else usual_column(names, "text")
    if column is None:
        problem = no_usual_column("text", names) if text_column is None else unknown_column(text_column, names)
        raise DataError(f"{path}: {problem}")
    texts = pa.chunked_array([batch[column] for batch in open_batches(path, [column], options)], pa.string())
    texts = texts.filter(pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(texts), ""), False))
    if not len(texts):
        raise DataError(f"{path}: column {column!r} has no texts")
    nulls = pa.nulls(len(texts), pa.string())
    columns = {
        "id": pa.array([f"{printable(path.stem)}/{row}" for row in range(1, len(texts) + 1)]),
        "text": texts,
        "label": nulls.cast(pa.int8()),
        "split": nulls,
        "group": nulls,
        "rating": nulls.cast(pa.int8()),
    }
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    table = pa.table(columns, schema=SCHEMA)
    return _joined(dataset, Dataset(printable(path.name), dataset.labels, table, digest), "unsup")


def _joined(dataset: Dataset, other: Dataset, split: str) -> Dataset:
    """Return both with all rows of `other` in one split, their ids kept apart."""
    table = with_split(other.table, split)
    ids = pc.binary_join_element_wise(pa.scalar(split), table["id"], "/")
    table = table.set_column(table.schema.get_field_index("id"), SCHEMA.field("id"), ids)
    dropped = {f"{reason} ({other.name})": count for reason, count in other.dropped.items()}
    digest = hashlib.sha256(f"{dataset.digest} {split} {other.digest}".encode()).hexdigest()
    joined = pa.concat_tables([dataset.table, table])
    return replace(dataset, table=joined, digest=digest, dropped={**dataset.dropped, **dropped})
