"""A bag that starts from another model says what that says, plus what its own texts taught it."""

import numpy as np
import pytest
from rich.console import Console
from scipy import sparse

from plaudit.bundle.folder import load_bundle, save_bundle
from plaudit.bundle.trained import TrainedModel
from plaudit.errors import SettingsError
from plaudit.models.base import softmax
from plaudit.models.bow.fit import distinct_ngrams, fit_bow, fit_scores
from plaudit.models.bow.head_start import (
    HeadStart,
    fit_with_head_start,
    join_ngrams,
    settings_for_start,
    table_scores,
)
from plaudit.models.bow.model import BowModel, quantized
from plaudit.models.bow.ngrams import Presence, find_ngrams
from plaudit.models.bow.settings import BowSettings
from plaudit.models.ensemble import EnsembleModel, centred
from plaudit.text.cleaning import CleaningSettings
from tests.conftest import toy_reviews

CONSOLE = Console(quiet=True)
SETTINGS = BowSettings(min_count=1, slot_bits=16)
# Half of what they teach is new to the model of film reviews.
TEXTS = ["a lovely blender", "dull blades", "superb, whisks well", "awful, it leaks", "lovely jug", "it leaks"] * 2
IDS = np.array([1, 0, 1, 0, 1, 0] * 2)
UNSEEN = ["moving", "tedious", "whisks well", "it leaks", "gripping blades", "boring jug", "", "qwertz"]


def started(model, *, texts=TEXTS, ids=IDS, labels=("bad", "good"), strength=0.5, settings=SETTINGS, name="start"):
    return fit_with_head_start(
        settings, HeadStart(name, model, strength), texts, np.array(ids), labels, console=CONSOLE
    )


@pytest.fixture(scope="module")
def three_labels():
    """A bag of three labels, of film reviews."""
    texts = [text for text, _ in toy_reviews(60)] + [f"so so middling film number {i}" for i in range(30)]
    ids = np.array([*[0, 1] * 30, *[2] * 30])
    return fit_bow(SETTINGS, texts, ids, ("negative", "positive", "mixed"), console=CONSOLE)


@pytest.fixture
def blended(toy_bow):
    """A model that is no bag of n-grams."""
    return EnsembleModel.of({"a": toy_bow, "b": quantized(toy_bow)}, [0.5, 0.75])


# A bag, whose table is added to the new one.


@pytest.mark.parametrize("strength", [0.1, 0.5, 4.0])
def test_one_table_holds_the_sum_of_both_parts(toy_bow, strength):
    model = started(toy_bow, strength=strength)
    assert type(model) is BowModel
    settings = settings_for_start(SETTINGS, toy_bow)
    joined = join_ngrams(settings, distinct_ngrams(settings, TEXTS, IDS, 2), toy_bow, TEXTS)
    features = strength * table_scores(joined.presence.matrix, joined.weights, "l2").astype(np.float32)
    learned = joined.is_learned
    own = fit_scores(settings, joined.presence.matrix, IDS, ("bad", "good"), features=features, is_learned=learned)
    matrix = find_ngrams(UNSEEN, settings, joined.presence.keys).matrix
    length = np.sqrt(np.maximum(matrix.sum(axis=1), 1))
    given = strength * np.asarray((matrix @ joined.weights) / length)
    expected = np.asarray((matrix @ own.weights) / length) + given @ own.of_features + own.bias
    assert np.abs(given).max() > 0.05
    for scores in (model._reference_scores(UNSEEN), model._kernel_scores(UNSEEN)):
        np.testing.assert_allclose(scores + model.bias, expected, rtol=1e-3, atol=1e-3)


def test_alone_the_table_says_what_its_model_says(toy_bow):
    settings = settings_for_start(SETTINGS, toy_bow)
    nothing = Presence(np.zeros(0, np.uint32), sparse.csr_matrix((len(UNSEEN), 0), dtype=np.float32))
    for start in (toy_bow, quantized(toy_bow)):
        joined = join_ngrams(settings, nothing, start, UNSEEN)
        assert not joined.is_learned.any()
        expected = start._reference_scores(UNSEEN) * start.scale
        np.testing.assert_allclose(table_scores(joined.presence.matrix, joined.weights, "l2"), expected, atol=1e-5)


