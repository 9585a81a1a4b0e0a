import numpy as np
import pytest

from plaudit.compress.base import Teacher
from plaudit.compress.blend import blend_weights
from plaudit.errors import SettingsError
from plaudit.models.bow.model import BowModel
from plaudit.models.ensemble import fit_weights
from plaudit.train.labels import labels_of
from tests.compress.conftest import QUIET


@pytest.fixture
def teachers(bow, lstm):
    """Two models that learned from the train split alone."""
    return [Teacher("bow", bow), Teacher("lstm", lstm)]


def like(bow, labels=("negative", "positive"), **settings):
    """Return the same bag of n-grams with other label names or settings."""
    return BowModel.from_state(bow.settings.model_copy(update=settings), labels, bow.state())


def refused(message, *arguments):
    with pytest.raises(SettingsError, match=message) as caught:
        blend_weights(*arguments, console=QUIET)
    assert len(str(caught.value).splitlines()) == 1


def test_models_are_weighed_by_what_they_say_of_validation(teachers, splits):
    texts, truth = splits.validation["text"].to_pylist(), labels_of(splits.validation)
    weights = blend_weights(teachers, splits, None, console=QUIET)
    expected = fit_weights([teacher.model.logits(texts) for teacher in teachers], truth)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert weights.dtype == np.float64
    assert (weights > 0).any()
    np.testing.assert_allclose(
        blend_weights(teachers[::-1], splits, None, console=QUIET), expected[::-1], rtol=1e-3, atol=1e-3
    )


def test_weights_that_are_given_are_taken_and_nothing_is_read(teachers, splits, monkeypatch):
    for teacher in teachers:
        monkeypatch.setattr(teacher.model, "logits", None)
    assert blend_weights(teachers, splits, (0.25, 3.0), console=QUIET).tolist() == [0.25, 3.0]


def test_a_model_that_saw_validation_is_weighed_by_given_weights_only(bow, lstm, splits):
    seen = [Teacher("seen", bow, learned_validation=True), Teacher("lstm", lstm)]
    refused("seen was fitted on validation too, .* train it with refit = false", seen, splits, None)
    assert blend_weights(seen, splits, (1.0, 2.0), console=QUIET).tolist() == [1, 2]


def test_as_many_weights_as_models(teachers, splits):
    refused("has 1 numbers for 2 teachers", teachers, splits, (1.0,))
    refused("has 3 numbers for 2 teachers", teachers, splits, (1.0, 1.0, 1.0))


@pytest.mark.parametrize("weights", [None, (1.0, 1.0)])
def test_models_of_other_labels_are_refused(teachers, bow, splits, weights):
    others = [teachers[1], Teacher("other", like(bow, labels=("bad", "good")))]
    refused("other knows bad, good, but tiny has negative, positive", others, splits, weights)
    turned = [teachers[1], Teacher("turned", like(bow, labels=("positive", "negative")))]
    refused("turned knows positive, negative, but tiny has negative, positive", turned, splits, weights)


@pytest.mark.parametrize("weights", [None, (1.0, 1.0)])
def test_two_models_of_one_name_are_refused(teachers, splits, weights):
    same = [Teacher("bow", teacher.model) for teacher in teachers]
    refused("teachers bow, bow: give folders of different names", same, splits, weights)


def test_models_that_are_always_wrong_are_refused(bow, splits):
    wrong = BowModel(bow.settings, bow.labels, keys=bow.keys, weights=-bow.weights, bias=-bow.bias)
    refused("the teachers predict tiny's labels no better than chance", [Teacher("wrong", wrong)], splits, None)
