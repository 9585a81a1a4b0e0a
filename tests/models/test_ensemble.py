"""An ensemble says the weighted sum of what its members say, and its bundle holds all of them."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from plaudit.bundle.folder import load_bundle, load_trainable, save_bundle
from plaudit.bundle.trained import Provenance, TrainedModel
from plaudit.errors import BundleError, SettingsError
from plaudit.models.base import ModelState
from plaudit.models.bow.model import BowModel, quantized
from plaudit.models.ensemble import EnsembleModel, EnsembleSettings, blend, centred
from plaudit.models.lstm.network import LSTMModel
from plaudit.models.lstm.settings import LSTMSettings
from plaudit.settings import parse

TEXTS = ["a lovely, superb film", "dull and tedious", "", "the dog was awful in town, number 3"]
LABELS = ("negative", "positive")
WEIGHTS = {"bow": 0.75, "lstm": 2.0}
MEMBERS_FILE = "members.json"


def lstm_of(texts, *, seed=0, labels=LABELS, **settings):
    """A network of random weights, as far from zero as trained ones are."""
    sizes = {"embedding_size": 6, "hidden_size": 5, "min_count": 1, **settings}
    model = LSTMModel.create(LSTMSettings(**sizes), labels, texts, seed=seed)
    with torch.no_grad():
        for weights in model.network.parameters():
            weights *= 3
    return model


@pytest.fixture(scope="module")
def members(toy_bow):
    return {"bow": toy_bow, "lstm": lstm_of(TEXTS)}


@pytest.fixture(scope="module")
def ensemble(members):
    return EnsembleModel.of(members, list(WEIGHTS.values()))


@pytest.fixture
def folder(ensemble, tmp_path):
    save_bundle(TrainedModel(model=ensemble, provenance=Provenance(train_seconds=3.5)), tmp_path / "ensemble")
    return tmp_path / "ensemble"


def saved(model, folder, **changes):
    """Save a model with other files than its own; None leaves one out."""
    spoilt = EnsembleModel(model.settings, model.labels, model.models, model.projections)
    state = model.state()
    tensors = {name: tensor for name, tensor in state.tensors.items() if name not in changes}
    files = {name: content for name, content in {**state.files, **changes}.items() if content is not None}
    spoilt.state = lambda: ModelState(tensors, files)
    save_bundle(TrainedModel(model=spoilt), folder)
    return folder


def assert_refused(folder, message):
    for load in (load_bundle, load_trainable):
        with pytest.raises(BundleError, match=message) as caught:
            load(folder)
        assert str(caught.value).startswith(str(folder))
        assert len(str(caught.value).splitlines()) == 1


# What it says.


def test_a_blend_is_the_weighted_sum_of_centred_logits():
    logits = [np.array([[1, 3, 5]], np.float32), np.array([[0, 0, 6]], np.float32)]
    blended = blend(logits, [0.5, 2.0])
    assert blended.dtype == np.float32
    assert blended.tolist() == [[-5, -4, 9]]
    assert centred(logits[0]).tolist() == [[-2, 0, 2]]


def test_as_many_weights_as_models():
    with pytest.raises(ValueError, match="zip"):
        blend([np.zeros((1, 2), np.float32)], [0.5, 0.5])


def test_logits_are_the_weighted_sum_of_the_members_centred_logits(ensemble, members):
    expected = np.zeros((len(TEXTS), 2))
    for name, model in members.items():
        logits = model.logits(TEXTS).astype(np.float64)
        expected += WEIGHTS[name] * (logits - logits.mean(axis=1, keepdims=True))
    found = ensemble.logits(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # Each member has a say, so that neither weight could be another without a change.
    assert all(np.abs(WEIGHTS[name] * centred(model.logits(TEXTS))).max() > 0.1 for name, model in members.items())


def test_three_labels_are_blended_alike():
    labels = ("bad", "middling", "good")
    first, second = (lstm_of(TEXTS, seed=seed, labels=labels) for seed in (1, 2))
    ensemble = EnsembleModel.of({"first": first, "second": second}, [1.0, 0.25])
    assert ensemble.labels == labels
    expected = blend([first.logits(TEXTS), second.logits(TEXTS)], [1.0, 0.25])
    np.testing.assert_array_equal(ensemble.logits(TEXTS), expected)
    np.testing.assert_allclose(ensemble.predict_proba(TEXTS).sum(axis=1), 1, rtol=1e-6)


def test_no_texts_have_no_logits(ensemble):
    assert ensemble.logits([]).shape == (0, 2)


def test_members_and_weights_stand_in_its_settings_in_order(ensemble, members):
    turned = EnsembleModel.of(dict(reversed(members.items())), [2.0, 0.75])
    assert (ensemble.settings.members, ensemble.settings.weights) == (("bow", "lstm"), (0.75, 2.0))
    assert (turned.settings.members, turned.settings.weights) == (("lstm", "bow"), (2.0, 0.75))
    np.testing.assert_allclose(turned.logits(TEXTS), ensemble.logits(TEXTS), atol=1e-5)


# Its bundle.


@pytest.mark.parametrize("load", [load_bundle, load_trainable])
def test_a_saved_ensemble_gives_the_same_probabilities(ensemble, folder, load):
    bundle = load(folder)
    assert bundle.manifest.kind == "ensemble"
    assert bundle.model.settings == ensemble.settings
    assert bundle.model.labels == LABELS
    expected = ensemble.predict_proba(TEXTS)
    np.testing.assert_allclose(bundle.model.predict_proba(TEXTS), expected, atol=1e-5)
    assert expected[:, 1].min() < 0.4 < 0.6 < expected[:, 1].max()


def test_what_was_loaded_is_saved_as_the_same_bytes(folder, tmp_path):
    bundle = load_bundle(folder)
    save_bundle(bundle, tmp_path / "again")
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_sizes_and_parameters_are_those_of_all_members(ensemble, members, folder, tmp_path):
    members = {**members, "small": quantized(members["bow"])}
    parts = []
    for name, model in members.items():
        save_bundle(TrainedModel(model=model), tmp_path / name)
        parts.append(load_bundle(tmp_path / name))
    save_bundle(TrainedModel(model=EnsembleModel.of(members, [1.0, 1.0, 1.0])), tmp_path / "three")
    for path, members_of in ((folder, parts[:2]), (tmp_path / "three", parts)):
        bundle = load_bundle(path)
        assert bundle.num_parameters == sum(part.num_parameters for part in members_of) > 0
        assert bundle.size_bytes == sum(file.stat().st_size for file in path.iterdir())
        weight_bytes = [sum(t.nbytes for t in part.model.state().tensors.values()) for part in members_of]
        assert sum(t.nbytes for t in bundle.model.state().tensors.values()) == sum(weight_bytes)


def test_members_of_one_kind_keep_their_words_and_weights_apart(tmp_path):
    first = lstm_of(["a lovely film"], seed=1, hidden_size=4)
    second = lstm_of(["dull and tedious superb"], seed=2, num_layers=2)
    ensemble = EnsembleModel.of({"first": first, "second": second}, [1.0, 1.0])
    save_bundle(TrainedModel(model=ensemble), tmp_path / "ensemble")
    loaded = load_bundle(tmp_path / "ensemble").model
    for rebuilt, model in zip(loaded.models, (first, second), strict=True):
        assert rebuilt.settings == model.settings
        np.testing.assert_allclose(rebuilt.logits(TEXTS), model.logits(TEXTS), atol=1e-4)


def test_members_come_back_in_order_however_many_there_are(toy_bow, tmp_path):
    """Their tensors begin with their numbers, of which one may begin with another."""
    biases = [np.array([number], np.float32) for number in range(12)]
    members = {
        f"bow{number}": BowModel(
            toy_bow.settings, LABELS, keys=toy_bow.keys[:number], weights=toy_bow.weights[:number], bias=bias
        )
        for number, bias in enumerate(biases)
    }
    save_bundle(TrainedModel(model=EnsembleModel.of(members, [1.0] * 12)), tmp_path / "ensemble")
    loaded = load_bundle(tmp_path / "ensemble").model
    assert [(model.bias.item(), len(model.keys)) for model in loaded.models] == [(n, n) for n in range(12)]


def test_an_ensemble_may_be_a_member(ensemble, toy_bow, tmp_path):
    outer = EnsembleModel.of({"inner": ensemble, "bow": toy_bow}, [0.5, 1.5])
    save_bundle(TrainedModel(model=outer), tmp_path / "outer")
    bundle = load_bundle(tmp_path / "outer")
    np.testing.assert_allclose(bundle.model.logits(TEXTS), outer.logits(TEXTS), atol=1e-4)
    assert bundle.model.models[0].settings == ensemble.settings


def test_predicting_a_few_texts_needs_neither_torch_nor_the_compiler(folder):
    program = (
        "import sys; from pathlib import Path; from plaudit.bundle.folder import load_bundle\n"
        "assert load_bundle(Path(sys.argv[1])).model.predict_proba(['a lovely film']).shape == (1, 2)\n"
        "print(sorted({'numba', 'torch', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# What is refused.


@pytest.mark.parametrize(
    "content",
    [None, b"", b"{", b"\xff", b"null", b"3", b'"ab"', b"[1, 2]", b"[{}, {}]", b"[" * 100_000],
    ids=lambda content: str(content)[:20],
)
def test_a_missing_or_damaged_members_file_is_refused(ensemble, tmp_path, content):
    folder = saved(ensemble, tmp_path / "spoilt", **{MEMBERS_FILE: content})
    assert_refused(folder, rf"{MEMBERS_FILE} does not list the ensemble's members; save the model again")


def test_another_number_of_members_is_refused(ensemble, tmp_path):
    described = json.loads(ensemble.state().files[MEMBERS_FILE])
    for number, entries in enumerate(([], described[:1], [*described, described[0]])):
        changes = {MEMBERS_FILE: json.dumps(entries).encode()}
        folder = saved(ensemble, tmp_path / str(number), **changes)
        assert_refused(folder, f"2 members.*, but {len(entries)} in {MEMBERS_FILE}")


@pytest.mark.parametrize("weights", [None, (1.0,), (1.0, 1.0, 1.0)])
def test_another_number_of_weights_than_members_is_refused(ensemble, tmp_path, weights):
    settings = ensemble.settings.model_copy(update={"weights": weights})
    assert_refused(saved(EnsembleModel(settings, LABELS, ensemble.models, {}), tmp_path / "spoilt"), "2 members")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "oracle"}, "model kind oracle is unknown; .* newer version"),
        ({"settings": {"kind": "bow", "max_ordr": 3}}, rf"{MEMBERS_FILE}: bow\.max_ordr is unknown; .* newer version"),
        ({"settings": 3}, rf"{MEMBERS_FILE}"),
        ({"kind": ["bow"]}, rf"{MEMBERS_FILE}"),
    ],
    ids=str,
)
def test_a_member_that_this_version_does_not_know_is_refused(ensemble, tmp_path, change, message):
    first, second = json.loads(ensemble.state().files[MEMBERS_FILE])
    changes = {MEMBERS_FILE: json.dumps([first | change, second]).encode()}
    assert_refused(saved(ensemble, tmp_path / "spoilt", **changes), message)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("1/classifier.bias", r"classifier\.bias is missing"),
        ("0/keys", "a bow model of 2 labels holds tensors"),
        ("1.vocabulary.txt", r"no vocabulary\.txt"),
    ],
)
def test_a_member_that_lacks_a_part_is_refused(ensemble, tmp_path, missing, message):
    assert_refused(saved(ensemble, tmp_path / "spoilt", **{missing: None}), message)


@pytest.fixture(scope="module")
def projected(toy_bow):
    """A member that knows other labels than the ensemble."""
    other = lstm_of(TEXTS, labels=("bad", "middling", "good"))
    projection = np.array([[1, -1], [0, 0], [-2, 2]], np.float32)
    return EnsembleModel.of({"bow": toy_bow, "stars": other}, [0.5, 2.0], projections={1: projection})


def test_a_projection_says_what_other_labels_mean(projected, tmp_path):
    bow, other = projected.models
    expected = blend([bow.logits(TEXTS), centred(other.logits(TEXTS)) @ projected.projections[1]], [0.5, 2.0])
    np.testing.assert_array_equal(projected.logits(TEXTS), expected)
    save_bundle(TrainedModel(model=projected), tmp_path / "projected")
    for load in (load_bundle, load_trainable):
        loaded = load(tmp_path / "projected").model
        assert (loaded.labels, loaded.models[1].labels) == (LABELS, ("bad", "middling", "good"))
        np.testing.assert_allclose(loaded.logits(TEXTS), expected, atol=1e-4)


DAMAGED = "the projection of stars is not float32 (3, 2); save it again"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (None, "member stars has labels but no projection, or the other way; save it again"),
        (np.zeros((2, 3), np.float32), DAMAGED),
        (np.zeros(6, np.float32), DAMAGED),
        (np.zeros((3, 3), np.float32), DAMAGED),
        (np.zeros((3, 2), np.float16), DAMAGED),
    ],
    ids=["none", "turned", "flat", "of three", "of half precision"],
)
def test_a_damaged_projection_is_refused(projected, tmp_path, damage, message):
    spoilt = EnsembleModel(projected.settings, LABELS, projected.models, projected.projections)
    tensors, files = projected.state().tensors, projected.state().files
    del tensors["1/projection"]
    if damage is not None:
        tensors["1/projection"] = damage
    spoilt.state = lambda: ModelState(tensors, files)
    save_bundle(TrainedModel(model=spoilt), tmp_path / "spoilt")
    assert_refused(tmp_path / "spoilt", re.escape(message))


def test_a_projection_without_labels_is_refused(projected, tmp_path):
    first, second = json.loads(projected.state().files[MEMBERS_FILE])
    del second["labels"]
    folder = saved(projected, tmp_path / "spoilt", **{MEMBERS_FILE: json.dumps([first, second]).encode()})
    assert_refused(folder, "member stars has labels but no projection, or the other way; save it again")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"members": ["bow"]}, r"members = \['bow'\]: .* at least 2 items"),
        ({"members": []}, "at least 2 items"),
        ({}, "members is missing"),
        ({"members": ["bow", "lstm", "bow"]}, "lists the same model twice; list each once"),
        ({"members": ["bow", "lstm"], "weights": ["much", 1]}, r"weights\.0 = 'much'"),
        ({"members": ["bow", "lstm"], "wieghts": [1, 1]}, "wieghts is unknown; did you mean weights"),
    ],
    ids=str,
)
def test_settings_that_make_no_ensemble_are_refused(values, message):
    with pytest.raises(SettingsError, match=rf"^recipe\.toml: models\.both\..*{message}") as caught:
        parse(EnsembleSettings, values, source="recipe.toml", prefix="models.both")
    assert len(str(caught.value).splitlines()) == 1
