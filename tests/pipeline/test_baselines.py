"""Baselines are fitted as the models are, and to any texts."""

import numpy as np
import pyarrow as pa
import pytest

from plaudit.data.splits import Splits
from plaudit.pipeline.baselines import BASELINES, fit_baseline
from tests.train.conftest import table

MARKS = ["🙂 !!", "🙁 …"]


def splits_of(train, validation):
    return Splits(
        train=train,
        validation=validation,
        test=train.slice(0, 0),
        unlabelled=train.slice(0, 0),
        labels=("negative", "positive"),
        dropped={},
        name="tiny",
        digest="tiny",
    )


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_learns_from_train_and_validation(name):
    train, validation = table(30, "train", 1), table(10, "validation", 2)
    baseline = fit_baseline(name, splits_of(train, validation))
    probabilities = baseline.predict_proba(["a lovely film", "dull and tedious"])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    labels = [*train["label"].to_pylist(), *validation["label"].to_pylist()]
    if name == BASELINES[0]:
        np.testing.assert_allclose(probabilities[:, 1], np.mean(labels))
    else:
        assert probabilities.argmax(axis=1).tolist() == [1, 0]


@pytest.mark.parametrize("name", BASELINES)
def test_texts_without_a_word_have_the_share_of_each_label(name):
    texts = table(30, "train", 1)
    at = texts.schema.get_field_index("text")
    texts = texts.set_column(at, texts.schema.field(at), pa.array(MARKS * 15))
    baseline = fit_baseline(name, splits_of(texts, texts.slice(0, 10)))
    share = np.mean([*texts["label"].to_pylist(), *texts["label"].to_pylist()[:10]])
    np.testing.assert_allclose(baseline.predict_proba(MARKS)[:, 1], share, rtol=1e-6)
