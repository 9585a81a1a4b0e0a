"""What every compressor takes and gives.

A compressor is a function of a subject, its own settings and a context, and returns a model that is physically
smaller, not one that hides zeros behind masks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from plaudit.data.splits import Splits
from plaudit.models.base import Float32Array, Model, ModelSettings
from plaudit.train.fit import Start
from plaudit.train.run import Run
from plaudit.train.settings import TrainSettings

CHUNK = 1_024
"""Texts that are read at a time, which bounds memory."""


@dataclass(frozen=True)
class Teacher:
    """A trained model whose judgement a student learns or completes, and the name that messages call it by."""

    name: str
    model: Model


@dataclass(frozen=True)
class Subject:
    """What is compressed: a trained model, or for distillation the settings of one that is yet to be trained."""

    settings: ModelSettings
    train: TrainSettings | None
    """How a torch model is (re)trained."""
    model: Model | None = None
    start: Start = None
    """What one that is yet to be trained starts with."""


@dataclass(frozen=True)
class Context:
    """What a compressor may read, and what trainings within it are told."""

    splits: Splits
    run: Run
    teachers: tuple[Teacher, ...] = ()
    beside: Teacher | None = None
    """A model that the student is to be blended with."""


@dataclass(frozen=True)
class Compressed:
    """A smaller model, what it took, its share of right validation reviews, and figures for its provenance."""

    model: Model
    train_seconds: float
    validation_accuracy: float
    figures: Mapping[str, Any] = field(default_factory=dict)


def read(model: Model, texts: Sequence[str]) -> Float32Array:
    """Return a model's logits of many texts, float32 [N, C]."""
    chunks = [model.logits(texts[start : start + CHUNK]) for start in range(0, len(texts), CHUNK)]
    return np.concatenate(chunks)
