"""What every compression method takes: a subject, and a context to train it in.

A method is a function of these and its own settings. It returns a model that is physically smaller, not one with masks
over full tensors.
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
"""Texts that a model reads at a time, which bounds memory."""


@dataclass(frozen=True)
class Teacher:
    """A trained model from which a student learns, or with which one is blended, and its name in messages."""

    name: str
    model: Model
    learned_validation: bool = False
    """Whether it was fitted to the validation reviews, so that its weight in a blend cannot be."""


@dataclass(frozen=True)
class Subject:
    """What is compressed: a trained model or, for distillation, the settings of a student."""

    settings: ModelSettings
    train: TrainSettings | None
    """How a network is (re)trained."""
    model: Model | None = None
    start: Start = None
    """What a student starts with."""
    provenance: Provenance = field(default_factory=Provenance)
    """How the model, or what a student starts with, was made."""
    source: str | None = None
    """The model's name."""

    def compressed(
        self, made: TrainedModel, method: str, settings: Settings, figures: Mapping[str, Any]
    ) -> TrainedModel:
        """Return `made` with the provenance of this step, its figures, and the steps before it."""
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
    """The reviews that a method may read, where and how it trains, and other models that it uses."""

    splits: Splits
    training: TrainingContext
    teachers: tuple[Teacher, ...] = ()
    beside: Teacher | None = None
    """A bag of n-grams that the student will be combined with."""


def logits_in_chunks(model: Model, texts: Sequence[str]) -> Float32Array:
    """Return a model's logits of many texts, float32 [N, C], without holding their encodings at once."""
    chunks = [model.logits(texts[start : start + CHUNK]) for start in range(0, len(texts), CHUNK)]
    return np.concatenate(chunks)
