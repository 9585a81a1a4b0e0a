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
    characters: int = Field(default=0, ge=0, le=8)
    """Longest n-gram of characters inside a word, from two on; 0 uses none. For word forms, misspellings, and languages
    that are written without spaces."""
    min_count: int = Field(5, ge=1)
    """Rarer n-grams of the training reviews are left out."""
    slot_bits: int = Field(19, ge=16, le=24)
    """The table has 2 ** slot_bits slots; of the n-grams that fall into one, only the most informative is kept."""
    scale: Literal["log-count", "idf"] = "log-count"
    """What an n-gram is scaled by before the fit: its log-count ratio, or its inverse document frequency, which knows
    no labels."""
    smoothing: float = Field(default=1.0, gt=0)
    """Added to each count in the log-count ratio."""
    inverse_regularization: float = Field(0.2, gt=0)
    """C of the logistic regression."""
    class_weight: Literal["none", "balanced"] = "none"
    """balanced gives every label the same weight in the fit, however rare it is."""
    probabilities: Literal["one-vs-rest", "softmax"] = "one-vs-rest"
    """How more than two labels share the probability: each in proportion to its own binary problem's, or by a softmax
    of the scores."""
    temperature: float = Field(default=1.0, gt=0)
    """Divides the fitted scores: above 1 if they would be too sure. Changes no predicted label."""
    storage: Literal["fp16", "int8"] = "fp16"
    """How a weight is stored; int8 has one scale for each binary problem."""
    norm: Literal["none", "l2"] = "l2"
    """l2 scales the rows of all texts to the same length, however many n-grams they have; none leaves 0 and 1."""
    refit: bool = True
    """Fit again on train and validation together, after the first fit was evaluated on validation."""
