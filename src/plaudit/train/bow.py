"""Train a bag of n-grams; needs no torch."""

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.console import Console

from plaudit.bundle.trained import Provenance, TrainedModel
from plaudit.data.splits import Splits
from plaudit.models.base import Model
from plaudit.models.bow.fit import SURE, fit_bow
from plaudit.models.bow.head_start import HeadStart, fit_with_head_start
from plaudit.models.bow.settings import BowSettings
from plaudit.train.context import TrainingContext
from plaudit.train.labels import accuracy_on_validation, labels_of


def train_bow(
    settings: BowSettings,
    splits: Splits,
    context: TrainingContext,
    start: HeadStart | None = None,
    self_training: float = 0.0,
) -> TrainedModel:
    """Fit a bag on the train split and measure it on validation; then fit it again on both if `refit` is set."""
    began = time.perf_counter()
    unlabelled = splits.unlabelled["text"].to_pylist() if self_training else []

    def fitted(table: pa.Table) -> Model:
        return fit_texts(
            settings,
            start,
            table["text"].to_pylist(),
            labels_of(table),
            splits.labels,
            unlabelled=unlabelled,
            self_training=self_training,
            console=context.console,
        )

    model = fitted(splits.train)
    accuracy = accuracy_on_validation(model, splits)
    if settings.refit:
        model = fitted(pa.concat_tables([splits.train, splits.validation]))
    provenance = Provenance(
        validation_accuracy=accuracy,
        learned_validation=settings.refit,
        train_seconds=time.perf_counter() - began,
    )
    return TrainedModel(model=model, provenance=provenance)


def fit_texts(
    settings: BowSettings,
    start: HeadStart | None,
    texts: Sequence[str],
    label_ids: npt.NDArray[np.int64],
    labels: tuple[str, ...],
    *,
    unlabelled: Sequence[str] = (),
    self_training: float = 0.0,
    console: Console,
) -> Model:
    """Fit a bag to texts with label ids 0 … C - 1, with a head start if there is one.

    With `self_training` it is fitted again with the unlabelled texts that the first fit is sure of, each of which
    counts so much (Yarowsky 1995).
    """

    def fit(texts: Sequence[str], ids: npt.NDArray[np.int64], weight: npt.NDArray[np.float64] | None) -> Model:
        if start is None:
            return fit_bow(settings, texts, ids, labels, weight=weight, console=console)
        return fit_with_head_start(settings, start, texts, ids, labels, weight=weight, console=console)

    model = fit(texts, label_ids, None)
    if not (self_training and unlabelled):
        return model
    probabilities = model.predict_proba(unlabelled)
    sure = np.flatnonzero(probabilities.max(axis=1) >= SURE).tolist()
    weight = np.append(np.ones(len(texts)), np.full(len(sure), self_training))
    ids = np.append(label_ids, probabilities[sure].argmax(axis=1))
    return fit([*texts, *(unlabelled[row] for row in sure)], ids, weight)
