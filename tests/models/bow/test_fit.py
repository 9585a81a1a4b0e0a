"""What the regression behind a bag of n-grams learns under each setting, down to texts that teach nothing."""

import numpy as np
import pytest
from rich.console import Console
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from plaudit.models.base import softmax
from plaudit.models.bow.fit import fit_bow, fit_scores, inverse_document_frequency
from plaudit.models.bow.settings import BowSettings
from plaudit.threads import VARIABLE

SMALL = BowSettings(min_count=1, slot_bits=16, max_order=1, norm="none")
TEXTS = ["a dull film", "a dull plot", "a lovely film", "a lovely plot", "a lovely dog", "a dull dog", "a film"]
LABELS = ("negative", "positive")
IDS = np.array([0, 0, 1, 1, 1, 0, 1])
ROWS = sparse.csr_matrix(np.array([[word in text.split() for word in ("a", "dull", "lovely")] for text in TEXTS], "f4"))


def settings_with(**changes):
    return SMALL.model_copy(update=changes)


def regression(columns, ids, **options):
    made = LogisticRegression(
        C=SMALL.inverse_regularization, solver="liblinear", dual=True, random_state=0, max_iter=1000, **options
    )
    return made.fit(columns, ids)


def test_a_label_that_no_text_has_is_as_rare_as_its_smoothed_count():
    fitted = fit_scores(SMALL, ROWS, IDS, (*LABELS, "mixed"))
    assert not fitted.weights[:, 2].any()
    assert fitted.bias[2] == pytest.approx(np.log(1 / 8))
    assert fitted.weights[1:, :2].all()


def test_a_label_that_every_text_has_is_as_likely():
    fitted = fit_scores(SMALL, ROWS, np.ones(7, np.int64), LABELS)
    assert not fitted.weights.any()
    assert fitted.bias.tolist() == pytest.approx([np.log(8)])


def test_without_ngrams_the_labels_shares_are_learned():
    fitted = fit_scores(SMALL, sparse.csr_matrix((7, 0), dtype=np.float32), IDS, LABELS)
    assert fitted.weights.shape == (0, 1)
    assert fitted.bias.tolist() == pytest.approx([np.log(5 / 4)])


@pytest.mark.parametrize("scale", ["log-count", "idf"])
@pytest.mark.parametrize("norm", ["none", "l2"])
def test_features_alone_are_learned_from_too(scale, norm):
    features = np.where(IDS == 1, 2, -2)[:, None].astype(np.float32)
    no_ngrams = sparse.csr_matrix((7, 0), dtype=np.float32)
    fitted = fit_scores(settings_with(scale=scale, norm=norm), no_ngrams, IDS, LABELS, features=features)
    expected = regression(features, IDS == 1)
    assert fitted.of_features.shape == (1, 1)
    assert fitted.of_features[0, 0] == pytest.approx(expected.coef_[0, 0], rel=1e-3)
    assert fitted.of_features[0, 0] > 0.1
    assert fitted.bias[0] == pytest.approx(expected.intercept_[0], abs=1e-3)


def test_inverse_document_frequency_weighs_the_rare_and_is_1_on_average():
    rarity = inverse_document_frequency(ROWS)
    counts = np.asarray(ROWS.sum(axis=0)).ravel()
    assert rarity[0] < rarity[1] < 2 * rarity[0]
    assert rarity[1] == rarity[2]
    assert (counts * rarity).sum() / counts.sum() == pytest.approx(1)
    assert inverse_document_frequency(sparse.csr_matrix((3, 0))).shape == (0,)


@pytest.mark.parametrize("class_weight", ["none", "balanced"])
def test_idf_and_class_weights_are_what_the_regression_is_given(class_weight):
    fitted = fit_scores(settings_with(scale="idf", class_weight=class_weight), ROWS, IDS, LABELS)
    rarity = inverse_document_frequency(ROWS)
    options = {} if class_weight == "none" else {"class_weight": "balanced"}
    expected = regression(ROWS @ sparse.diags(rarity), IDS == 1, **options)
    assert fitted.weights[:, 0].tolist() == pytest.approx((rarity * expected.coef_[0]).tolist())
    assert fitted.bias[0] == pytest.approx(expected.intercept_[0])


