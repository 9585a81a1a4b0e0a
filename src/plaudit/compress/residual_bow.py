"""A bag of n-grams beside a student, which then learns only what the bag lacks: the two are blended afterwards.

Stagewise fitting (Friedman 2001, "Greedy Function Approximation") of a wide and a deep part (Cheng et al. 2016, "Wide
& Deep Learning"). Of texts that a bag was fitted on it says too nearly what the teacher says, so that too little would
be left to learn: what it says of them is cross-fitted, by bags that were fitted on the other texts.

Shapes: N texts, C classes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from rich.console import Console

from plaudit.compress.base import Teacher
from plaudit.compress.distill_bow import LOSSES, fit_bow_student, student_ngrams
from plaudit.compress.transfer import TransferSet
from plaudit.errors import SettingsError
from plaudit.models.base import Float32Array
from plaudit.models.bow.model import BowModel
from plaudit.models.ensemble import centred
from plaudit.train.fit import saw_validation
from plaudit.train.objectives import ObjectiveSettings, Targets

_FOLDS = 4


def check_residual_bow(beside: Teacher, labels: tuple[str, ...]) -> BowModel:
    """Return the model; SettingsError if it is no bag of n-grams of these labels, or was fitted on validation."""
    if not isinstance(beside.model, BowModel):
        raise SettingsError(
            f"beside = {beside.name}: is of kind {beside.model.settings.kind}; give a bow, which is quick enough to be "
            "fitted anew without each part of the texts"
        )
    if beside.model.labels != labels:
        raise SettingsError(
            f"beside = {beside.name}: knows {', '.join(beside.model.labels)}, but the reviews have {', '.join(labels)}"
        )
    if saw_validation(beside.model.settings):
        raise SettingsError(
            f"beside = {beside.name}: was fitted on validation too, where the student is judged with it; "
            "train it with refit = false"
        )
    return beside.model


def cross_fitted_logits(
    bag: BowModel, transfer: TransferSet, targets: Targets, objective: ObjectiveSettings, *, console: Console
) -> Float32Array:
    """Return what bags of these settings say of the texts that they were not fitted on, centred, float32 [N, C].

    They learn from what the student learns from; a variant is dealt as its review is. SettingsError if none of the
    losses is for a bag, or if there are too few reviews.
    """
    losses = {name: weight for name, weight in objective.losses.items() if name in LOSSES}
    if not losses:
        raise SettingsError(
            f"a model beside the student learns by {', '.join(LOSSES)}; add one of them to objective.losses"
        )
    objective = objective.model_copy(update={"losses": losses})
    folds = _folds(transfer.ids[: transfer.num_reviews])[np.arange(len(transfer)) % transfer.num_reviews]
    if len(np.unique(folds)) < _FOLDS:
        raise SettingsError(
            f"{transfer.num_reviews} reviews are too few to fit a bag without each part of them; leave beside out"
        )
    said = np.empty((len(transfer), len(bag.labels)), np.float32)
    for fold in range(_FOLDS):
        others, own = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        texts = [transfer.texts[row] for row in others]
        known = _rows(targets, others)
        presence = student_ngrams(bag.settings, texts, known, len(bag.labels))
        model = fit_bow_student(bag.settings, presence, known, bag.labels, objective=objective, console=console)
        said[own] = model.logits([transfer.texts[row] for row in own])
    return centred(said)


def _folds(ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """Deal reviews into folds by their id, int64 [N]."""
    digests = (hashlib.sha256(id.encode()).digest() for id in ids)
    return np.array([int.from_bytes(digest[:8], "big") % _FOLDS for digest in digests])


def _rows(targets: Targets, rows: npt.NDArray[np.int64]) -> Targets:
    logits = None if targets.teacher_logits is None else targets.teacher_logits[rows]
    return replace(targets, labels=targets.labels[rows], teacher_logits=logits, teacher_features=None)
