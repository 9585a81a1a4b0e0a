"""Settings of the bag of n-grams."""

from typing import Literal

from pydantic import Field

from plaudit.models.base import ModelSettings
from plaudit.text.cleaning import CleaningSettings


class BowSettings(ModelSettings):
    """Settings of the bag of n-grams; the defaults were chosen by cross-validation on IMDB train, by movie."""

    kind: Literal["bow"] = "bow"
    cleaning: CleaningSettings = CleaningSettings(punctuation="keep")
    max_order: int = Field(3, ge=1, le=8)
    """Longest n-gram, in tokens."""
    min_count: int = Field(5, ge=1)
    """Rarer n-grams of the training reviews are left out."""
    slot_bits: int = Field(19, ge=16, le=24)
    """The table has 2 ** slot_bits slots; of the n-grams that fall into one, only the most informative is kept."""
    smoothing: float = Field(1.0, gt=0)
    """Added to each count in the log-count ratio."""
    inverse_regularization: float = Field(0.2, gt=0)
    """C of the logistic regression."""
    storage: Literal["fp16", "int8"] = "fp16"
    """How a weight is stored; int8 has one scale for each binary problem."""
    norm: Literal["none", "l2"] = "l2"
    """l2 scales the rows of all texts to the same length, however many n-grams they have; none leaves 0 and 1."""
    refit: bool = True
    """Fit again on train and validation together, after the first fit was evaluated on validation."""
