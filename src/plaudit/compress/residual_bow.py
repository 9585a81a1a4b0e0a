"""A bag of n-grams whose mistakes a student learns to correct, before the two are combined in an ensemble.

This is stagewise fitting (Friedman 2001, "Greedy Function Approximation") of a wide and a deep part (Cheng et al. 2016,
"Wide & Deep Learning"). The bag knows the texts that it was fitted on too well, which would leave the student too
little to learn. So the bag's logits of the student's texts are cross-fitted: by bags that were fitted on other texts.

Shapes: N texts, C classes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from rich.console import Console

from plaudit.compress.base import Context, Teacher
from plaudit.compress.distill_bow import LOSSES, fit_bow_student, of_labels_alone, student_ngrams
from plaudit.compress.transfer import TransferSet
from plaudit.errors import SettingsError
from plaudit.models.base import Float32Array, ModelSettings
from plaudit.models.bow.model import BowModel
from plaudit.models.bow.settings import BowSettings
from plaudit.models.ensemble import centred
from plaudit.train.settings import ObjectiveSettings
from plaudit.train.targets import Targets

_FOLDS = 4


def check_residual_bow(bag: Teacher, student: ModelSettings, labels: tuple[str, ...]) -> None:
    """Raise SettingsError if the student cannot correct `bag`: see the messages."""
    if isinstance(student, BowSettings):
        raise SettingsError(f"beside = {bag.name}: works only for a network; train one larger bow instead")
    if not isinstance(bag.model, BowModel):
        raise SettingsError(
            f"beside = {bag.name}: is of kind {bag.model.settings.kind}; give a bow, which is quick enough to be "
            "fitted again without each part of the texts"
        )
    if bag.model.labels != labels:
        raise SettingsError(
            f"beside = {bag.name}: knows {', '.join(bag.model.labels)}, but the reviews have {', '.join(labels)}"
        )
    fitted_by = of_labels_alone(bag.model.settings)
    if fitted_by is not None:
        raise SettingsError(
            f"beside = {bag.name}: was fitted with {fitted_by}, which cannot be done again for a student; "
            "train it without"
        )
    if bag.learned_validation:
        raise SettingsError(
            f"beside = {bag.name}: was fitted on validation too, where the two are evaluated together; "
            "train it with refit = false"
        )


def residual_offsets(
    bag: Teacher,
    weight: float,
    objective: ObjectiveSettings,
    transfer: TransferSet,
    targets: Targets,
    context: Context,
) -> tuple[Targets, Float32Array]:
    """Return the targets with the bag's weighted logits, to which the student's are added, and those of validation.

    SettingsError as that of `cross_fitted_logits`.
    """
    assert isinstance(bag.model, BowModel), "checked by check_residual_bow"
    factor = np.float32(weight)
    offsets = factor * cross_fitted_logits(bag.model, transfer, targets, objective, console=context.training.console)
    validation = factor * centred(bag.model.logits(context.splits.validation["text"].to_pylist()))
    return replace(targets, logit_offsets=offsets), validation


def cross_fitted_logits(
    bag: BowModel, transfer: TransferSet, targets: Targets, objective: ObjectiveSettings, *, console: Console
) -> Float32Array:
    """Return the centred logits of bags like `bag` for texts that they were not fitted on, float32 [N, C].

    They are fitted to the student's targets. SettingsError if a bag can learn from none of the losses, or if there are
    too few reviews.
    """
    losses = {name: weight for name, weight in objective.losses.items() if name in LOSSES}
    if not losses:
        raise SettingsError(
            f"a student that corrects a bow learns from {', '.join(LOSSES)}; add one of them to objective.losses"
        )
    objective = objective.model_copy(update={"losses": losses})
    folds = _folds(transfer.ids)
    if len(np.unique(folds)) < _FOLDS:
        raise SettingsError(f"{len(transfer)} reviews are too few to cross-fit a bag of n-grams; leave beside out")
    logits = np.empty((len(transfer), len(bag.labels)), np.float32)
    for fold in range(_FOLDS):
        others, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        known = _rows(targets, others)
        presence = student_ngrams(bag.settings, [transfer.texts[row] for row in others], known, len(bag.labels))
        model = fit_bow_student(bag.settings, presence, known, bag.labels, objective=objective, console=console)
        logits[held_out] = model.logits([transfer.texts[row] for row in held_out])
    return centred(logits)


def _folds(ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return each review's fold, which depends on its id alone, int64 [N]."""
    digests = (hashlib.sha256(id.encode()).digest() for id in ids)
    return np.array([int.from_bytes(digest[:8], "big") % _FOLDS for digest in digests])


def _rows(targets: Targets, rows: npt.NDArray[np.int64]) -> Targets:
    logits = None if targets.teacher_logits is None else targets.teacher_logits[rows]
    return replace(targets, labels=targets.labels[rows], teacher_logits=logits, teacher_features=None)
