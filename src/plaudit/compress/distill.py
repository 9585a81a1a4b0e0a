"""Distillation: a student learns what its teachers predict for many texts (Hinton et al. 2015).

A student is trained as any model of its kind is, with other targets on another set of texts. Its control is the loss
`hard` alone on the source `train`: the same model without a teacher.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

from plaudit.bundle.trained import Provenance, TrainedModel
from plaudit.compress.base import Context, Subject, Teacher
from plaudit.compress.blend import blend_weights
from plaudit.compress.cached_logits import cached_logits
from plaudit.compress.distill_bow import fit_bow_student, student_ngrams
from plaudit.compress.residual_bow import check_residual_bow, residual_offsets
from plaudit.compress.settings import DistillSettings
from plaudit.compress.soft_labels import SoftLabels, read_soft_labels, write_soft_labels
from plaudit.compress.transfer import TransferSet, transfer_set
from plaudit.data.splits import Splits
from plaudit.errors import SettingsError
from plaudit.models.base import Float32Array
from plaudit.models.bow.model import BowModel
from plaudit.models.bow.settings import BowSettings
from plaudit.models.corpus import Corpus, sorted_batches
from plaudit.models.ensemble import blend
from plaudit.models.torch_model import INFERENCE_BATCH_TOKENS, TorchModel
from plaudit.train.checks import check_train_table
from plaudit.train.fit import label_trainer, new_model
from plaudit.train.labels import accuracy_on_validation
from plaudit.train.settings import ObjectiveSettings
from plaudit.train.targets import Targets

SOFT_LABELS_NAME = "soft-labels.parquet"


def distill(subject: Subject, settings: DistillSettings, context: Context) -> TrainedModel:
    """Train a student of the subject's settings; the soft labels of its teachers stay in the run's folder.

    SettingsError if there is neither teacher nor soft labels, or both, or a network without a train table; DataError if
    soft labels miss a review.
    """
    _check_student(subject, context)
    start = time.perf_counter()
    transfer = transfer_set(context.splits, settings.transfer)
    soft = _soft_labels(settings, context, transfer)
    targets = _targets(settings, context, transfer, soft)
    figures = {
        "num_transfer_texts": len(transfer),
        "teachers": None if soft is None else dict(soft.provenance),
    }
    if isinstance(subject.settings, BowSettings):
        student = _fit_bow(subject.settings, settings.objective, transfer, targets, context)
        seconds, accuracy = time.perf_counter() - start, accuracy_on_validation(student, context.splits)
        trained = TrainedModel(
            model=student, provenance=Provenance(train_seconds=seconds, validation_accuracy=accuracy)
        )
        return subject.compressed(trained, "distill", settings, figures)
    validation_offsets = None
    if context.beside is not None:
        targets, validation_offsets = residual_offsets(
            context.beside, settings.beside_weight, settings.objective, transfer, targets, context
        )
    prepare_seconds = time.perf_counter() - start
    trained = _train_network(subject, settings.objective, transfer, targets, validation_offsets, context)
    return subject.compressed(trained.plus_seconds(prepare_seconds), "distill", settings, figures)


def _check_student(subject: Subject, context: Context) -> None:
    check_train_table(subject.settings, subject.train)
    if subject.train is None and not isinstance(subject.settings, BowSettings):
        raise SettingsError(
            f"a model of kind {subject.settings.kind} cannot be a student; distill into a bow or a network"
        )
    if context.beside is not None:
        check_residual_bow(context.beside, subject.settings, context.splits.labels)


def _soft_labels(settings: DistillSettings, context: Context, transfer: TransferSet) -> SoftLabels | None:
    """Return what the teachers predict, None if no loss learns from it."""
    if not settings.objective.needs_teacher:
        if context.teachers or settings.soft_labels:
            raise SettingsError(
                f"the losses {', '.join(settings.objective.losses)} learn nothing from a teacher; "
                "add kl or logit-mse, or leave the teacher out"
            )
        return None
    if bool(context.teachers) == bool(settings.soft_labels):
        raise SettingsError("distillation takes either teachers or a file of soft labels")
    if settings.soft_labels:
        return _read_matching(settings.soft_labels, context.splits)
    console = context.training.console
    soft = label(context.teachers, context.splits, transfer, weights=settings.teacher_weights, console=console)
    write_soft_labels(soft, context.training.folder / SOFT_LABELS_NAME)
    return soft


def _read_matching(path: Path, splits: Splits) -> SoftLabels:
    """Read soft labels; SettingsError if they are of other reviews or labels."""
    soft = read_soft_labels(path)
    if soft.provenance.get("data_digest") != splits.digest:
        raise SettingsError(
            f"{path}: was made from other reviews or another split than {splits.name} has now; "
            "make it again with plaudit label"
        )
    if soft.labels != splits.labels:
        raise SettingsError(
            f"{path}: its labels are {', '.join(soft.labels)}, but {splits.name} has {', '.join(splits.labels)}"
        )
    return soft


def _targets(settings: DistillSettings, context: Context, transfer: TransferSet, soft: SoftLabels | None) -> Targets:
    logits = features = None
    if soft is not None:
        logits = soft.of(transfer.ids, source=str(settings.soft_labels or SOFT_LABELS_NAME))
    if "feature" in settings.objective.losses and context.teachers:
        features = features_of(context.teachers, transfer.texts)
    return Targets(transfer.labels, logits, features)


def _fit_bow(
    settings: BowSettings, objective: ObjectiveSettings, transfer: TransferSet, targets: Targets, context: Context
) -> BowModel:
    settings = settings.model_copy(update={"cleaning": settings.cleaning.resolved()})
    labels, console = context.splits.labels, context.training.console
    with console.status("counting n-grams"):
        presence = student_ngrams(settings, transfer.texts, targets, len(labels))
    return fit_bow_student(settings, presence, targets, labels, objective=objective, console=console)


def _train_network(
    subject: Subject,
    objective: ObjectiveSettings,
    transfer: TransferSet,
    targets: Targets,
    validation_offsets: Float32Array | None,
    context: Context,
) -> TrainedModel:
    assert subject.train is not None
    model, seconds = new_model(subject.settings, context.splits, transfer.texts, subject.start, context.training)
    began = time.perf_counter()
    trainer = label_trainer(
        model,
        subject.train,
        transfer.texts,
        targets,
        context.splits.validation,
        context.training,
        objective=objective,
        validation_offsets=validation_offsets,
    )
    seconds += time.perf_counter() - began
    return trainer.run().plus_seconds(seconds)


def label(
    teachers: Sequence[Teacher],
    splits: Splits,
    transfer: TransferSet,
    *,
    weights: Sequence[float] | None,
    console: Console,
) -> SoftLabels:
    """Return the teachers' blended soft labels of a transfer set; errors as those of `blend_weights`."""
    fitted = blend_weights(teachers, splits, weights, console=console)
    logits = blend([cached_logits(teacher, transfer.texts, console=console) for teacher in teachers], fitted.tolist())
    provenance = {
        "weights": {teacher.name: round(float(weight), 6) for teacher, weight in zip(teachers, fitted, strict=True)},
        "data_digest": splits.digest,
    }
    return SoftLabels(transfer.ids, logits.astype(np.float16), splits.labels, provenance)


def features_of(teachers: Sequence[Teacher], texts: Sequence[str]) -> Float32Array:
    """Return the features of all teachers that are networks, side by side, float32 [N, G]."""
    networks = [teacher.model for teacher in teachers if isinstance(teacher.model, TorchModel)]
    if not networks:
        names = ", ".join(teacher.name for teacher in teachers)
        raise SettingsError(f"the loss feature needs a network as a teacher, but there is only {names}")
    return np.concatenate([_features(model, texts) for model in networks], axis=1)


def _features(model: TorchModel, texts: Sequence[str]) -> Float32Array:
    network = cast(Any, model.network.eval())
    corpus = Corpus(model.encode(texts), model.device)
    parts: dict[int, npt.NDArray[np.float32]] = {}
    for batch in sorted_batches(corpus, INFERENCE_BATCH_TOKENS):
        with torch.inference_mode():
            features = network.features(*corpus.batch(batch.rows, batch.width))
        parts |= zip(batch.rows.tolist(), features.float().cpu().numpy(), strict=True)
    return np.stack([parts[row] for row in range(len(texts))])
