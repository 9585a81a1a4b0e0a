"""Split reviews into folds for cross-validation; rows of one group (a movie) or one text are in the same fold.

Shapes: N reviews of train and validation together.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from plaudit.data.load import DataSettings
from plaudit.data.splits import Int64Array, Splits, label_ids, prepare, shuffled_units, text_keys, units
from plaudit.data.table import SCHEMA, Dataset, with_split
from plaudit.errors import DataError


@dataclass(frozen=True)
class Pool:
    """The reviews that are split into folds; arrays are int64 [N], and `unit` numbers what must stay together."""

    splits: Splits
    table: pa.Table
    labels: Int64Array
    unit: Int64Array
    fold: Int64Array


def assign_folds(splits: Splits, num_folds: int, seed: int) -> Pool:
    """Assign train and validation to folds, numbered from 1, with about as many of each label in each."""
    table = pa.concat_tables([splits.train, splits.validation])
    labels = label_ids(table)
    unit = units(table, text_keys(table["text"]))
    sizes = np.bincount(unit)
    # scikit-learn's StratifiedGroupKFold does the same, at 0.2 ms a group: minutes for a million reviews without one.
    fold_of_unit = np.zeros(len(sizes), np.int64)
    for shuffled in shuffled_units(unit, labels, len(splits.labels), np.random.default_rng(seed)):
        middle = np.cumsum(sizes[shuffled]) - sizes[shuffled] / 2
        fold_of_unit[shuffled] = 1 + (middle * num_folds / max(1, sizes[shuffled].sum())).astype(np.int64)
    fold = fold_of_unit[unit]
    for label, name in enumerate(splits.labels):
        is_label = labels == label
        if len(np.unique(fold[is_label])) < num_folds:
            raise DataError(
                f"{splits.name}: {is_label.sum():,} reviews labelled {name!r} in {len(np.unique(unit[is_label])):,} "
                f"groups are too few for {num_folds} folds; give more reviews, smaller groups or fewer --folds"
            )
    return Pool(splits, table, labels, unit, fold)


def fold_splits(pool: Pool, settings: DataSettings, fold: int, seed: int) -> Splits:
    """Return what the models of one fold learn from: without test, and without texts that the fold repeats."""
    in_fold, others = (pa.array(np.flatnonzero(chosen)) for chosen in (pool.fold == fold, pool.fold != fold))
    tables = [
        with_split(pool.table.take(others), "train"),
        with_split(pool.table.take(in_fold), "test"),
        pool.splits.unlabelled,
    ]
    digest = f"{pool.splits.digest} fold {fold} of {pool.fold.max()}, seed {seed}"
    dataset = Dataset(pool.splits.name, pool.splits.labels, pa.concat_tables(tables), digest)
    settings = settings.model_copy(update={"seed": seed, "leave_out": None, "limit": None})
    return replace(prepare(dataset, settings), test=SCHEMA.empty_table())
