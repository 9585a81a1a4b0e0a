"""Settings of the document vectors."""

from typing import ClassVar, Literal

from pydantic import Field

from plaudit.models.base import ModelSettings
from plaudit.text.cleaning import CleaningSettings

_FINAL_FRACTION = 0.1
"""Learning rate at the end, relative to the start."""


class DocvecSettings(ModelSettings):
    """Settings of `kind = "docvec"`; the defaults did best on IMDB's validation split (docs/accuracy.md)."""

    kind: Literal["docvec"] = "docvec"
    cleaning: CleaningSettings = CleaningSettings(punctuation="keep")
    max_order: int = Field(3, ge=1, le=8)
    """Longest n-gram, in tokens."""
    characters: ClassVar[int] = 0
    min_count: int = Field(10, ge=1)
    """An n-gram counts if it occurs this often in the train and unlabelled reviews."""
    embedding_size: int = Field(256, ge=1)
    """Dimensions of an n-gram's vector and of a text's."""
    sharpness: float = Field(6.0, gt=0)
    """Factor that turns a cosine into log odds, α of the paper."""
    epochs: int = Field(30, ge=1)
    """Passes over all texts."""
    learning_rate: float = Field(0.005, gt=0)
    """Learning rate at the start; it falls linearly to a tenth of that."""
    inference_epochs: int = Field(10, ge=1)
    """Passes over a new text's n-grams to infer its vector."""
    inverse_regularization: float = Field(1.0, gt=0)
    """C of the logistic regression."""

    def rate(self, progress: float) -> float:
        """Return the learning rate at `progress`, 0 … 1."""
        return self.learning_rate * (1 - (1 - _FINAL_FRACTION) * progress)
