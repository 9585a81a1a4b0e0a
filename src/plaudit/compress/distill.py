"""Distillation: a student learns what its teachers say of a large transfer set (Hinton et al. 2015).

It is not another trainer. A student is trained as any model of its kind is; what differs is the texts it reads and
what it is told of them. The control is the loss `hard` alone on the source `train`: the student without a teacher.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from rich.console import Console

from plaudit.compress.base import Compressed, Context, Subject, Teacher
from plaudit.compress.blend import blend_weights
from plaudit.compress.cached_logits import cached_logits
from plaudit.compress.distill_bow import fit_bow_student, student_ngrams
from plaudit.compress.residual_bow import check_residual_bow, cross_fitted_logits
from plaudit.compress.soft_labels import SoftLabels, read_soft_labels, write_soft_labels
from plaudit.compress.transfer import TransferSet, TransferSettings, transfer_set
from plaudit.data.splits import Splits
from plaudit.errors import SettingsError
from plaudit.models.base import Float32Array
from plaudit.models.bow.model import BowModel
from plaudit.models.bow.settings import BowSettings
from plaudit.models.corpus import Corpus, sorted_batches
from plaudit.models.ensemble import blend, centred
from plaudit.models.torch_model import INFERENCE_BATCH_TOKENS, TorchModel
from plaudit.settings import Settings
from plaudit.train.fit import (
    accuracy_on_validation,
    check_train_table,
    new_model,
    train_model,
)
from plaudit.train.objectives import ObjectiveSettings, Targets

SOFT_LABELS_NAME = "soft-labels.parquet"


class DistillSettings(Settings):
    """Settings of `--method distill`."""

    teachers: tuple[str, ...] = ()
    """Models whose logits are blended: names of this recipe's models, of shipped ones, or model folders."""
    teacher_weights: tuple[float, ...] | None = None
    """Of the teachers' centred logits, in their order; None fits them on validation."""
    soft_labels: Path | None = None
    """A file of soft labels in the place of teachers."""
    objective: ObjectiveSettings = Field(default=ObjectiveSettings(losses={"kl": 1.0}))
    transfer: TransferSettings = TransferSettings()
    beside: str | None = None
    """A bag of n-grams that the student is to be blended with: it learns what the bag lacks, and is worse alone."""
    beside_weight: float = Field(default=0.65, gt=0, allow_inf_nan=False)
    """What the bag's logits are multiplied by before the student's are added."""

    @model_validator(mode="after")
    def _teachers_are_weighted_once(self) -> Self:
        if self.teacher_weights is not None and self.soft_labels is not None:
            raise ValueError("teacher_weights are in the soft labels already; leave them out")
        return self

    @model_validator(mode="after")
    def _classifier_learns(self) -> Self:
        if set(self.objective.losses) == {"feature"}:
            raise ValueError(
                "objective.losses: feature alone leaves the classifier as it was; add kl, logit-mse or hard"
            )
        return self


def distill(subject: Subject, settings: DistillSettings, context: Context) -> Compressed:
    """Train a student of the subject's settings; what the teachers said stays in the run's folder.

    SettingsError if there is neither teacher nor soft labels, or both, or a network without a train table; DataError if
    soft labels miss a review.
    """
    check_train_table(subject.settings, subject.train)
    if subject.train is None and not isinstance(subject.settings, BowSettings):
        raise SettingsError(f"distill has no use for a model of kind {subject.settings.kind}; teach a bow or a network")
    if context.beside is not None and subject.train is None:
        raise SettingsError(f"beside = {context.beside.name}: is for a network; a bag beside a bag is one larger bag")
    bag = None if context.beside is None else check_residual_bow(context.beside, context.splits.labels)
    start = time.perf_counter()
    splits, run = context.splits, context.run
    transfer = transfer_set(splits, settings.transfer, seed=0)
    soft = _soft_labels(settings, context, transfer)
    teacher_logits = (
        None if soft is None else soft.of(transfer.ids, source=str(settings.soft_labels or SOFT_LABELS_NAME))
    )
    wants_features = "feature" in settings.objective.losses and context.teachers
    features = features_of(context.teachers, transfer.texts) if wants_features else None
    targets = Targets(transfer.labels, teacher_logits, features)
    validation_beside = None
    if bag is not None:
        weight = np.float32(settings.beside_weight)
        said = cross_fitted_logits(bag, transfer, targets, settings.objective, console=run["console"])
        targets = replace(targets, beside_logits=weight * said)
        validation_beside = weight * centred(bag.logits(splits.validation["text"].to_pylist()))
    prepare_seconds = time.perf_counter() - start
    figures = {
        "num_transfer_texts": len(transfer),
        "teachers": dict(soft.provenance) if soft is not None else None,
    }
    start = time.perf_counter()
    if isinstance(subject.settings, BowSettings):
        student = _fit_bow(subject.settings, transfer, targets, settings.objective, context)
        seconds = prepare_seconds + time.perf_counter() - start
        return Compressed(student, seconds, accuracy_on_validation(student, splits), figures)
    assert subject.train is not None
    # Variants have no words of their own, and the mask must stay unknown.
    reviews = transfer.texts[: transfer.num_reviews]
    model, seconds = new_model(subject.settings, splits, reviews, subject.start, **run)
    prepare_seconds += seconds
    result = train_model(
        model,
        subject.train,
        transfer.texts,
        targets,
        splits.validation,
        objective=settings.objective,
        validation_beside=validation_beside,
        **run,
    )
    return Compressed(model, prepare_seconds + result.train_seconds, result.validation_accuracy, figures)


