"""An own file of labelled reviews in, a dataset out: columns found, labels named, unusable rows counted."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from plaudit.data.formats.open import column_names, open_batches, unknown_column
from plaudit.data.table import SCHEMA, Dataset
from plaudit.errors import DataError

USUAL_NAMES = {
    "text": "text review review_text review_body sentence comment content body tweet message document",
    "label": "label labels sentiment class category target polarity rating stars score",
    "split": "split",
    "group": "group movie_id product_id",
    "id": "id",
}
SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "unsup": "unsup",
    "unlabelled": "unsup",
}
MAX_CLASSES = 127
NEGATIVE = ("negative", "neg", "bad", "0", "-1")
POSITIVE = ("positive", "pos", "good", "1", "+1")


@dataclass(frozen=True)
class Columns:
    """Names of an own file's columns; None means the first usual name that the file has."""

    text: str | None = None
    label: str | None = None
    split: str | None = None
    group: str | None = None
    id: str | None = None


def read_own(path: Path, columns: Columns, *, labels: tuple[str, ...] | None = None) -> Dataset:
    """Read a CSV, TSV, JSON-lines or Parquet file; rows without text are dropped and counted.

    Names of labels are the values found: numbers in their order, words sorted, negative before positive. With
    `labels` given, they and their order hold, values may be spelt in other case, and 0, 1, neg or pos stand
    for negative and positive. Rows of a file without a split column are all train.
    """
    found = _find_columns(path, columns)
    wanted = list(dict.fromkeys(found.values()))
    schema = pa.schema([(column, pa.string()) for column in wanted])
    table = pa.Table.from_batches(open_batches(path, wanted), schema=schema)
    if not len(table):
        raise DataError(f"{path}: the file has no rows; it needs at least one of each label")
    rows = np.arange(1, len(table) + 1)
    table, rows, dropped = _drop_without_text(table, rows, found["text"])
    split = _splits(path, table, rows, found.get("split"))
    label, names = _labels(path, table, rows, split, found["label"], labels)
    empty = pa.nulls(len(table), pa.string())
    group = table[found["group"]] if "group" in found else empty
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    ids = _ids(path, table, rows, found.get("id"), chosen=columns.id is not None)
    group = pc.if_else(pc.equal(group, ""), pa.scalar(None, pa.string()), group)
    content = [ids, table[found["text"]], label, split, group, pa.nulls(len(table), pa.int8())]
    return Dataset(path.name, names, pa.table(content, schema=SCHEMA), digest, dropped)


def find_column(path: Path, role: str, chosen: str | None) -> str | None:
    """Return the column that plays a role of USUAL_NAMES: `chosen`, else the first with a usual name, else None.

    DataError if there is no column `chosen`.
    """
    names = column_names(path)
    if chosen is not None:
        if chosen not in names:
            raise DataError(f"{path}: {unknown_column(chosen, names)}")
        return chosen
    return usual_column(names, role)


def unnamed_column(role: str, names: Sequence[str]) -> str:
    """Say that no column has a usual name for a role, and which names there are."""
    return f"no column is named like a {role}; name one of {', '.join(map(repr, names[:20]))}"


def usual_column(names: Sequence[str], role: str) -> str | None:
    """Return the first of the names that is usual for a role of USUAL_NAMES, in any case; None if none is."""
    by_folded = {name.strip().casefold(): name for name in reversed(names)}
    return next((by_folded[name] for name in USUAL_NAMES[role].split() if name in by_folded), None)


def required_column(path: Path, role: str, chosen: str | None) -> str:
    """Return what `find_column` finds; DataError lists the columns if it finds none."""
    found = find_column(path, role, chosen)
    if found is None:
        raise DataError(f"{path}: {unnamed_column(role, column_names(path))}")
    return found


def _find_columns(path: Path, columns: Columns) -> dict[str, str]:
    required = {role: required_column(path, role, getattr(columns, role)) for role in ("text", "label")}
    optional = {role: find_column(path, role, getattr(columns, role)) for role in ("split", "group", "id")}
    found = required | {role: column for role, column in optional.items() if column is not None}
    if found["text"] == found["label"]:
        raise DataError(f"{path}: column {found['text']!r} cannot be text and label at once; set both columns")
    return found


