"""Train a bag of n-grams; needs no torch."""

import time

import pyarrow as pa

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
        texts, ids, console = table["text"].to_pylist(), labels_of(table), context.console
        if start is not None:
            return fit_with_head_start(settings, start, texts, ids, splits.labels, console=console)
        return fit_bow(settings, texts, ids, splits.labels, console=console)

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