def _fit_bow(
    settings: BowSettings, transfer: TransferSet, targets: Targets, objective: ObjectiveSettings, context: Context
) -> BowModel:
    settings = settings.model_copy(update={"cleaning": settings.cleaning.resolved()})
    labels, console = context.splits.labels, context.run["console"]
    with console.status("counting n-grams"):
        presence = student_ngrams(settings, transfer.texts, targets, len(labels))
    return fit_bow_student(settings, presence, targets, labels, objective=objective, console=console)


def _soft_labels(settings: DistillSettings, context: Context, transfer: TransferSet) -> SoftLabels | None:
    if not settings.objective.needs_teacher:
        if context.teachers or settings.soft_labels:
            raise SettingsError("the loss hard alone learns nothing from a teacher; add another loss or leave it out")
        return None
    if bool(context.teachers) == bool(settings.soft_labels):
        raise SettingsError("distillation takes either teachers or a file of soft labels")
    if settings.soft_labels:
        soft = read_soft_labels(settings.soft_labels)
        if soft.provenance.get("data_digest") != context.splits.digest:
            raise SettingsError(
                f"{settings.soft_labels}: is of other reviews or another split than {context.splits.name} has now; "
                "label them again by plaudit label"
            )
        if soft.labels != context.splits.labels:
            raise SettingsError(
                f"{settings.soft_labels}: its labels are {', '.join(soft.labels)}, "
                f"but {context.splits.name} has {', '.join(context.splits.labels)}"
            )
        return soft
    console = context.run["console"]
    soft = label(context.teachers, context.splits, transfer, weights=settings.teacher_weights, console=console)
    write_soft_labels(soft, context.run["run_dir"] / SOFT_LABELS_NAME)
    return soft


def label(
    teachers: Sequence[Teacher],
    splits: Splits,
    transfer: TransferSet,
    *,
    weights: Sequence[float] | None,
    console: Console,
) -> SoftLabels:
    """Let the teachers read the transfer set, once for all; their weights are fitted on validation unless given.

    SettingsError if a teacher has other labels, or was fitted on validation and so cannot be weighted there;
    OutputError if the cache cannot be written.
    """
    fitted = blend_weights(teachers, splits, weights, console=console)
    logits = blend([cached_logits(teacher, transfer.texts, console=console) for teacher in teachers], fitted.tolist())
    provenance = {
        "weights": {teacher.name: round(float(w), 6) for teacher, w in zip(teachers, fitted, strict=True)},
        "data_digest": splits.digest,
    }
    return SoftLabels(transfer.ids, logits.astype(np.float16), splits.labels, provenance)


def features_of(teachers: Sequence[Teacher], texts: Sequence[str]) -> Float32Array:
    """Return the features of all teachers that are networks, side by side, float32 [N, G]."""
    networks = [teacher.model for teacher in teachers if isinstance(teacher.model, TorchModel)]
    if not networks:
        names = ", ".join(teacher.name for teacher in teachers)
        raise SettingsError(f"the loss feature needs a teacher that is a network, unlike {names}")
    return np.concatenate([_features(model, texts) for model in networks], axis=1)


def _features(model: TorchModel, texts: Sequence[str]) -> Float32Array:
    network = cast(Any, model.network.eval())
    corpus = Corpus(model.encode(texts), model.device)
    parts: dict[int, npt.NDArray[np.float32]] = {}
    for batch in sorted_batches(corpus, INFERENCE_BATCH_TOKENS):
        with torch.inference_mode():
            features = network.features(*corpus.batch(torch.from_numpy(batch.rows).to(corpus.device), batch.width))
        parts |= zip(batch.rows.tolist(), features.float().cpu().numpy(), strict=True)
    return np.stack([parts[row] for row in range(len(texts))])