def test_balanced_classes_make_a_rare_label_as_likely_as_the_others():
    texts, ids = ["a film"] * 20, np.array([0] * 18 + [1] * 2)
    usual, balanced = (
        fit_bow(settings_with(class_weight=each), texts, ids, LABELS, console=Console(quiet=True)).predict_proba(texts)
        for each in ("none", "balanced")
    )
    assert usual[0, 1] < 0.35
    assert balanced[0, 1] == pytest.approx(0.5, abs=0.02)


def test_several_problems_are_fitted_the_same_way_each_time(monkeypatch):
    monkeypatch.setenv(VARIABLE, "4")
    generator = np.random.default_rng(0)
    rows = sparse.csr_matrix((generator.random((400, 60)) < 0.2).astype(np.float32))
    ids = generator.integers(0, 8, 400)
    first, *others = (fit_scores(SMALL, rows, ids, tuple("abcdefgh")).weights for _ in range(4))
    assert all((weights == first).all() for weights in others)


def test_a_temperature_divides_every_score():
    features = np.linspace(-1, 1, 7, dtype=np.float32)[:, None]
    usual, calm = (
        fit_scores(settings_with(temperature=each), ROWS, IDS, (*LABELS, "mixed"), features=features)
        for each in (1.0, 4.0)
    )
    for before, after in ((usual.weights, calm.weights), (usual.bias, calm.bias)):
        np.testing.assert_allclose(after, before / 4)
    np.testing.assert_allclose(calm.of_features, usual.of_features / 4)


@pytest.mark.parametrize("probabilities", ["one-vs-rest", "softmax"])
def test_a_temperature_changes_how_sure_a_model_is_and_no_label(probabilities):
    ids, labels = np.array([0, 0, 1, 1, 1, 0, 2]), (*LABELS, "mixed")
    usual, calm = (
        fit_bow(
            settings_with(temperature=each, probabilities=probabilities),
            TEXTS,
            ids,
            labels,
            console=Console(quiet=True),
        ).predict_proba([*TEXTS, "", "lovely dull"])
        for each in (1.0, 4.0)
    )
    assert (usual.argmax(axis=1) == calm.argmax(axis=1)).all()
    assert calm.max(axis=1).max() < usual.max(axis=1).max()


def test_probabilities_are_shared_as_the_settings_say():
    ids, labels = np.array([0, 0, 1, 1, 1, 0, 2]), (*LABELS, "mixed")
    shared, soft = (
        fit_bow(settings_with(probabilities=each), TEXTS, ids, labels, console=Console(quiet=True))
        for each in ("one-vs-rest", "softmax")
    )
    assert (shared.weights == soft.weights).all()
    scores = soft._reference_scores(TEXTS) + soft.bias
    np.testing.assert_allclose(soft.predict_proba(TEXTS), softmax(scores), rtol=1e-5)
    own = 1 / (1 + np.exp(-scores))
    np.testing.assert_allclose(shared.predict_proba(TEXTS), own / own.sum(axis=1, keepdims=True), rtol=1e-5)


def test_what_is_not_learned_only_makes_a_row_longer():
    known = np.array([False, True, True])
    for norm, is_same in (("none", True), ("l2", False)):
        fitted = fit_scores(settings_with(norm=norm), ROWS, IDS, LABELS, is_learned=known)
        without = fit_scores(settings_with(norm=norm), ROWS[:, known], IDS, LABELS)
        assert fitted.weights[0] == 0
        assert np.allclose(fitted.weights[known], without.weights) == is_same


def test_characters_find_a_words_other_forms():
    texts = ["wunderbarer film", "wunderbares buch", "schrecklicher film", "schreckliches buch"] * 3
    ids = np.array([1, 1, 0, 0] * 3)
    words, characters = (
        fit_bow(settings_with(characters=each), texts, ids, LABELS, console=Console(quiet=True)) for each in (0, 4)
    )
    unseen = ["wunderbare", "schrecklichen"]
    assert words.logits(unseen)[0].tolist() == words.logits(unseen)[1].tolist()
    assert characters.predict_proba(unseen).argmax(axis=1).tolist() == [1, 0]
    np.testing.assert_allclose(characters._kernel_scores(unseen), characters._reference_scores(unseen), atol=1e-5)
