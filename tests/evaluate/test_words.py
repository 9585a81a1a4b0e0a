import numpy as np
import pytest
from rich.console import Console

from plaudit.evaluate.words import MAX_TEXTS, deciding_words, exact_part, read_words, write_words
from plaudit.models.ensemble import EnsembleModel
from plaudit.predictor import load
from tests.conftest import toy_reviews

TEXTS = [text for text, _ in toy_reviews(40)]


def words_of(model, texts, top=5):
    return deciding_words(model, texts, model_name="toy", data_name="own.csv", top=top, console=Console(quiet=True))


@pytest.fixture(scope="module")
def model(toy_bow_folder):
    return load(toy_bow_folder).model


def test_words_speak_for_the_label_they_are_used_with(model, tmp_path):
    found = words_of(model, TEXTS)
    by_label = {label: [one for one in found.words if one.label == label] for label in model.labels}
    assert all(0 < len(words) <= 5 for words in by_label.values())
    for label, words in by_label.items():
        totals = [one.count * one.mean_contribution for one in words]
        assert totals == sorted(totals, reverse=True) and min(totals) > 0
        for one in words[:2]:
            assert model.labels[model.logits([one.word])[0].argmax()] == label
    write_words(tmp_path / "words.json", found)
    assert read_words(tmp_path / "words.json") == found


def test_of_many_texts_some_from_all_over_the_file_are_explained(model):
    found = words_of(model, ["lovely"] * MAX_TEXTS + ["dreadful"], top=1)
    assert MAX_TEXTS / 2 <= found.n <= MAX_TEXTS


def test_no_text_makes_no_words(model):
    assert words_of(model, []).words == ()


def test_of_an_ensemble_the_bag_of_n_grams_that_knows_its_labels_is_explained(model):
    foreign = EnsembleModel.of({"own": model, "start": model}, [1.0, 1.0], projections={0: np.eye(2)})
    assert exact_part(model) is model
    assert exact_part(foreign) is model
    lstm = load("lstm").model
    assert exact_part(lstm) is None
    assert exact_part(EnsembleModel.of({"bow": model, "lstm": lstm}, [1.0, 1.0], projections={0: np.eye(2)})) is None
    joined = EnsembleModel.of({"lstm": lstm, "bow": model}, [1.0, 1.0])
    found = words_of(joined, TEXTS)
    assert found.is_part and found.words == words_of(model, TEXTS).words
