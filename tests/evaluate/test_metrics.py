import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as reference

from plaudit.evaluate.metrics import METRICS, confusion, reliability, wilson_interval
from plaudit.evaluate.results import Result


def random_predictions(num_classes, *, n=300, seed=0, decimals=2):
    """Probabilities rounded so that ties occur."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, num_classes, n)
    probabilities = generator.dirichlet(np.ones(num_classes), n).round(decimals)
    probabilities += 0.05 * np.eye(num_classes)[labels] + 1e-6
    return labels, (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)


def test_every_metric_is_a_field_of_a_result():
    assert METRICS.keys() <= Result.model_fields.keys()


@pytest.mark.parametrize("num_classes", [2, 3, 7])
def test_metrics_agree_with_scikit_learn(num_classes):
    labels, probabilities = random_predictions(num_classes)
    predicted = probabilities.argmax(axis=1)
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    scores = exact[:, 1] if num_classes == 2 else exact
    expected = {
        "accuracy": reference.accuracy_score(labels, predicted),
        "f1": reference.f1_score(labels, predicted, average="macro"),
        "auc": reference.roc_auc_score(labels, scores, multi_class="ovr", average="macro"),
        "log_loss": reference.log_loss(labels, exact),
        "brier": reference.brier_score_loss(np.eye(num_classes)[labels], exact, scale_by_half=False),
    }
    measured = {name: METRICS[name](labels, exact) for name in expected}
    assert measured == pytest.approx(expected, abs=1e-12)
    assert np.array_equal(confusion(labels, predicted, num_classes), reference.confusion_matrix(labels, predicted))


@pytest.mark.parametrize("name", METRICS)
def test_metrics_of_a_perfect_model(name):
    labels = np.array([0, 1, 2, 1])
    assert METRICS[name](labels, np.eye(3, dtype=np.float32)[labels]) == (
        0 if name in ("log_loss", "brier", "ece") else 1
    )


def test_a_class_that_does_not_occur_is_left_out_of_the_means():
    labels, probabilities = random_predictions(2)
    with_third = np.pad(probabilities * 0.999, ((0, 0), (0, 1)), constant_values=0.001)
    assert METRICS["f1"](labels, with_third) == METRICS["f1"](labels, probabilities)
    assert METRICS["auc"](labels, with_third) == pytest.approx(METRICS["auc"](labels, probabilities), abs=1e-6)


def test_a_class_that_is_only_predicted_counts_as_f1_of_zero():
    assert METRICS["f1"](np.array([0, 0]), np.array([[0.9, 0.1], [0.2, 0.8]])) == pytest.approx((2 / 3 + 0) / 2)


def test_auc_is_undefined_where_all_reviews_share_a_class():
    assert math.isnan(METRICS["auc"](np.array([1, 1]), np.array([[0.9, 0.1], [0.2, 0.8]])))


def test_log_loss_of_a_certain_mistake_is_finite():
    assert 80 < METRICS["log_loss"](np.array([1]), np.array([[1, 0]], dtype=np.float32)) < 90


def test_ece_is_the_weighted_gap_of_confidence_and_accuracy():
    # Three reviews at confidence 0.9, two of them right, and one at 0.6 that is right.
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    assert METRICS["ece"](labels, probabilities) == pytest.approx(3 / 4 * (0.9 - 2 / 3) + 1 / 4 * 0.4)
    assert reliability(labels, probabilities) == [
        (1, pytest.approx(0.6), 1.0),
        (3, pytest.approx(0.9), pytest.approx(2 / 3)),
    ]


def test_ece_of_a_calibrated_model_is_small():
    generator = np.random.default_rng(0)
    positive = generator.uniform(size=200_000)
    labels = (generator.uniform(size=positive.size) < positive).astype(int)
    assert METRICS["ece"](labels, np.stack([1 - positive, positive], axis=1)) < 0.005


@pytest.mark.parametrize(("right", "total"), [(22_500, 25_000), (10, 10), (0, 1), (3, 7)])
def test_wilson_interval_agrees_with_scipy(right, total):
    expected = binomtest(right, total).proportion_ci(method="wilson")
    assert wilson_interval(right / total, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_share_and_lies_in_the_unit_interval(counts):
    right, total = counts
    low, high = wilson_interval(right / total, total)
    assert 0 <= low <= right / total + 1e-12
    assert right / total - 1e-12 <= high <= 1
    assert low < high
