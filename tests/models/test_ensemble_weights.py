"""How the members of an ensemble are weighed."""

import numpy as np
import pytest

from plaudit.models.ensemble import blend, fit_weights

NUM_REVIEWS = 4_000


@pytest.fixture(params=[2, 3], ids=["two classes", "three classes"])
def num_classes(request):
    return request.param


@pytest.fixture
def labels(num_classes):
    return np.random.default_rng(0).integers(0, num_classes, NUM_REVIEWS)


def teacher(labels, num_classes, *, strength, seed):
    """Return logits that know the labels through noise of 1: calibrated if each is drawn so."""
    noise = np.random.default_rng(seed).normal(0, 1, (len(labels), num_classes))
    return (strength**2 * np.eye(num_classes)[labels] + strength * noise).astype(np.float32)


def nll(logits, labels):
    logits = logits.astype(np.float64)
    return float((np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]).mean())


def test_a_calibrated_teacher_keeps_its_size(labels, num_classes):
    (weight,) = fit_weights([teacher(labels, num_classes, strength=1.5, seed=1)], labels)
    assert weight == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("factor", [0.25, 4.0, 20.0])
def test_a_teacher_too_sure_of_itself_is_scaled_down_and_a_timid_one_up(labels, num_classes, factor):
    logits = teacher(labels, num_classes, strength=1.5, seed=1)
    (plain,), (scaled,) = fit_weights([logits], labels), fit_weights([logits * np.float32(factor)], labels)
    assert scaled == pytest.approx(plain / factor, rel=0.01)


def test_the_better_teacher_gets_the_larger_weight(labels, num_classes):
    good = 2 * teacher(labels, num_classes, strength=1.0, seed=1)  # of about the size of the better one's
    better = teacher(labels, num_classes, strength=2.0, seed=2)
    weights = fit_weights([good, better], labels)
    assert weights[1] > 1.5 * weights[0] > 0.1
    assert fit_weights([better, good], labels) == pytest.approx(weights[::-1], rel=0.01)


def test_a_useless_teacher_gets_next_to_nothing(labels, num_classes):
    good = teacher(labels, num_classes, strength=1.5, seed=1)
    useless = np.random.default_rng(2).normal(0, 2, good.shape).astype(np.float32)
    assert fit_weights([good, useless], labels)[1] < 0.05


def test_no_weight_is_negative_even_of_a_teacher_that_is_always_wrong(labels, num_classes):
    good = teacher(labels, num_classes, strength=1.0, seed=1)
    wrong = -teacher(labels, num_classes, strength=2.0, seed=2)
    weights = fit_weights([wrong, good], labels)
    assert weights[0] == 0
    assert weights[1] > 0.5
    assert fit_weights([wrong], labels).tolist() == [0]


def test_no_other_weights_make_the_labels_more_probable(labels, num_classes):
    logits = [teacher(labels, num_classes, strength=strength, seed=i) for i, strength in enumerate((0.7, 1.0, 1.5))]
    weights = fit_weights(logits, labels)
    least = nll(blend(logits, weights), labels)
    assert least < min(nll(each, labels) for each in logits)
    for change in np.random.default_rng(3).normal(0, 0.05, (50, 3)):
        assert nll(blend(logits, np.maximum(weights + change, 0)), labels) >= least - 1e-6


def test_two_teachers_that_say_the_same_share_the_weight_of_one(labels, num_classes):
    logits = teacher(labels, num_classes, strength=1.5, seed=1)
    (alone,) = fit_weights([logits], labels)
    assert fit_weights([logits, logits], labels).sum() == pytest.approx(alone, rel=0.01)


def test_a_shift_of_all_logits_means_nothing(labels, num_classes):
    logits = [teacher(labels, num_classes, strength=1.5, seed=seed) for seed in (1, 2)]
    shifts = np.random.default_rng(3).normal(0, 5, (NUM_REVIEWS, 1)).astype(np.float32)
    shifted = [each + shifts for each in logits]
    weights = fit_weights(logits, labels)
    np.testing.assert_allclose(fit_weights(shifted, labels), weights, rtol=1e-3)
    np.testing.assert_allclose(blend(shifted, weights), blend(logits, weights), atol=1e-4)


def test_a_teacher_that_is_always_right_gets_a_weight_that_is_a_number(labels, num_classes):
    weights = fit_weights([10 * np.eye(num_classes, dtype=np.float32)[labels]], labels)
    assert 0.5 < weights[0] < 1e3
