"""Texts and labels that are in memory already in, a dataset and its split for a training that tests nothing out."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from plaudit.data.containers import Values, as_values, is_missing
from plaudit.data.load import DataSettings
from plaudit.data.splits import Holder, Int64Array, Splits, text_keys
from plaudit.data.table import SCHEMA, Dataset
from plaudit.errors import DataError


def given_dataset(
    name: str, texts: Sequence[str], label_ids: Int64Array, labels: tuple[str, ...], *, groups: Values
) -> Dataset:
    """Return a dataset of texts and as many labels whose rows are all train.

    DataError if there are not as many groups, or if a text cannot be written as UTF-8.
    """
    _check_utf8(texts, "X")
    named = [None] * len(texts) if groups is None else as_values(groups, name="groups")
    if len(named) != len(texts):
        raise DataError(f"X has {len(texts):,} texts, but groups has {len(named):,} values; give one for each text")
    groups_as_str = [None if is_missing(group) else str(group) for group in named]
    _check_utf8([group or "" for group in groups_as_str], "groups")
    table = _table("train", texts, label_ids, groups_as_str)
    return Dataset(name, labels, table, _digest(texts, label_ids))


def _check_utf8(texts: Sequence[str], name: str) -> None:
    for i, text in enumerate(texts):
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise DataError(f"{name}[{i}] holds half a surrogate pair; write it whole") from None


def _table(split: str, texts: Sequence[str], label_ids: Int64Array | None, groups: list[str | None] | None) -> pa.Table:
    nulls = [None] * len(texts)
    content = [
        [f"{split}/{row}" for row in range(len(texts))],
        texts,
        nulls if label_ids is None else label_ids,
        [split] * len(texts),
        nulls if groups is None else groups,
        nulls,
    ]
    columns = [pa.array(values, field.type) for values, field in zip(content, SCHEMA, strict=True)]
    return pa.table(columns, schema=SCHEMA)


def hold_out_validation(dataset: Dataset, settings: DataSettings, unlabelled: Sequence[str] = ()) -> Splits:
    """Return train and validation, equal texts and groups together; no test, since all is given to learn from.

    DataError if there is too little to hold out the settings' validation fraction, or a text is no UTF-8.
    """
    _check_utf8(unlabelled, "unlabelled")
    holder = Holder(dataset, text_keys(dataset.table["text"]), settings.seed)
    rows, held = holder.hold_out(np.arange(len(dataset.table)), settings.validation_fraction, "validation")
    validation = dataset.table.take(pa.array(held))
    at = SCHEMA.get_field_index("split")
    return Splits(
        train=dataset.table.take(pa.array(rows)),
        validation=validation.set_column(at, SCHEMA.field(at), pa.array(["validation"] * len(held), pa.string())),
        test=SCHEMA.empty_table(),
        unlabelled=_table("unsup", unlabelled, None, None),
        labels=dataset.labels,
        dropped={},
        name=dataset.name,
        digest=split_digest(dataset, settings),
    )


def split_digest(dataset: Dataset, settings: DataSettings) -> str:
    """Return what changes with the rows and with how they are split."""
    return hashlib.sha256(f"{dataset.digest} {settings.model_dump_json()}".encode()).hexdigest()


def _digest(texts: Sequence[str], label_ids: Int64Array) -> str:
    digest = hashlib.sha256()
    for text, label in zip(texts, label_ids.tolist(), strict=True):
        digest.update(f"{label} {text}\0".encode())
    return digest.hexdigest()
