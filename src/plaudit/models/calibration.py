"""Calibration: corrects probabilities so that they match how often they are right; calibration.json in a bundle.

Shapes: N texts, C classes.
"""

from collections.abc import Sequence
from typing import Literal, Self, cast, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from plaudit.errors import SettingsError
from plaudit.models.base import Float32Array, softmax
from plaudit.settings import Settings

Method = Literal["temperature", "isotonic"]

_TINY = float(np.finfo(np.float32).tiny)


class Calibration(Settings):
    """Either a temperature (Guo et al. 2017) or a rising curve for each class (Zadrozny & Elkan 2002).

    A temperature divides the logits and changes no predicted label; curves may change some.
    """

    method: Method
    temperature: float | None = Field(default=None, gt=0)
    curves: tuple[tuple[tuple[float, float], ...], ...] | None = None
    """For each class the points (probability before, after) of its piecewise linear curve."""

    @model_validator(mode="after")
    def _fields_fit_method(self) -> Self:
        given = {"temperature": self.temperature is not None, "isotonic": self.curves is not None}
        if [method for method, is_given in given.items() if is_given] != [self.method]:
            raise ValueError("method temperature needs only a temperature, and method isotonic only curves")
        return self

    def apply(self, probabilities: Float32Array) -> Float32Array:
        """Return calibrated probabilities, float32 [N, C]; rows sum to 1."""
        if self.temperature is not None:
            return _tempered(probabilities, self.temperature).astype(np.float32)
        mapped = np.empty(probabilities.shape)
        for c, curve in enumerate(self.curves or ()):
            before, after = np.array(curve).T
            mapped[:, c] = np.interp(probabilities[:, c], before, after)
        calibrated: Float32Array = (mapped / mapped.sum(axis=1, keepdims=True)).astype(np.float32)
        return calibrated


def known_method(name: object, *, source: str) -> Method:
    """Return the method of this name; SettingsError, which begins with `source`, if there is none."""
    for method in get_args(Method):
        if name == method:
            return cast(Method, method)
    raise SettingsError(f"{source} {name!r}: give {' or '.join(get_args(Method))}")


def fit_calibration(method: Method, labels: Sequence[int], probabilities: Float32Array) -> Calibration:
    """Fit to held-out reviews: `labels` [N], `probabilities` float32 [N, C]. Needs the extra `train`."""
    truth = np.asarray(labels, np.int64)
    if method == "temperature":
        from scipy.optimize import minimize_scalar

        def loss(log_temperature: float) -> float:
            tempered = _tempered(probabilities, float(np.exp(log_temperature)))
            return float(-np.log(np.maximum(tempered[np.arange(len(truth)), truth], _TINY)).mean())

        found = minimize_scalar(loss, bounds=(-3, 3), method="bounded")
        return Calibration(method=method, temperature=round(float(np.exp(found.x)), 5))
    curves = tuple(_curve(truth == c, probabilities[:, c]) for c in range(probabilities.shape[1]))
    return Calibration(method=method, curves=curves)


def _tempered(probabilities: Float32Array, temperature: float) -> npt.NDArray[np.float64]:
    return softmax(np.log(np.maximum(probabilities, _TINY).astype(np.float64)) / temperature)


def _curve(is_true: npt.NDArray[np.bool_], probability: npt.NDArray[np.float32]) -> tuple[tuple[float, float], ...]:
    from sklearn.isotonic import IsotonicRegression

    # A few correct reviews at the end of the curve must not make a prediction certain.
    least = 1 / (len(is_true) + 2)
    fitted = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(probability, is_true)
    points = zip(fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist(), strict=True)
    return tuple((round(before, 6), round(after, 6)) for before, after in points)