def test_own_ngrams_win_where_two_would_need_one_slot():
    start = BowModel(
        BowSettings(slot_bits=16),
        ("a", "b"),
        keys=np.array([0x00010000, 0x00020000, 0x00030000], np.uint32),
        weights=np.array([[1], [2], [3]], np.float16),
        bias=np.zeros(1, np.float32),
    )
    keys = np.array([0x00010007, 0x00020000], np.uint32)  # another n-gram of the first's slot, and the second
    own = Presence(keys, sparse.csr_matrix((1, 2), dtype=np.float32))
    joined = join_ngrams(BowSettings(slot_bits=16), own, start, [""])
    assert joined.presence.keys.tolist() == [0x00010007, 0x00020000, 0x00030000]
    assert joined.is_learned.tolist() == [True, True, False]
    assert joined.weights.ravel().tolist() == [0, 2, 3]


@pytest.mark.parametrize("kind", ["bow", "ensemble"])
def test_what_the_start_knows_is_known_and_what_it_lacks_is_learned(toy_bow, blended, kind):
    start = toy_bow if kind == "bow" else blended
    plain = fit_bow(SETTINGS, TEXTS, IDS, ("bad", "good"), console=CONSOLE)
    model = started(start)
    assert model.labels == ("bad", "good")
    known = ["moving", "tedious", "gripping", "boring"]
    assert np.ptp(plain.predict_proba(known)[:, 1]) == 0
    assert model.predict_proba(known).argmax(axis=1).tolist() == [1, 0, 1, 0]
    assert model.predict_proba(["whisks well", "it leaks"]).argmax(axis=1).tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["bow", "ensemble"])
def test_labels_in_another_order_have_the_same_probabilities(toy_bow, blended, kind):
    start = toy_bow if kind == "bow" else blended
    model, turned = started(start), started(start, ids=1 - IDS, labels=("good", "bad"))
    np.testing.assert_allclose(turned.predict_proba(UNSEEN)[:, ::-1], model.predict_proba(UNSEEN), atol=2e-3)
    assert np.ptp(model.predict_proba(UNSEEN)[:, 1]) > 0.2


@pytest.mark.parametrize("kind", ["bow", "ensemble"])
@pytest.mark.parametrize("probabilities", ["one-vs-rest", "softmax"])
def test_three_labels_start_from_two(toy_bow, blended, kind, probabilities):
    texts, ids = [*TEXTS, *["a blender of some size"] * 6], [*(2 * IDS), *[1] * 6]
    settings = SETTINGS.model_copy(update={"probabilities": probabilities})
    start = toy_bow if kind == "bow" else blended
    model = started(start, texts=texts, ids=ids, labels=("bad", "plain", "good"), settings=settings)
    predicted = model.predict_proba(["moving", "tedious", "size", "it leaks"])
    assert predicted.shape == (4, 3)
    assert predicted.argmax(axis=1).tolist() == [2, 0, 1, 0]


def test_two_labels_start_from_three(three_labels):
    model = started(three_labels)
    assert isinstance(model, BowModel) and model.weights.shape[1] == 1
    assert model.predict_proba(["moving", "tedious", "it leaks"]).argmax(axis=1).tolist() == [1, 0, 0]
    members = EnsembleModel.of({"a": three_labels, "b": three_labels}, [0.5, 0.5])
    assert started(members).predict_proba(["moving", "tedious", "it leaks"]).argmax(axis=1).tolist() == [1, 0, 0]


@pytest.mark.parametrize("kind", ["bow", "ensemble"])
def test_the_stronger_a_start_the_more_it_is_trusted(toy_bow, blended, kind):
    start = toy_bow if kind == "bow" else blended
    sure = [np.ptp(started(start, strength=each).predict_proba(["moving", "tedious"])[:, 1]) for each in (0.05, 0.5, 4)]
    assert sure[0] < sure[1] < sure[2]


def test_a_start_that_knows_nothing_of_the_task_is_not_followed(toy_bow):
    texts = ["moving fast", "tedious fast", "moving slow", "tedious slow"] * 10
    model = started(toy_bow, texts=texts, ids=[0, 0, 1, 1] * 10, labels=("quick", "slow"))
    assert model.predict_proba(texts[:4]).argmax(axis=1).tolist() == [0, 0, 1, 1]


