"""Several teachers as one: their logits, weighted and added.

Weights are fitted on validation, where no teacher was trained: those, none negative, under which the labels are most
probable. They calibrate at the same time: a teacher that is too sure of itself gets a smaller weight.

Shapes: M teachers, N reviews, C classes.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from undertone.models.base import Float32Array


def centred(logits: Float32Array) -> Float32Array:
    """Return logits whose mean over the classes is 0, which means the same probabilities."""
    return np.asarray(logits - logits.mean(axis=1, keepdims=True), np.float32)


def fit_weights(logits: Sequence[Float32Array], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the weight of each teacher, float64 [M], from M times logits [N, C] and labels [N]."""
    from scipy.optimize import minimize

    stacked = np.stack([centred(each) for each in logits]).astype(np.float64)
    rows = np.arange(len(labels))

    def loss(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        blended = np.tensordot(weights, stacked, axes=1)
        log_total = np.logaddexp.reduce(blended, axis=1)
        error = np.exp(blended - log_total[:, None])
        error[rows, labels] -= 1
        return float((log_total - blended[rows, labels]).mean()), np.tensordot(stacked, error, axes=2) / len(labels)

    start = np.full(len(stacked), 1 / len(stacked))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(stacked))
    weights: npt.NDArray[np.float64] = found.x
    return weights


def blend(logits: Sequence[Float32Array], weights: npt.NDArray[np.float64]) -> Float32Array:
    """Return the weighted sum of the teachers' centred logits, float32 [N, C]."""
    total = sum(weight * centred(each) for weight, each in zip(weights, logits, strict=True))
    return np.asarray(total, np.float32)
