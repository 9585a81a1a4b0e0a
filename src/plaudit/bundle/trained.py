"""A trained model: the model itself, how it came about, and how its probabilities are calibrated."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import PlainSerializer

from plaudit.models.base import Model
from plaudit.models.calibration import Calibration
from plaudit.settings import Settings

Seconds = Annotated[float, PlainSerializer(lambda value: round(value, 2))]
Share = Annotated[float, PlainSerializer(lambda value: round(value, 5))]


class RecipeExcerpt(Settings):
    """The part of a recipe that made one model, every default spelt out."""

    name: str
    seed: int
    data: dict[str, Any]
    """The reviews' settings."""
    models: dict[str, dict[str, Any]]
    """The model's table, under its name."""


class LanguageModelFigures(Settings):
    """How well a language model predicts the next word of held-out reviews."""

    perplexity: float
    accuracy: float
    """Share of the words that it predicts right."""


class CompressionStep(Settings):
    """One step by which a model was made smaller."""

    method: str
    source: str | None
    """The model that was compressed; None for a student, which starts untrained."""
    settings: dict[str, Any]
    seconds: Seconds
    figures: dict[str, Any]
    """What the method measured."""


class CalibratedOn(Settings):
    """The reviews that a finished model's probabilities were calibrated on."""

    data: str
    split: str


class Provenance(Settings):
    """How a model came about; None stands for what is not recorded."""

    validation_accuracy: Share | None = None
    learned_validation: bool = False
    """Whether it was fitted to the validation reviews too, once its accuracy there was measured."""
    language_model: LanguageModelFigures | None = None
    """Only of a language model, which predicts no labels."""
    train_seconds: Seconds | None = None
    """With the training of the models that it was made from."""
    data_digest: str | None = None
    """Of the reviews and how they were split."""
    recipe: RecipeExcerpt | None = None
    train: dict[str, Any] | None = None
    """How a network was trained last."""
    compression: tuple[CompressionStep, ...] = ()
    calibrated_on: CalibratedOn | None = None
    """Where that was done after training."""
    label_dtype: str | None = None
    """numpy's name of the type of the labels that `Classifier.fit` was given."""

    @property
    def seed(self) -> int | None:
        """The recipe's seed."""
        return None if self.recipe is None else self.recipe.seed

    @property
    def data(self) -> dict[str, Any]:
        """Settings of the reviews that it learned from, empty if they are not recorded."""
        return {} if self.recipe is None else self.recipe.data


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """What every training, compression and blending returns, and what a bundle holds."""

    model: Model
    provenance: Provenance = field(default_factory=Provenance)
    calibration: Calibration | None = None
    trained_on: npt.NDArray[np.uint64] | None = field(default=None, repr=False, compare=False)
    """Sorted digests of the texts whose labels it learned, as of `text_digests`; None if they are not recorded."""

    @property
    def is_language_model(self) -> bool:
        """Whether it has only learned which words follow one another, so that its label probabilities are noise."""
        return self.provenance.language_model is not None

    def with_provenance(self, **changes: Any) -> Self:  # noqa: ANN401
        """Return the same model with some fields of its provenance changed."""
        return replace(self, provenance=self.provenance.model_copy(update=changes))

    def plus_seconds(self, seconds: float) -> Self:
        """Return the same model, its training having taken so many seconds more."""
        return self.with_provenance(train_seconds=seconds + (self.provenance.train_seconds or 0.0))
