"""A dataset in, leak-free train, validation, test and unlabelled tables out.

What must not be torn apart stays on one side: rows of one group (a movie), and rows of one text, whatever
their group.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from plaudit.data.formats.open import column_names, open_batches, unknown_column
from plaudit.data.load import DataSettings
from plaudit.data.table import Dataset
from plaudit.errors import DataError

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Splits:
    """Reviews ready to train on: tables with SCHEMA's columns.

    Every row of train, validation and test has a label. `dropped` counts the rows left out since the source,
    by reason. `digest` changes with the source's content and with the settings of the split.
    """

    train: pa.Table
    validation: pa.Table
    test: pa.Table
    unlabelled: pa.Table
    labels: tuple[str, ...]
    dropped: dict[str, int]
    name: str
    digest: str


def prepare(dataset: Dataset, settings: DataSettings) -> Splits:
    """Split a dataset; the same dataset and settings give the same rows in the same order.

    Test and validation are held out from train, by group, where the source has none. Train and unlabelled
    texts that repeat a text of test, and train texts that repeat one of the source's own validation, are
    dropped: the same up to case and white space; so is what `settings.leave_out` lists. DataError if a split
    would be empty.
    """
    # Keys are computed once for all rows: equal integers mean equal texts.
    keys = text_keys(dataset.table["text"])
    split = np.asarray(dataset.table["split"].to_pylist(), dtype=object)
    rows = {name: np.flatnonzero(split == name) for name in ("train", "validation", "test", "unsup")}
    holder = Holder(dataset, keys, settings.seed)
    if not len(rows["test"]):
        rows["train"], rows["test"] = holder.hold_out(rows["train"], settings.test_fraction, "test")
    if not len(rows["validation"]):
        rows["train"], rows["validation"] = holder.hold_out(rows["train"], settings.validation_fraction, "validation")

    dropped = dict(dataset.dropped)
    for name, other in (
        ("train", "test"),
        ("validation", "test"),
        ("unsup", "test"),
        ("train", "validation"),
    ):
        repeated = np.isin(keys[rows[name]], keys[rows[other]])
        if repeated.any():
            dropped[f"{name} texts that repeat {other} texts"] = int(repeated.sum())
            rows[name] = rows[name][~repeated]
    split_settings = settings.model_dump_json(exclude={"name", "leave_out"})
    if settings.leave_out is not None:
        listed = listed_ids(Path(settings.leave_out))
        is_listed = pc.is_in(dataset.table["id"], pa.array(listed)).to_numpy()
        if not is_listed.any():
            like = dataset.table["id"][0]
            raise DataError(f"{settings.leave_out}: lists no review of {dataset.name}, whose ids are like {like}")
        split_settings += f" without {listed}"
        for name in ("train", "validation", "unsup"):
            is_kept = ~is_listed[rows[name]]
            if not is_kept.all():
                dropped[f"{name} texts listed to be left out"] = int((~is_kept).sum())
                rows[name] = rows[name][is_kept]
    if settings.limit is not None:
        rows = _limited(rows, _labels(dataset.table), settings.limit, len(dataset.labels), settings.seed)
    tables = {name: dataset.table.take(pa.array(chosen)) for name, chosen in rows.items()}
    _check(dataset, tables)
    return Splits(
        train=tables["train"],
        validation=_renamed(tables["validation"], "validation"),
        test=_renamed(tables["test"], "test"),
        unlabelled=tables["unsup"],
        labels=dataset.labels,
        dropped=dropped,
        name=dataset.name,
        digest=hashlib.sha256(f"{dataset.digest} {split_settings}".encode()).hexdigest(),
    )


def listed_ids(path: Path) -> list[str]:
    """Return the reviews that a table lists in its column `id`, or by file names in a column `acl_file`.

    DataError if it has neither or is unreadable.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; data.leave_out takes a table with a column id")
    column = "id" if "id" in (names := column_names(path)) else "acl_file"
    if column not in names:
        raise DataError(f"{path}: {unknown_column('id', names)}")
    listed = (id for batch in open_batches(path, [column]) for id in batch[column].to_pylist())
    return sorted({id.removesuffix(".txt") for id in listed if id})


def text_keys(texts: pa.ChunkedArray) -> Int64Array:
    """Return an integer for each text, the same for texts that differ only in case and white space; int64
    [N].
    """
    folded = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    # Only runs and oddities are rewritten: a pattern that matches every space takes nine times as long.
    folded = pc.replace_substring_regex(folded, r"\s{2,}|[^\S ]", " ")
    return _integers(_codes(folded))


def _codes(values: pa.ChunkedArray) -> pa.Array:
    """Number the distinct values in order of appearance; nulls stay null."""
    return values.dictionary_encode().unify_dictionaries().combine_chunks().indices


