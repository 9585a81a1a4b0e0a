"""Read your own file of labelled reviews: find its columns, name its labels, and count rows that cannot be used."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from plaudit.data.columns import ROLES, no_usual_column, usual_column
from plaudit.data.formats.open import column_names, open_batches, unknown_column
from plaudit.data.formats.read_options import ReadOptions
from plaudit.data.table import SCHEMA, Dataset
from plaudit.errors import DataError

_SPLIT_NAMES = {
    "train": "train training",
    "validation": "validation valid val dev",
    "test": "test",
    "unsup": "unsup unlabelled",
}
SPLITS = {name: split for split, names in _SPLIT_NAMES.items() for name in names.split()}
MAX_CLASSES = 127
NEGATIVE = ("negative", "neg", "bad", "0", "-1")
POSITIVE = ("positive", "pos", "good", "1", "+1")


def read_labelled_file(
    path: Path,
    columns: Mapping[str, str] | None = None,
    *,
    labels: tuple[str, ...] | None = None,
    read_options: ReadOptions | None = None,
) -> Dataset:
    """Read a file of labelled reviews; rows without text are dropped and counted.

    `columns` names the column for some of ROLES; the others take the first usual name that the file has. Labels are
    named by their values: numbers in their order, words sorted, negative before positive. With `labels`, these names
    and their order hold; values may differ in case, and 0, 1, neg or pos stand for negative and positive. Without a
    split column, all rows are train.
    """
    column_of = _find_columns(path, columns or {}, read_options)
    names = list(dict.fromkeys(column_of.values()))
    batches = open_batches(path, names, read_options)
    table = pa.Table.from_batches(batches, schema=pa.schema([(name, pa.string()) for name in names]))
    if not len(table):
        raise DataError(f"{path}: the file has no rows; it needs at least one of each label")
    rows, dropped = _Rows(path, table, np.arange(1, len(table) + 1)).with_text(column_of["text"])
    split = _splits(rows, column_of.get("split"))
    label_values = _label_values(rows, column_of["label"], split)
    labels, label_ids = _label_ids(rows, column_of["label"], label_values, labels)
    nulls = pa.nulls(len(rows.table), pa.string())
    content = {
        "id": _ids(rows, column_of.get("id"), must_be_unique="id" in (columns or {})),
        "text": rows.table[column_of["text"]],
        "label": label_ids,
        "split": split,
        "group": _empty_as_null(rows.table[column_of["group"]]) if "group" in column_of else nulls,
        "rating": nulls.cast(pa.int8()),
    }
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if read_options is not None and read_options.given():
        digest = hashlib.sha256(f"{digest} {read_options.model_dump_json()}".encode()).hexdigest()
    return Dataset(path.name, labels, pa.table(content, schema=SCHEMA), digest, dropped)


@dataclass(frozen=True)
class _Rows:
    """Rows of a file, with the numbers that they have in it."""

    path: Path
    table: pa.Table
    numbers: npt.NDArray[np.int64]

    def with_text(self, column: str) -> tuple["_Rows", dict[str, int]]:
        """Return the rows that have a text, and count the others by reason."""
        text = self.table[column]
        missing = pc.is_null(text)
        empty = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(text), ""), False)
        counts = {"missing text": pc.sum(missing).as_py(), "empty text": pc.sum(empty).as_py()}
        keep = pc.invert(pc.or_(missing, empty))
        rows = _Rows(self.path, self.table.filter(keep), self.numbers[keep.to_numpy()])
        return rows, {reason: count for reason, count in counts.items() if count}

    def error(self, i: int, column: str, problem: str) -> DataError:
        return DataError(f"{self.path}: row {self.numbers[i]}, column {column!r} {problem}")


def _find_columns(path: Path, columns: Mapping[str, str], read_options: ReadOptions | None) -> dict[str, str]:
    """Return the column of each role that the file has."""
    names = column_names(path, read_options)
    column_of = {}
    for role in ROLES:
        column = columns.get(role) or usual_column(names, role)
        if column is None and role in ("text", "label"):
            raise DataError(f"{path}: {no_usual_column(role, names)}")
        if column is not None and column not in names:
            raise DataError(f"{path}: {unknown_column(column, names)}")
        if column is not None:
            column_of[role] = column
    if column_of["text"] == column_of["label"]:
        raise DataError(f"{path}: column {column_of['text']!r} cannot be text and label at once; set both columns")
    return column_of


def _empty_as_null(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)


def _splits(rows: _Rows, column: str | None) -> pa.Array:
    if column is None:
        return pa.array(["train"] * len(rows.table), pa.string())
    values = pc.utf8_lower(pc.utf8_trim_whitespace(rows.table[column])).combine_chunks()
    position = pc.index_in(values, pa.array(list(SPLITS)))
    if position.null_count:
        i = pc.index(pc.is_null(position), True).as_py()
        hint = "write train, validation, test or unsup, or set split_column to another column"
        raise rows.error(i, column, f"is {values[i].as_py()!r}; {hint}")
    return pa.array(list(SPLITS.values())).take(position)


def _label_values(rows: _Rows, column: str, split: pa.Array) -> pa.Array:
    """Return the labels as they are written, null for unlabelled rows; DataError if another row has none."""
    values = _empty_as_null(pc.utf8_trim_whitespace(rows.table[column]).combine_chunks())
    is_unlabelled = pc.equal(split, "unsup")
    missing = pc.and_(pc.is_null(values), pc.invert(is_unlabelled))
    if num_missing := pc.sum(missing).as_py():
        i = pc.index(missing, True).as_py()
        more = f"(and {num_missing - 1} rows more); label these rows or take them out"
        raise rows.error(i, column, f"has no label {more}")
    return pc.if_else(is_unlabelled, pa.scalar(None, pa.string()), values)


def _label_ids(
    rows: _Rows, column: str, label_values: pa.Array, labels: tuple[str, ...] | None
) -> tuple[tuple[str, ...], pa.Array]:
    """Return the names of the labels and the number of each row's label."""
    distinct = [value for value in pc.unique(label_values).to_pylist() if value is not None]
    if labels is None:
        labels = _names_of_labels(rows.path, column, distinct)
    id_of = {value: label_id for value in distinct if (label_id := _label_id(value, labels)) is not None}
    for value in distinct:
        if value not in id_of:
            i = pc.index(label_values, value).as_py()
            raise rows.error(i, column, f"is {value[:40]!r}, not one of the labels {', '.join(labels)}")
    position = pc.index_in(label_values, pa.array(list(id_of), pa.string()), skip_nulls=True)
    return labels, pa.array(list(id_of.values()), pa.int8()).take(position)


