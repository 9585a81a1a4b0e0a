"""Data sets from texts and labels that are in memory, and their split for training without a test set."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from plaudit.data.containers import Values, as_values, is_missing
from plaudit.data.load import DataSettings
from plaudit.data.splits import Int64Array, Splits, hold_out, text_keys
from plaudit.data.table import SCHEMA, Dataset, with_split
from plaudit.errors import DataError


def in_memory_dataset(
    name: str, texts: Sequence[str], label_ids: Int64Array, labels: tuple[str, ...], *, groups: Values
) -> Dataset:
    """Return a dataset of texts and as many labels whose rows are all train.

    DataError if there are not as many groups, or if a text cannot be written as UTF-8.
    """
    _check_utf8(texts, "X")
    group_values = [None] * len(texts) if groups is None else as_values(groups, name="groups")
    if len(group_values) != len(texts):
        raise DataError(
            f"X has {len(texts):,} texts, but groups has {len(group_values):,} values; give one for each text"
        )
    group_names = [None if is_missing(group) else str(group) for group in group_values]
    _check_utf8([group or "" for group in group_names], "groups")
    digest = hashlib.sha256()
    for text, label in zip(texts, label_ids.tolist(), strict=True):
        digest.update(f"{label} {text}\0".encode())
    return Dataset(name, labels, _table("train", texts, label=label_ids, group=group_names), digest.hexdigest())


def hold_out_validation(dataset: Dataset, settings: DataSettings, unlabelled: Sequence[str] = ()) -> Splits:
    """Split into train and validation with equal texts and groups together; there is no test.

    DataError if there is too little to hold out the settings' validation fraction, or a text is not UTF-8.
    """
    _check_utf8(unlabelled, "unlabelled")
    keys, rng = text_keys(dataset.table["text"]), np.random.default_rng(settings.seed)
    all_rows = np.arange(len(dataset.table))
    train, validation = hold_out(dataset, keys, all_rows, settings.validation_fraction, rng, purpose="validation")
    return Splits(
        train=dataset.table.take(pa.array(train)),
        validation=with_split(dataset.table.take(pa.array(validation)), "validation"),
        test=SCHEMA.empty_table(),
        unlabelled=_table("unsup", unlabelled),
        labels=dataset.labels,
        dropped={},
        name=dataset.name,
        digest=split_digest(dataset, settings),
    )


def split_digest(dataset: Dataset, settings: DataSettings) -> str:
    """Return a digest that changes with the rows and with the settings of their split."""
    return hashlib.sha256(f"{dataset.digest} {settings.model_dump_json()}".encode()).hexdigest()


def _check_utf8(texts: Sequence[str], name: str) -> None:
    for i, text in enumerate(texts):
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise DataError(f"{name}[{i}] contains half a surrogate pair; write both halves") from None


def _table(split: str, texts: Sequence[str], **columns: Sequence[object] | Int64Array) -> pa.Table:
    ids = [f"{split}/{row}" for row in range(len(texts))]
    values = {"id": ids, "text": texts, "split": [split] * len(texts), **columns}
    nulls = [None] * len(texts)
    return pa.table([pa.array(values.get(field.name, nulls), field.type) for field in SCHEMA], schema=SCHEMA)
