"""A bag of n-grams as a student: the same linear model, fitted to soft labels by L-BFGS.

The solver for hard labels cannot do that. Everything else is as in models/bow: the n-grams that a text has, scaled by
their log-count ratio, in which a text counts for each label by its soft label.

Shapes: N texts, C classes, K binary problems (1 for two classes, else C), F n-grams.
"""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rich.console import Console

from plaudit.errors import SettingsError
from plaudit.models.base import softmax
from plaudit.models.bow.fit import fit_problems, inverse_document_frequency, log_count_ratio, one_ngram_per_slot
from plaudit.models.bow.model import BowModel
from plaudit.models.bow.ngrams import Presence, frequent_ngrams
from plaudit.models.bow.settings import BowSettings
from plaudit.train.settings import ObjectiveSettings
from plaudit.train.targets import UNLABELLED, Targets

if TYPE_CHECKING:
    from scipy import sparse

Float64Array = npt.NDArray[np.float64]

_MAX_ITERATIONS = 200
_TOLERANCE = 1e-4
"""Of the largest entry of the mean loss's gradient, relative to the start: below it, validation no longer changes."""


def student_ngrams(settings: BowSettings, texts: Sequence[str], targets: Targets, num_classes: int) -> Presence:
    """Return the n-grams that a new student of these settings is fitted on."""
    return one_ngram_per_slot(frequent_ngrams(texts, settings), _shares(targets, num_classes), settings.slot_bits)


def fit_bow_student(
    settings: BowSettings,
    presence: Presence,
    targets: Targets,
    labels: tuple[str, ...],
    *,
    objective: ObjectiveSettings,
    console: Console,
) -> BowModel:
    """Fit a bag of these n-grams to an objective; SettingsError if one of its losses is only for networks."""
    unknown = sorted(objective.losses.keys() - LOSSES)
    if unknown:
        raise SettingsError(f"a bow student learns from {', '.join(LOSSES)}; leave {', '.join(unknown)} out")
    targets.refuse_idle(objective)
    idle = of_labels_alone(settings)
    if idle is not None:
        raise SettingsError(f"{idle} has no effect on a student; leave it out")
    settings = settings.model_copy(update={"refit": False})
    rarity = inverse_document_frequency(presence.matrix) if settings.scale == "idf" else None
    shares = _shares(targets, len(labels))

    def fit_problem(rows: "sparse.csr_matrix", positive: int) -> tuple[Float64Array, float]:
        ratio = rarity
        if ratio is None:
            ratio = log_count_ratio(presence.matrix, shares[:, positive], settings.smoothing)
        loss = _binary_loss(targets, positive, objective)
        return _minimize(rows, ratio, loss, settings.inverse_regularization)

    return fit_problems(settings, presence, labels, fit_problem, console=console)


def of_labels_alone(settings: BowSettings) -> str | None:
    """Return a setting by which a student of soft labels cannot be fitted, as a recipe writes it; None if none is."""
    for name, usual in (("class_weight", "none"), ("temperature", 1.0)):
        value = getattr(settings, name)
        if value != usual:
            return f"{name} = {json.dumps(value)}"
    return None


def _shares(targets: Targets, num_classes: int) -> Float64Array:
    """Return how much each text counts for each label, float64 [N, C]: the teacher's probability, or the label."""
    if targets.teacher_logits is None:
        return np.eye(num_classes)[targets.labels]
    return softmax(targets.teacher_logits.astype(np.float64))


LOSSES = ("hard", "kl", "logit-mse")
"""Losses that a bag of n-grams can be fitted to."""

Loss = Callable[[Float64Array], tuple[float, Float64Array]]
"""Takes the scores of all texts, float64 [N]; returns their summed loss and its gradient, [N]."""


def _binary_loss(targets: Targets, positive: int, objective: ObjectiveSettings) -> Loss:
    """Return the losses of train/objectives.py for one score a text: the log odds of the label `positive`."""
    truth = (targets.labels == positive).astype(np.float64)
    is_labelled = targets.labels != UNLABELLED
    odds = np.zeros(len(truth))
    if targets.teacher_logits is not None:
        logits = targets.teacher_logits.astype(np.float64)
        others = np.delete(logits, positive, axis=1)
        odds = logits[:, positive] - np.logaddexp.reduce(others, axis=1)
    temperature = objective.temperature
    softened = _sigmoid(odds / temperature)

    def hard(scores: Float64Array) -> tuple[float, Float64Array]:
        losses = is_labelled * (np.logaddexp(0, scores) - truth * scores)
        return float(losses.sum()), is_labelled * (_sigmoid(scores) - truth)

    def kl(scores: Float64Array) -> tuple[float, Float64Array]:
        # Without the teacher's entropy, which is constant.
        losses = np.logaddexp(0, scores / temperature) - softened * scores / temperature
        return float(losses.sum()) * temperature**2, temperature * (_sigmoid(scores / temperature) - softened)

    def logit_mse(scores: Float64Array) -> tuple[float, Float64Array]:
        # Centred logits of two classes are half the score and its negative.
        return float(np.square(scores - odds).sum() / 4), (scores - odds) / 2

    losses: dict[str, Loss] = dict(zip(LOSSES, (hard, kl, logit_mse), strict=True))

    def total(scores: Float64Array) -> tuple[float, Float64Array]:
        value, gradient = 0.0, np.zeros_like(scores)
        for name, weight in objective.losses.items():
            part, slope = losses[name](scores)
            value += weight * part
            gradient += weight * slope
        return value, gradient

    return total


def _sigmoid(scores: Float64Array) -> Float64Array:
    sigmoid: Float64Array = 0.5 * (1 + np.tanh(scores / 2))
    return sigmoid


def _minimize(
    matrix: "sparse.csr_matrix", ratio: Float64Array, loss: Loss, inverse_regularization: float
) -> tuple[Float64Array, float]:
    """Return the weight of each n-gram, float64 [F], and the bias that minimize loss and squared coefficients."""
    from scipy.optimize import minimize

    transposed = matrix.T.tocsr()
    num_texts = matrix.shape[0]

    def mean_loss(coefficients: Float64Array) -> tuple[float, Float64Array]:
        slopes, bias = coefficients[:-1], coefficients[-1]
        value, gradient = loss(matrix @ (ratio * slopes).astype(np.float32) + bias)
        value += float(slopes @ slopes) / (2 * inverse_regularization)
        by_slope = ratio * (transposed @ gradient.astype(np.float32)) + slopes / inverse_regularization
        return value / num_texts, np.append(by_slope, gradient.sum()) / num_texts

    start = np.zeros(matrix.shape[1] + 1)
    largest = np.abs(mean_loss(start)[1]).max()
    found = minimize(
        mean_loss,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_ITERATIONS, "gtol": _TOLERANCE * largest, "ftol": 1e-9},
    )
    return ratio * found.x[:-1], float(found.x[-1])