def _names_of_labels(path: Path, column: str, values: Sequence[str]) -> tuple[str, ...]:
    """Return the values in the order of their labels."""
    if len(values) > MAX_CLASSES:
        raise DataError(
            f"{path}: column {column!r} has {len(values):,} values, more than {MAX_CLASSES} classes; "
            "it is probably not the label: set label_column"
        )
    if len(values) < 2:
        only = f"only the label {values[0]!r}" if values else "no labels"
        raise DataError(f"{path}: column {column!r} has {only}; a classifier needs rows of at least two labels")
    if all(re.fullmatch(r"[+-]?\d+", value) for value in values):
        return tuple(sorted(values, key=lambda value: (int(value), value)))
    if len(values) == 2 and values[0].casefold() in POSITIVE and values[1].casefold() in NEGATIVE:
        return (values[1], values[0])
    return tuple(sorted(values, key=lambda value: (value.casefold() not in NEGATIVE, value.casefold(), value)))


def _label_id(value: str, labels: tuple[str, ...]) -> int | None:
    """Return the number of the label that a value stands for: by name, in other case, or as another negative word."""
    if value in labels:
        return labels.index(value)
    folded = [label.casefold() for label in labels]
    if len(labels) == 2 and folded[0] in NEGATIVE and folded[1] in POSITIVE:
        return next((i for i, words in enumerate((NEGATIVE, POSITIVE)) if value.casefold() in words), None)
    return folded.index(value.casefold()) if value.casefold() in folded else None


def _ids(rows: _Rows, column: str | None, *, must_be_unique: bool) -> pa.Array:
    """Return unique ids: those in the column, else row numbers; DataError if a column that must be unique is not."""
    numbered = pa.array([f"{rows.path.stem}/{number}" for number in rows.numbers.tolist()], pa.string())
    if column is None:
        return numbered
    ids = rows.table[column].combine_chunks()
    seen: set[str | None] = {None}
    for i, value in enumerate(ids.to_pylist()):
        if value in seen:
            if must_be_unique:
                raise rows.error(i, column, f"is {value!r}, not unique; set another id_column")
            return numbered
        seen.add(value)
    return ids
