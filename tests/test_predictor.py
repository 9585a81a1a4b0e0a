import re
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

import plaudit
from plaudit.bundle.folder import save_bundle
from plaudit.bundle.locate import DEFAULT_MODEL, shipped_models
from plaudit.bundle.trained import TrainedModel
from plaudit.errors import BundleError, DataError, SettingsError
from plaudit.explain.explanation import explain
from plaudit.models.bow.fit import fit_bow
from plaudit.models.bow.settings import BowSettings
from plaudit.models.calibration import Calibration
from plaudit.predictor import Prediction, Predictor, load


@pytest.fixture(scope="module")
def toy(toy_bow_folder):
    return load(toy_bow_folder)


def test_texts_become_label_names(toy):
    assert toy.predict(["a lovely film", "a dull film"]) == ["positive", "negative"]
    assert toy.predict([]) == []


def test_probabilities_are_float32_and_sum_to_one(toy):
    probabilities = toy.predict_proba(["a lovely film", ""])
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (2, 2)
    assert np.allclose(probabilities.sum(axis=1), 1)


def test_a_predictor_says_what_it_is(toy, toy_bow_folder):
    assert (toy.kind, toy.labels) == ("bow", ("negative", "positive"))
    assert toy.provenance.seed == 0
    assert toy.size_bytes == sum(path.stat().st_size for path in toy_bow_folder.iterdir())
    assert toy.num_parameters > 100


def test_a_folder_may_be_given_as_a_string(toy_bow_folder):
    assert load(str(toy_bow_folder)).kind == "bow"


def test_a_single_string_is_refused(toy):
    with pytest.raises(DataError, match="texts is a single str"):
        toy.predict("a lovely film")


@pytest.mark.parametrize(("element", "name"), [(None, "NoneType"), (3, "int"), (b"film", "bytes")])
def test_what_is_no_text_is_refused_with_its_place(toy, element, name):
    with pytest.raises(DataError, match=rf"texts\[1\] is {name}, not str"):
        toy.predict_proba(["fine", element])


def test_a_text_of_ten_million_characters_is_judged(toy):
    assert toy.predict(["a lovely film " * 720_000]) == ["positive"]


def test_an_unknown_model_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=r"^model bwo is unknown; .*or give a model folder$"):
        load("bwo")


def test_the_default_model_ships_and_judges():
    assert shipped_models()[0] == DEFAULT_MODEL
    predictor = plaudit.load()
    assert isinstance(predictor, Predictor)
    assert predictor.labels == ("negative", "positive")
    texts = ["A fine film that I will watch again.", "A dull mess, the worst."]
    assert predictor.predict(texts) == ["positive", "negative"]
    assert predictor.size_bytes <= 3_000_000


def test_importing_the_package_imports_nothing_heavy():
    program = (
        "import sys, plaudit\n"
        "print([name for name in ('numpy', 'torch', 'numba', 'pyarrow', 'pydantic', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = plaudit.lod


@pytest.mark.parametrize("blank", ["", "  ", "\n\t", "\u3000"])
def test_a_blank_text_has_no_verdict_but_probabilities(toy, blank):
    assert toy.predict([blank, "lovely"]) == [None, "positive"]
    assert toy(blank).label is None
    assert toy(blank).probability == toy.predict_proba([blank]).max()


def test_it_abstains_from_verdicts_that_it_is_less_sure_of(toy, toy_bow_folder):
    texts = ["a lovely film", "", "lovely lovely lovely, superb"]
    surest = toy.predict_proba(texts).max(axis=1)
    careful = load(toy_bow_folder, abstain_below=float(surest[0]))
    assert surest[1] < surest[0]
    assert careful.predict(texts) == ["positive", None, "positive"]
    assert np.array_equal(careful.predict_proba(texts), toy.predict_proba(texts))


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_only_a_probability_can_be_abstained_below(toy_bow_folder, threshold):
    with pytest.raises(SettingsError, match="give a probability, 0 … 1"):
        load(toy_bow_folder, abstain_below=threshold)


def test_a_calibrated_bundle_predicts_calibrated_probabilities(toy, toy_bow, tmp_path):
    calibration = Calibration(method="temperature", temperature=2.0)
    save_bundle(TrainedModel(model=toy_bow, calibration=calibration), tmp_path / "model")
    calibrated = load(tmp_path / "model")
    texts = ["a lovely film", "a dull film"]
    assert (toy.calibration, calibrated.calibration) == (None, "temperature")
    assert np.array_equal(calibrated.predict_proba(texts), calibration.apply(toy.predict_proba(texts)))
    assert (calibrated.predict_proba(texts).max(axis=1) < toy.predict_proba(texts).max(axis=1)).all()


def test_a_predictor_can_be_called_with_one_text_or_with_many(toy):
    texts = ["a lovely film", "a dull film"]
    surest = toy.predict_proba(texts).max(axis=1).tolist()
    assert toy(texts) == [Prediction("positive", surest[0]), Prediction("negative", surest[1])]
    assert toy(texts[0]) == toy(np.array(texts))[0] == toy(texts)[0]
    assert toy([]) == []
    label, probability = toy(texts[0])
    assert (str(toy(texts[0])), label) == (f"positive {probability:.3f}", "positive")
    assert repr(toy(texts[0])) == f"Prediction(label='positive', probability={probability:.3f})"


def test_a_call_abstains_as_predict_does(toy_bow_folder):
    careful = load(toy_bow_folder, abstain_below=1.0)
    prediction = careful("a lovely film")
    assert prediction.label is None
    assert 0.5 < prediction.probability < 1
    assert str(prediction) == f"– {prediction.probability:.3f}"


@pytest.mark.parametrize("given", [None, 3, b"film", ["fine", None]])
def test_a_call_with_what_is_no_text_is_refused(toy, given):
    with pytest.raises(DataError, match=r"^texts"):
        toy(given)
    with pytest.raises(DataError, match=r"^texts"):
        toy.explain(given)


def test_a_predictor_explains_one_text_or_many(toy):
    texts = ("a lovely film", "a dull film")
    assert toy.explain(texts) == explain(toy, texts)
    assert toy.explain(texts[0]) == explain(toy, texts[:1])[0]
    other = toy.explain(texts[0], method="occlusion", label="negative")
    assert (other.label, other.predicted, other.method) == ("negative", "positive", "occlusion")


def test_an_explanation_shows_its_strongest_words(toy):
    why = toy.explain("a lovely film")
    assert re.fullmatch(rf"<Explanation of positive {why.probability:.3f}: for .*lovely \+\d.*; against .+>", repr(why))


def test_a_predictor_shows_what_it_is(toy, toy_bow_folder):
    assert repr(toy).startswith("<Predictor bow: negative, positive; ")
    assert repr(load(toy_bow_folder, abstain_below=0.8)).endswith("B; abstains below 0.8>")
    assert repr(load("bow")) == (
        "<Predictor bow: negative, positive; trained on imdb; 92.30 % accuracy on validation; 1.17 MB>"
    )


def test_many_labels_are_shown_as_their_number(tmp_path):
    texts, labels = [f"word{i % 7}" for i in range(140)], np.arange(140) % 7
    settings = BowSettings(min_count=1, slot_bits=16)
    model = fit_bow(settings, texts, labels, tuple("abcdefg"), console=Console(quiet=True))
    save_bundle(TrainedModel(model=model), tmp_path / "model")
    assert re.fullmatch(r"<Predictor bow: 7 labels; \d+\.\d+ [kM]B>", repr(load(tmp_path / "model")))
