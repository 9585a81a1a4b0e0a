"""The models that ship predict what they did before the project was renamed and their folders were saved again."""

import json
from pathlib import Path

import numpy as np
import pytest

import plaudit
from plaudit.data.load import DataSettings, load_dataset

BEFORE = json.loads((Path(__file__).parent / "shipped_scores.json").read_text())


@pytest.fixture(scope="module")
def texts():
    table = load_dataset(DataSettings(name="imdb-train")).table
    by_id = dict(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))
    return [by_id[review] for review in BEFORE["ids"]]


@pytest.mark.parametrize("model", ["bow", "lstm", "ensemble"])
def test_shipped_model_scores_200_reviews_as_before(model, texts):
    scores = plaudit.load(model).predict_proba(texts)[:, 1]
    np.testing.assert_allclose(scores, BEFORE[model], atol=1e-4)
