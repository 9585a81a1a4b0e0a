"""What every compressor takes and gives.

A compressor is a function of a subject, its own settings and a context, and returns a model that is physically
smaller, not one that hides zeros behind masks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from plaudit.bundle.trained import CompressionStep, Provenance, TrainedModel
from plaudit.data.splits import Splits
from plaudit.models.base import Float32Array, Model, ModelSettings
from plaudit.settings import Settings
from plaudit.train.context import TrainingContext
from plaudit.train.fit import Start
from plaudit.train.settings import TrainSettings

CHUNK = 1_024
"""Texts that are read at a time, which bounds memory."""


@dataclass(frozen=True)
class Teacher:
    """A trained model whose judgement a student learns or completes, and the name that messages call it by."""

    name: str
    model: Model
    learned_validation: bool = False
    """Whether it was fitted to the validation reviews, where it then cannot be weighed."""


@dataclass(frozen=True)
class Subject:
    """What is compressed: a trained model, or for distillation the settings of one that is yet to be trained."""

    settings: ModelSettings
    train: TrainSettings | None
    """How a network is (re)trained."""
    model: Model | None = None
    start: Start = None
    """What one that is yet to be trained starts with."""
    provenance: Provenance = field(default_factory=Provenance)
    """How the model, or what a new one starts with, came about."""
    source: str | None = None
    """The model's name."""

    def compressed(
        self, made: TrainedModel, method: str, settings: Settings, figures: Mapping[str, Any]
    ) -> TrainedModel:
        """Return `made`, whose provenance is of this step alone, with what came before it and the step's figures."""
        seconds = made.provenance.train_seconds or 0.0
        step = CompressionStep(
            method=method,
            source=self.source,
            settings=settings.model_dump(mode="json"),
            seconds=seconds,
            figures=dict(figures),
        )
        return made.plus_seconds(self.provenance.train_seconds or 0.0).with_provenance(
            train=None if self.train is None else self.train.model_dump(mode="json"),
            compression=(*self.provenance.compression, step),
        )


@dataclass(frozen=True)
class Context:
    """What a compressor may read, and where and how it trains."""

    splits: Splits
    training: TrainingContext
    teachers: tuple[Teacher, ...] = ()
    beside: Teacher | None = None
    """A model that the student is to be blended with."""


def logits_in_chunks(model: Model, texts: Sequence[str]) -> Float32Array:
    """Return a model's logits of many texts, float32 [N, C], without holding their encodings at once."""
    chunks = [model.logits(texts[start : start + CHUNK]) for start in range(0, len(texts), CHUNK)]
    return np.concatenate(chunks)
