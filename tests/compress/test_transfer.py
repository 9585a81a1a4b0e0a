from dataclasses import replace

import numpy as np
import pytest

from plaudit.compress.settings import TransferSettings
from plaudit.compress.transfer import transfer_set
from plaudit.data.table import SCHEMA
from plaudit.errors import DataError, SettingsError
from plaudit.settings import parse
from plaudit.train.targets import UNLABELLED


def test_it_is_the_reviews_of_the_sources(splits):
    transfer = transfer_set(splits, TransferSettings())
    assert transfer.ids == splits.train["id"].to_pylist() + splits.unlabelled["id"].to_pylist()
    assert transfer.texts == splits.train["text"].to_pylist() + splits.unlabelled["text"].to_pylist()
    assert transfer.labels.dtype == np.int64
    assert transfer.labels.tolist() == splits.train["label"].to_pylist() + [UNLABELLED] * 60
    assert len(transfer) == 140


def test_a_source_named_twice_counts_once(splits):
    assert len(transfer_set(splits, TransferSettings(sources=("train", "train")))) == 80


@pytest.mark.parametrize("source", ["train", "unlabelled"])
def test_an_empty_source_is_refused_in_one_line(splits, source):
    splits = replace(splits, **{source: SCHEMA.empty_table()})
    message = f"tiny: has no {source} reviews to distill from; leave them out of sources"
    with pytest.raises(DataError, match=message):
        transfer_set(splits, TransferSettings())


@pytest.mark.parametrize("sources", [[], ["test"]])
def test_settings_of_no_use_are_refused_in_one_line(sources):
    with pytest.raises(SettingsError, match=r"recipe: transfer\.sources") as caught:
        parse(TransferSettings, {"sources": sources}, source="recipe", prefix="transfer")
    assert len(str(caught.value).splitlines()) == 1
