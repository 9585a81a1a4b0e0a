"""Split a data set into train, validation, test and unlabelled tables without leaks between them.

Rows of one group (a movie) stay on one side, and so do rows of one text, whatever their group.

Shapes: N rows, U units of rows that must stay together.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from plaudit.data.accents import composed_column
from plaudit.data.formats.open import column_names, open_batches, unknown_column
from plaudit.data.formats.read_options import ReadOptions
from plaudit.data.load import DataSettings
from plaudit.data.table import Dataset, with_split
from plaudit.errors import DataError

Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]
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

    Test and validation are held out from train, by group, where the source has none. Dropped are train and unlabelled
    texts that repeat a text of test, train texts that repeat one of the source's own validation (both up to case and
    white space), and what `settings.leave_out` lists. DataError if a split would be empty.
    """
    keys = text_keys(dataset.table["text"])
    split = np.asarray(dataset.table["split"].to_pylist(), dtype=object)
    rows = {name: np.flatnonzero(split == name) for name in ("train", "validation", "test", "unsup")}
    rng = np.random.default_rng(settings.seed)
    for name, fraction in (("test", settings.test_fraction), ("validation", settings.validation_fraction)):
        if not len(rows[name]):
            rows["train"], rows[name] = hold_out(dataset, keys, rows["train"], fraction, rng, purpose=name)
    dropped = dict(dataset.dropped)
    _drop_repeated(rows, keys, dropped)
    split_settings = settings.model_dump_json(exclude={"name", "leave_out", *ReadOptions.model_fields})
    if settings.leave_out is not None:
        ids = listed_ids(Path(settings.leave_out))
        _drop_listed(dataset, rows, ids, dropped, source=settings.leave_out)
        split_settings += f" without {ids}"
    if settings.limit is not None:
        rows = _limited(dataset, rows, settings.limit, settings.seed)
    tables = {name: dataset.table.take(pa.array(chosen)) for name, chosen in rows.items()}
    _check_not_empty(dataset, tables)
    return Splits(
        train=tables["train"],
        validation=with_split(tables["validation"], "validation"),
        test=with_split(tables["test"], "test"),
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
    ids = (id for batch in open_batches(path, [column]) for id in batch[column].to_pylist())
    return sorted({id.removesuffix(".txt") for id in ids if id})


def text_keys(texts: pa.ChunkedArray) -> Int64Array:
    """Return an integer for each text, equal for texts that differ only in case, white space and form of accents.

    int64 [N].
    """
    return _codes(_folded(texts))


def text_digests(texts: pa.ChunkedArray) -> UInt64Array:
    """Return 8 bytes of a hash of each text, the same everywhere, equal where `text_keys` are; uint64 [N]."""
    digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in _folded(texts).to_pylist())
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def _folded(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    read = pa.chunked_array(
        [composed_column(chunk.cast(pa.large_string())) for chunk in texts.chunks], pa.large_string()
    )
    folded = pc.utf8_lower(pc.utf8_trim_whitespace(read))
    # Replace only where it changes something: a pattern that matches every space takes nine times as long.
    return pc.replace_substring_regex(folded, r"\s{2,}|[^\S ]", " ")


def label_ids(table: pa.Table) -> Int64Array:
    """Return the label of each row, -1 for none; int64 [N]."""
    return np.asarray(pc.fill_null(table["label"], -1).to_numpy(), np.int64)


def _codes(values: pa.ChunkedArray) -> Int64Array:
    """Number the distinct values in order of appearance, null as -1; int64 [N]."""
    indices = values.dictionary_encode().unify_dictionaries().combine_chunks().indices
    return np.asarray(pc.fill_null(indices, -1).to_numpy(), np.int64)


def hold_out(
    dataset: Dataset, keys: Int64Array, rows: Int64Array, fraction: float, rng: np.random.Generator, *, purpose: str
) -> tuple[Int64Array, Int64Array]:
    """Return the rows that stay and those held out: about `fraction` of each label, at random.

    `keys` are the text keys of the whole dataset. DataError if there are too few groups to hold out any.
    """
    table = dataset.table.select(["label", "group"]).take(pa.array(rows))
    unit = units(table, keys[rows])
    sizes = np.bincount(unit)
    is_held_out = np.zeros(len(sizes), np.bool_)
    for shuffled in shuffled_units(unit, label_ids(table), len(dataset.labels), rng):
        if len(shuffled):
            totals = np.concatenate([[0], np.cumsum(sizes[shuffled])])
            is_held_out[shuffled[: int(np.abs(totals - fraction * totals[-1]).argmin())]] = True
    held_out = is_held_out[unit]
    if not held_out.any() or held_out.all():
        of_column, or_none = "", ""
        if dataset.group_column is not None:
            of_column, or_none = f" of column {dataset.group_column!r}", ", or set group_column to none"
        raise DataError(
            f"{dataset.name}: {len(rows)} rows in {len(sizes)} groups{of_column} are too few to hold out "
            f"{fraction:g} for {purpose}; give more rows, smaller groups or your own split{or_none}"
        )
    return rows[~held_out], rows[held_out]


def units(table: pa.Table, keys: Int64Array) -> Int64Array:
    """Number the units of rows that share a group or a text, in order of appearance; int64 [N]."""
    group = _codes(table["group"])
    # Rows without a group are a group of their own text.
    return connected(np.where(group >= 0, group, keys + group.max(initial=-1) + 1), keys)


def shuffled_units(unit: Int64Array, labels: Int64Array, num_labels: int, rng: np.random.Generator) -> list[Int64Array]:
    """Shuffle the units and return those of each label, which is the one that most rows of a unit have."""
    counts = np.zeros((int(unit.max(initial=-1)) + 1, num_labels), np.int64)
    np.add.at(counts, (unit, labels), 1)
    order = rng.permutation(len(counts))
    label = counts[order].argmax(axis=1)
    return [order[label == i] for i in range(num_labels)]


def connected(first: Int64Array, second: Int64Array) -> Int64Array:
    """Number the classes of rows that share a value of `first` or `second`, in order of appearance; int64 [N]."""
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


def _drop_repeated(rows: dict[str, Int64Array], keys: Int64Array, dropped: dict[str, int]) -> None:
    """Drop what repeats a text of a split that is held out, and count it."""
    for name, other in (("train", "test"), ("validation", "test"), ("unsup", "test"), ("train", "validation")):
        _drop(rows, name, np.isin(keys[rows[name]], keys[rows[other]]), dropped, f"that repeat {other} texts")


def _drop_listed(
    dataset: Dataset, rows: dict[str, Int64Array], ids: list[str], dropped: dict[str, int], *, source: str
) -> None:
    is_listed = pc.is_in(dataset.table["id"], pa.array(ids)).to_numpy()
    if not is_listed.any():
        example = dataset.table["id"][0]
        raise DataError(f"{source}: lists no review of {dataset.name}, whose ids are like {example}")
    for name in ("train", "validation", "unsup"):
        _drop(rows, name, is_listed[rows[name]], dropped, "listed to be left out")


def _drop(rows: dict[str, Int64Array], name: str, out: BoolArray, dropped: dict[str, int], reason: str) -> None:
    if out.any():
        dropped[f"{name} texts {reason}"] = int(out.sum())
        rows[name] = rows[name][~out]


def _limited(dataset: Dataset, rows: dict[str, Int64Array], limit: int, seed: int) -> dict[str, Int64Array]:
    """Keep `limit` rows of train, and of the other splits the same share."""
    share = limit / max(1, len(rows["train"]))
    if share >= 1:
        return rows
    labels, num_labels = label_ids(dataset.table), len(dataset.labels)
    rng = np.random.default_rng([seed, limit])
    return {
        name: _balanced(all_rows, labels[all_rows], max(num_labels, round(share * len(all_rows))), rng)
        for name, all_rows in rows.items()
    }


def _balanced(rows: Int64Array, labels: Int64Array, num_rows: int, rng: np.random.Generator) -> Int64Array:
    """Draw rows, equally many of each label as far as possible; the other labels make up for a rare one."""
    by_label = [rng.permutation(rows[labels == label]) for label in np.unique(labels)]
    by_label.sort(key=len)
    drawn: list[Int64Array] = []
    left = num_rows
    for i, candidates in enumerate(by_label):
        drawn.append(candidates[: -(-left // (len(by_label) - i))])
        left -= len(drawn[-1])
    return np.sort(np.concatenate([*drawn, rows[:0]]))


def _check_not_empty(dataset: Dataset, tables: dict[str, pa.Table]) -> None:
    for name in ("train", "validation", "test"):
        if not len(tables[name]):
            raise DataError(f"{dataset.name}: no rows are left in {name}; give more rows or another seed")
    present = pc.unique(tables["train"]["label"]).to_pylist()
    missing = [name for i, name in enumerate(dataset.labels) if i not in present]
    if missing:
        raise DataError(f"{dataset.name}: train has no row labelled {missing[0]!r}; give more rows or another seed")