def _drop_without_text(table: pa.Table, rows: np.ndarray, column: str) -> tuple[pa.Table, np.ndarray, dict[str, int]]:
    text = table[column]
    missing = pc.is_null(text)
    empty = pc.and_(pc.invert(missing), pc.fill_null(pc.equal(pc.utf8_trim_whitespace(text), ""), False))
    dropped = {"missing text": pc.sum(missing).as_py(), "empty text": pc.sum(empty).as_py()}
    keep = pc.invert(pc.or_(missing, empty))
    return (
        table.filter(keep),
        rows[keep.to_numpy()],
        {reason: count for reason, count in dropped.items() if count},
    )


def _splits(path: Path, table: pa.Table, rows: np.ndarray, column: str | None) -> pa.Array:
    if column is None:
        return pa.array(["train"] * len(table), pa.string())
    given = pc.utf8_lower(pc.utf8_trim_whitespace(table[column])).combine_chunks()
    position = pc.index_in(given, pa.array(list(SPLITS)))
    if position.null_count:
        row = int(np.flatnonzero(pc.is_null(position).to_numpy(zero_copy_only=False))[0])
        raise DataError(
            f"{path}: row {rows[row]}, column {column!r} is {given[row].as_py()!r}; "
            "write train, validation, test or unsup, or set split_column to another column"
        )
    return pa.array(list(SPLITS.values())).take(position)


def _labels(
    path: Path,
    table: pa.Table,
    rows: np.ndarray,
    split: pa.Array,
    column: str,
    labels: tuple[str, ...] | None,
) -> tuple[pa.Array, tuple[str, ...]]:
    given = pc.utf8_trim_whitespace(table[column]).combine_chunks()
    given = pc.if_else(pc.equal(given, ""), pa.scalar(None, pa.string()), given)
    missing = pc.and_(pc.is_null(given), pc.not_equal(split, "unsup")).to_numpy(zero_copy_only=False)
    if missing.any():
        raise DataError(
            f"{path}: row {rows[missing.argmax()]}, column {column!r} has no label "
            f"(and {missing.sum() - 1} rows more); label these rows or take them out"
        )
    given = pc.if_else(pc.equal(split, "unsup"), pa.scalar(None, pa.string()), given)
    values = [value for value in pc.unique(given).to_pylist() if value is not None]
    if labels is None:
        labels = _named(path, column, values)
        index = {value: labels.index(value) for value in values}
    else:
        index = _matched(values, labels)
    unknown = [value for value in values if value not in index]
    if unknown:
        row = int(pc.index(given, unknown[0]).as_py())
        raise DataError(
            f"{path}: row {rows[row]}, column {column!r} is {unknown[0][:40]!r}, "
            f"not one of the labels {', '.join(labels)}"
        )
    position = pc.index_in(given, pa.array(list(index), pa.string()), skip_nulls=True)
    return pa.array(list(index.values()), pa.int8()).take(position), labels


def _named(path: Path, column: str, values: Sequence[str]) -> tuple[str, ...]:
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


def _matched(values: Sequence[str], labels: tuple[str, ...]) -> dict[str, int]:
    folded = [label.casefold() for label in labels]
    aliases = dict(zip(folded, range(len(labels)), strict=True))
    if len(labels) == 2 and folded[0] in NEGATIVE and folded[1] in POSITIVE:
        aliases = dict.fromkeys(NEGATIVE, 0) | dict.fromkeys(POSITIVE, 1)
    exact = {label: i for i, label in enumerate(labels)}
    return {
        value: exact.get(value, aliases.get(value.casefold(), -1))
        for value in values
        if value in exact or value.casefold() in aliases
    }


def _ids(path: Path, table: pa.Table, rows: np.ndarray, column: str | None, *, chosen: bool) -> pa.Array:
    numbered = pa.array([f"{path.stem}/{row}" for row in rows.tolist()], pa.string())
    if column is None:
        return numbered
    ids = table[column].combine_chunks()
    unique = pc.count_distinct(ids, mode="all").as_py() == len(ids) and not ids.null_count
    if unique or not chosen:
        return ids if unique else numbered
    seen: set[str | None] = {None}
    for row, value in zip(rows.tolist(), ids.to_pylist(), strict=True):
        if value in seen:
            raise DataError(f"{path}: row {row}, column {column!r} is {value!r}, not unique; set another id_column")
        seen.add(value)
    raise AssertionError("no repeated id")