def test_a_folded_start_is_stored_as_asked_and_fills_the_larger_table(toy_bow):
    wide = SETTINGS.model_copy(update={"slot_bits": 18, "storage": "int8"})
    model = started(toy_bow, settings=wide)
    assert (model.settings.slot_bits, model.settings.storage, model.weights.dtype) == (18, "int8", np.int8)
    assert len(np.unique(model.keys >> np.uint32(14))) == len(model.keys) > len(toy_bow.keys)
    np.testing.assert_allclose(model.predict_proba(UNSEEN), started(toy_bow).predict_proba(UNSEEN), atol=0.01)


def test_characters_can_be_added_to_a_start_without_them_and_not_left_out(toy_bow):
    spelt = SETTINGS.model_copy(update={"characters": 4})
    model = started(toy_bow, settings=spelt)
    assert model.settings.characters == 4
    assert model.predict_proba(["leaking", "tedious"]).argmax(axis=1).tolist() == [0, 0]
    np.testing.assert_allclose(model._kernel_scores(UNSEEN), model._reference_scores(UNSEEN), atol=1e-5)
    with pytest.raises(SettingsError, match=r"^start = start: its table .* only with characters = 4$"):
        started(model)


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"max_order": 2}, "max_order = 3"),
        ({"norm": "none"}, 'norm = "l2"'),
        ({"cleaning": CleaningSettings()}, 'cleaning.punctuation = "keep"'),
        ({"cleaning": CleaningSettings(punctuation="keep", stop_words=("a",))}, "its cleaning.stop_words"),
        (
            {"max_order": 1, "cleaning": CleaningSettings(punctuation="keep", lowercase=False)},
            "max_order = 3, cleaning.lowercase = true",
        ),
    ],
)
def test_settings_under_which_tables_do_not_add_up_are_named(toy_bow, changes, needed):
    with pytest.raises(SettingsError) as refusal:
        started(toy_bow, settings=SETTINGS.model_copy(update=changes))
    assert str(refusal.value) == f"start = start: its table can be added to only with {needed}"


# Any other model, which stays a member.


def test_a_start_that_is_no_bag_stays_a_member_with_a_projection(blended):
    model = started(blended, name="films")
    assert isinstance(model, EnsembleModel)
    bag, start = model.models
    assert isinstance(bag, BowModel) and start is blended
    assert model.settings.members == ("bag beside films", "films")
    assert model.settings.weights == (1, 1)
    assert model.projections.keys() == {1}
    logits = bag.logits(UNSEEN) + centred(blended.logits(UNSEEN)) @ model.projections[1]
    np.testing.assert_allclose(model.predict_proba(UNSEEN), softmax(logits), atol=1e-6)


@pytest.mark.parametrize("name", ["bag", "runs/bag", "bag beside bag"])
def test_a_start_may_have_any_name(blended, name):
    assert len(set(started(blended, name=name).settings.members)) == 2


@pytest.mark.parametrize("labels", [("bad", "good"), ("bad", "good", "plain")])
def test_a_saved_bag_with_a_start_predicts_the_same_bits(blended, tmp_path, labels):
    model = started(blended, labels=labels, ids=IDS if len(labels) == 2 else [0, 1, 2] * 4)
    save_bundle(TrainedModel(model=model), tmp_path / "started")
    loaded = load_bundle(tmp_path / "started").model
    assert loaded.labels == labels
    assert loaded.models[1].labels == ("negative", "positive")
    assert np.array_equal(loaded.logits(UNSEEN), model.logits(UNSEEN))
    save_bundle(load_bundle(tmp_path / "started"), tmp_path / "again")
    for path in (tmp_path / "started").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_start_that_has_a_start_of_its_own_is_one_too(blended, tmp_path):
    first = started(blended, name="films")
    second = started(first, name="kitchen", labels=("no", "yes"))
    save_bundle(TrainedModel(model=second), tmp_path / "second")
    assert np.array_equal(load_bundle(tmp_path / "second").model.logits(UNSEEN), second.logits(UNSEEN))
