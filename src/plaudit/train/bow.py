"""Train a bag of n-grams; needs no torch."""

import time

import pyarrow as pa

from plaudit.bundle.trained import Provenance, TrainedModel
from plaudit.data.splits import Splits
from plaudit.models.bow.fit import fit_bow
from plaudit.models.bow.model import BowModel
from plaudit.models.bow.settings import BowSettings
from plaudit.train.context import TrainingContext
from plaudit.train.labels import accuracy_on_validation, labels_of


def train_bow(settings: BowSettings, splits: Splits, context: TrainingContext) -> TrainedModel:
    """Fit a bag on the train split and measure it on validation; then fit it again on both if `refit` is set."""
    began = time.perf_counter()

    def fitted(table: pa.Table) -> BowModel:
        texts = table["text"].to_pylist()
        return fit_bow(settings, texts, labels_of(table), splits.labels, console=context.console)

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
