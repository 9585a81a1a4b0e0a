import numpy as np
import pytest
from pydantic import ValidationError

from plaudit.errors import SettingsError
from plaudit.evaluate.metrics import ece, log_loss
from plaudit.models.base import softmax
from plaudit.models.calibration import Calibration, fit_calibration, known_method


def overconfident(num_classes, *, n=4_000, factor=3.0, seed=0):
    """Labels drawn from known probabilities, and the probabilities of a model whose logits are `factor` too large."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, num_classes))
    true = softmax(logits)
    labels = (true.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=num_classes - 1)
    return labels, softmax(factor * logits).astype(np.float32)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_a_temperature_undoes_logits_that_are_too_large(num_classes):
    labels, probabilities = overconfident(num_classes)
    calibration = fit_calibration("temperature", labels, probabilities)
    assert calibration.temperature == pytest.approx(3.0, rel=0.1)
    calibrated = calibration.apply(probabilities)
    assert np.array_equal(calibrated.argmax(axis=1), probabilities.argmax(axis=1))
    assert log_loss(labels, calibrated) < log_loss(labels, probabilities)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
@pytest.mark.parametrize("num_classes", [2, 4])
def test_calibrated_probabilities_mean_what_they_say_on_reviews_not_fitted_to(method, num_classes):
    calibration = fit_calibration(method, *overconfident(num_classes))
    labels, probabilities = overconfident(num_classes, seed=1)
    calibrated = calibration.apply(probabilities)
    assert calibrated.dtype == np.float32
    assert np.allclose(calibrated.sum(axis=1), 1, atol=1e-6)
    assert ece(labels, probabilities) > 0.1
    assert ece(labels, calibrated) < 0.04


def test_no_verdict_becomes_certain_or_impossible():
    probabilities = np.repeat(np.array([[0.9, 0.1], [0.1, 0.9]], np.float32), 10, axis=0)
    calibrated = fit_calibration("isotonic", [0] * 10 + [1] * 10, probabilities).apply(probabilities)
    assert 0 < calibrated.min() < calibrated.max() < 1


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_probabilities_of_zero_and_one_stay_finite(method):
    calibration = fit_calibration(method, *overconfident(2))
    assert np.isfinite(calibration.apply(np.array([[0, 1], [1, 0]], np.float32))).all()


def test_a_calibration_survives_json():
    for method in ("temperature", "isotonic"):
        calibration = fit_calibration(method, *overconfident(3))
        assert Calibration.model_validate_json(calibration.model_dump_json(exclude_none=True)) == calibration


@pytest.mark.parametrize(
    "values",
    [
        {"method": "temperature"},
        {"method": "temperature", "temperature": 0},
        {"method": "isotonic", "temperature": 1.5},
        {"method": "isotonic", "curves": (((0, 0), (1, 1)),), "temperature": 1.5},
    ],
)
def test_half_a_calibration_is_refused(values):
    with pytest.raises(ValidationError):
        Calibration.model_validate(values)


def test_an_unknown_method_is_refused_with_those_there_are():
    with pytest.raises(SettingsError, match=r"--method 'platt': give temperature or isotonic"):
        known_method("platt", source="--method")
