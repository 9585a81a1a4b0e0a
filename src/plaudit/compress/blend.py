"""How much each of several trained models counts when their logits are added, fitted on validation or given."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rich.console import Console

from plaudit.compress.base import Teacher
from plaudit.compress.cached_logits import cached_logits
from plaudit.data.splits import Splits
from plaudit.errors import SettingsError
from plaudit.models.ensemble import fit_weights
from plaudit.train.labels import labels_of


def blend_weights(
    teachers: Sequence[Teacher], splits: Splits, weights: Sequence[float] | None, *, console: Console
) -> npt.NDArray[np.float64]:
    """Return the weight of each model's centred logits, float64 [M]: `weights`, or fitted on validation if None.

    SettingsError if a model knows other labels than the reviews have, or was fitted on validation and its weight would
    be too; OutputError if the models' logits cannot be cached.
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
        return _fitted_on_validation(teachers, splits, console)
    if len(weights) != len(teachers):
        raise SettingsError(f"teacher_weights has {len(weights)} numbers for {len(teachers)} teachers")
    return np.array(weights)


def _fitted_on_validation(teachers: Sequence[Teacher], splits: Splits, console: Console) -> npt.NDArray[np.float64]:
    for teacher in teachers:
        if teacher.learned_validation:
            raise SettingsError(
                f"{teacher.name} was fitted on validation too, where models are weighted; "
                "train it with refit = false, or give the weights"
            )
    texts = splits.validation["text"].to_pylist()
    logits = [cached_logits(teacher, texts, console=console) for teacher in teachers]
    weights = fit_weights(logits, labels_of(splits.validation))
    if not weights.any():
        raise SettingsError(
            f"the teachers predict {splits.name}'s labels no better than chance; give others, or teacher_weights"
        )
    return weights
