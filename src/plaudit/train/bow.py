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
from plaudit.models.bow.fit import fit_bow
from plaudit.models.bow.head_start import HeadStart, fit_with_head_start
from plaudit.models.bow.settings import BowSettings
from plaudit.train.context import TrainingContext
from plaudit.train.labels import accuracy_on_validation, labels_of


def train_bow(
    settings: BowSettings, splits: Splits, context: TrainingContext, start: HeadStart | None = None
) -> TrainedModel:
    """Fit a bag on the train split and measure it on validation; then fit it again on both if `refit` is set."""
    began = time.perf_counter()

    def fitted(table: pa.Table) -> Model:
        texts, ids = table["text"].to_pylist(), labels_of(table)
        return fit_texts(settings, start, texts, ids, splits.labels, console=context.console)

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
    console: Console,
) -> Model:
    """Fit a bag to texts with label ids 0 … C - 1, with a head start if there is one."""
    if start is None:
        return fit_bow(settings, texts, label_ids, labels, console=console)
    return fit_with_head_start(settings, start, texts, label_ids, labels, console=console)
