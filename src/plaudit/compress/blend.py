"""How much each of several models that are blended as one counts.

Weights are fitted on validation, where none of them was trained: those, none negative, under which the labels are most
probable. They calibrate at the same time: a model that is too sure of itself gets a smaller weight.

Shapes: M models, N reviews, C classes.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rich.console import Console

from plaudit.compress.base import Teacher
from plaudit.compress.reading import read_kept
from plaudit.data.splits import Splits
from plaudit.errors import SettingsError
from plaudit.models.base import Float32Array, Model
from plaudit.models.ensemble import centred
from plaudit.train.fit import labels_of, saw_validation


def weigh(
    teachers: Sequence[Teacher], splits: Splits, weights: Sequence[float] | None, *, console: Console
) -> npt.NDArray[np.float64]:
    """Return the weight of each model's centred logits, float64 [M]: those given, or fitted on validation.

    SettingsError if a model has other labels than the reviews, or was fitted on validation and so cannot be weighed
    there; OutputError if the cache, which keeps what the models say, cannot be written.
    """
    if len({teacher.name for teacher in teachers}) < len(teachers):
        raise SettingsError(
            f"teachers {', '.join(teacher.name for teacher in teachers)}: give folders of different names"
        )
    for teacher in teachers:
        if teacher.model.labels != splits.labels:
            raise SettingsError(
                f"{teacher.name} knows {', '.join(teacher.model.labels)}, "
                f"but {splits.name} has {', '.join(splits.labels)}"
            )
    if weights is None:
        fitted = fit_weights(_validation_logits(teachers, splits, console), labels_of(splits.validation))
        if not fitted.any():
            raise SettingsError(f"the teachers tell nothing of {splits.name}'s labels; give others, or teacher_weights")
        return fitted
    if len(weights) != len(teachers):
        raise SettingsError(f"teacher_weights has {len(weights)} numbers for {len(teachers)} teachers")
    return np.array(weights)


def _saw_validation(model: Model) -> bool:
    return saw_validation(model.settings) or any(map(_saw_validation, getattr(model, "models", ())))


def _validation_logits(teachers: Sequence[Teacher], splits: Splits, console: Console) -> list[Float32Array]:
    for teacher in teachers:
        if _saw_validation(teacher.model):
            raise SettingsError(
                f"{teacher.name} was fitted on validation too, where models are weighted; "
                "train it with refit = false, or give the weights"
            )
    texts = splits.validation["text"].to_pylist()
    return [read_kept(teacher, texts, console=console) for teacher in teachers]


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