def _labels(table: pa.Table) -> Int64Array:
    return _integers(table["label"])


def _integers(values: pa.Array | pa.ChunkedArray) -> Int64Array:
    """Convert to int64 [N], null to -1."""
    return np.asarray(pc.fill_null(values, -1).to_numpy(), np.int64)


class Holder:
    """Holds out parts of a dataset without tearing apart a group or a text."""

    def __init__(self, dataset: Dataset, keys: Int64Array, seed: int) -> None:
        self._name = dataset.name
        self._labels = _labels(dataset.table)
        self._num_labels = len(dataset.labels)
        group = _integers(_codes(dataset.table["group"]))
        # Rows without a group are a group of their own text.
        self._group = np.where(group >= 0, group, keys + group.max(initial=-1) + 1)
        self._keys = keys
        self._rng = np.random.default_rng(seed)

    def hold_out(self, rows: Int64Array, fraction: float, purpose: str) -> tuple[Int64Array, Int64Array]:
        """Return the rows that stay and those held out: near `fraction` of each label, at random."""
        unit = connected(self._group[rows], self._keys[rows])
        num_units = int(unit.max(initial=-1)) + 1
        sizes = np.bincount(unit, minlength=num_units)
        counts = np.zeros((num_units, self._num_labels), np.int64)
        np.add.at(counts, (unit, self._labels[rows]), 1)
        order = self._rng.permutation(num_units)
        held = np.zeros(num_units, np.bool_)
        for label in range(self._num_labels):  # units go by the label that most of their rows have
            units = order[counts[order].argmax(axis=1) == label]
            total = np.cumsum(sizes[units])
            if len(units):
                held[units[: int(np.abs(np.concatenate([[0], total]) - fraction * total[-1]).argmin())]] = True
        held_rows = held[unit]
        if not held_rows.any() or held_rows.all():
            raise DataError(
                f"{self._name}: {len(rows)} rows in {num_units} groups are too few to hold out "
                f"{fraction:g} for {purpose}; give more rows, smaller groups or your own split"
            )
        return rows[~held_rows], rows[held_rows]


def connected(first: Int64Array, second: Int64Array) -> Int64Array:
    """Number the classes of rows that are linked through equal values in `first` or in `second`, from 0;
    int64 [N].
    """
    columns = [np.unique(column, return_inverse=True)[1] for column in (first, second)]
    lowest = np.arange(len(first))
    while True:
        before = lowest
        for column in columns:
            smallest = np.full(len(first), len(first))
            np.minimum.at(smallest, column, lowest)
            lowest = smallest[column]
        lowest = lowest[lowest]  # follow the links of links, so that long chains take few rounds
        if np.array_equal(before, lowest):
            return np.unique(lowest, return_inverse=True)[1]


def _limited(
    rows: dict[str, Int64Array], labels: Int64Array, limit: int, num_labels: int, seed: int
) -> dict[str, Int64Array]:
    kept = min(1.0, limit / max(1, len(rows["train"])))
    rng = np.random.default_rng([seed, limit])
    return {
        name: _balanced(chosen, labels[chosen], max(num_labels, round(kept * len(chosen))), rng) if kept < 1 else chosen
        for name, chosen in rows.items()
    }


def _balanced(rows: Int64Array, labels: Int64Array, num_rows: int, rng: np.random.Generator) -> Int64Array:
    """Draw rows, as many of each label as can be; what a rare label lacks, the others fill."""
    by_label = [rng.permutation(rows[labels == label]) for label in np.unique(labels)]
    by_label.sort(key=len)
    drawn: list[Int64Array] = []
    left = num_rows
    for i, candidates in enumerate(by_label):
        drawn.append(candidates[: -(-left // (len(by_label) - i))])
        left -= len(drawn[-1])
    return np.sort(np.concatenate([*drawn, rows[:0]]))


def _renamed(table: pa.Table, split: str) -> pa.Table:
    at = table.schema.get_field_index("split")
    return table.set_column(at, table.schema.field(at), pa.array([split] * len(table), pa.string()))


def _check(dataset: Dataset, tables: dict[str, pa.Table]) -> None:
    for name in ("train", "validation", "test"):
        if not len(tables[name]):
            raise DataError(f"{dataset.name}: no rows are left in {name}; give more rows or another seed")
    present = pc.unique(tables["train"]["label"]).to_pylist()
    missing: Sequence[str] = [name for i, name in enumerate(dataset.labels) if i not in present]
    if missing:
        raise DataError(f"{dataset.name}: train has no row labelled {missing[0]!r}; give more rows or another seed")
