"""Read your own labelled reviews: find its columns, name its labels, and count rows that cannot be used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from plaudit.data.columns import ROLES, no_usual_column, usual_column
from plaudit.data.formats.open import unknown_column
from plaudit.data.formats.read_options import ReadOptions
from plaudit.data.label_values import ids_by_class, is_number, label_id, label_names, plain_label, shown
from plaudit.data.missing import without_missing
from plaudit.data.source_files import SPLITS, SourceRows, find_source, printable
from plaudit.data.table import SCHEMA, Dataset
from plaudit.errors import DataError

UNUSED = ("", "none")
"""What is given as the column of a role that no column has."""


def read_labelled_file(
    path: Path,
    columns: Mapping[str, str] | None = None,
    *,
    labels: tuple[str, ...] | Mapping[str, Sequence[str]] | None = None,
    read_options: ReadOptions | None = None,
) -> Dataset:
    """Read a file, pipe or folder of labelled reviews; rows without text are dropped and counted.

    `columns` names the column for some of ROLES, or one of UNUSED; the others take the first usual name that the file
    has. Labels are named by their values: numbers in their order, words sorted, negative before positive. With names
    as `labels`, these and their order hold; values may differ in case, and 0, 1, neg or pos stand for negative and
    positive. With a mapping, a label stands for the values that it lists; other rows are dropped and counted.
    Without a split column, all rows are train.
    """
    options = read_options or ReadOptions()
    with find_source(path) as source:
        column_of = _find_columns(path, columns or {}, source.column_names(options))
        read = source.read(list(dict.fromkeys(column_of.values())), options)
        digest = source.digest(options)
    table = read.table
    if not len(table):
        raise DataError(f"{path}: the file has no rows; it needs at least one of each label")
    rows, dropped = _Rows(path, table, np.arange(1, len(table) + 1), read).with_text(column_of["text"])
    split = _splits(rows, column_of.get("split"))
    label_values = _label_values(rows, column_of["label"], split)
    names_of_labels, label_ids = _label_ids(rows, column_of["label"], label_values, labels)
    nulls = pa.nulls(len(rows.table), pa.string())
    content = {
        "id": _ids(rows, column_of.get("id"), must_be_unique="id" in (columns or {})),
        "text": rows.table[column_of["text"]],
        "label": label_ids,
        "split": split,
        "group": _empty_as_null(without_missing(rows.table[column_of["group"]])) if "group" in column_of else nulls,
        "rating": nulls.cast(pa.int8()),
    }
    is_left_out = pc.and_(pc.is_null(label_ids), pc.is_valid(label_values))
    if num_left_out := pc.sum(is_left_out).as_py():
        dropped[f"label in no class ({shown(label_values.filter(is_left_out).unique().to_pylist())})"] = num_left_out
    table = pa.table(content, schema=SCHEMA).filter(pc.invert(is_left_out))
    return Dataset(printable(path.name), names_of_labels, table, digest, dropped, column_of.get("group"))


@dataclass(frozen=True)
class _Rows:
    """Rows of a file, with the numbers that they have in it."""

    path: Path
    table: pa.Table
    numbers: npt.NDArray[np.int64]
    read: SourceRows
    """All rows that were read, which know their places."""

    def with_text(self, column: str) -> tuple["_Rows", dict[str, int]]:
        """Return the rows that have a text, and count the others by reason."""
        text = without_missing(self.table[column])
        missing = pc.is_null(text)
        empty = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(text), ""), False)
        counts = {"missing text": pc.sum(missing).as_py(), "empty text": pc.sum(empty).as_py()}
        keep = pc.invert(pc.or_(missing, empty))
        rows = _Rows(self.path, self.table.filter(keep), self.numbers[keep.to_numpy()], self.read)
        return rows, {reason: count for reason, count in counts.items() if count}

    def error(self, i: int, column: str, problem: str) -> DataError:
        return DataError(f"{self.read.place(int(self.numbers[i]))}, column {column!r} {problem}")


def _find_columns(path: Path, columns: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return the column of each role that the file has."""
    column_of = {}
    for role in ROLES:
        given = columns.get(role)
        if role not in ("text", "label") and given in UNUSED and given not in names:
            continue
        column = given or usual_column(names, role)
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
        hint = "write train, validation, test or unsup, or set split_column to another column or to none"
        raise rows.error(i, column, f"is {values[i].as_py()!r}; {hint}")
    return pa.array(list(SPLITS.values())).take(position)


def _label_values(rows: _Rows, column: str, split: pa.Array) -> pa.Array:
    """Return the labels in their one spelling, null for unlabelled rows; DataError if another row has none."""
    written = without_missing(pc.utf8_trim_whitespace(rows.table[column]).combine_chunks()).dictionary_encode()
    spellings = pa.array([plain_label(value) or None for value in written.dictionary.to_pylist()], pa.string())
    values = spellings.take(written.indices)
    is_unlabelled = pc.equal(split, "unsup")
    missing = pc.and_(pc.is_null(values), pc.invert(is_unlabelled))
    if num_missing := pc.sum(missing).as_py():
        i = pc.index(missing, True).as_py()
        more = f"(and {num_missing - 1} rows more); label these rows or take them out"
        raise rows.error(i, column, f"has no label {more}")
    return pc.if_else(is_unlabelled, pa.scalar(None, pa.string()), values)


def _label_ids(
    rows: _Rows, column: str, label_values: pa.Array, labels: tuple[str, ...] | Mapping[str, Sequence[str]] | None
) -> tuple[tuple[str, ...], pa.Array]:
    """Return the names of the labels and the number of each row's label, null where it has none."""
    distinct = [value for value in pc.unique(label_values).to_pylist() if value is not None]
    where = f"{rows.path}: column {column!r}"
    if isinstance(labels, Mapping):
        names, id_of = tuple(labels), ids_by_class(distinct, labels, where)
    else:
        names = label_names(distinct, where) if labels is None else labels
        unknown = next((value for value in distinct if label_id(value, names) is None), None)
        if unknown is not None:
            i = pc.index(label_values, unknown).as_py()
            join = f"; say which values stand for each by --labels '{names[0]}=1,2 …'" if is_number(unknown) else ""
            raise rows.error(i, column, f"is {unknown[:40]!r}, not one of the labels {', '.join(names)}{join}")
        id_of = {value: number for value in distinct if (number := label_id(value, names)) is not None}
    position = pc.index_in(label_values, pa.array(list(id_of), pa.string()), skip_nulls=True)
    return names, pa.array(list(id_of.values()), pa.int8()).take(position)


def _ids(rows: _Rows, column: str | None, *, must_be_unique: bool) -> pa.Array:
    """Return unique ids: those in the column, else row numbers; DataError if a column that must be unique is not."""
    stem = printable(rows.path.stem)
    numbered = pa.array([f"{stem}/{number}" for number in rows.numbers.tolist()], pa.string())
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
