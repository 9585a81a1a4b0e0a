"""Settings of the LSTM classifier, apart from its network so that predicting does not import torch."""

from typing import Literal, Self

from pydantic import Field, model_validator

from plaudit.models.packed import StoredSettings
from plaudit.text.cleaning import CleaningSettings
from plaudit.text.encoded import Truncation

Pooling = Literal["mean", "max", "last", "attention"]


class LSTMSettings(StoredSettings):
    """Settings of `kind = "lstm"`; the defaults are what did best on IMDB's validation split (docs/training.md)."""

    kind: Literal["lstm"] = "lstm"
    cleaning: CleaningSettings = CleaningSettings()
    vocabulary_size: int = Field(10_000, ge=1)
    """Most frequent words that have a vector of their own; the rest share one."""
    min_count: int = Field(2, ge=1)
    """Words that occur less often in the training reviews have no vector of their own."""
    max_tokens: int = Field(400, ge=1)
    """Longest text, in tokens; longer ones are truncated."""
    truncation: Truncation = "head+tail"
    """Which part of a longer text to keep."""
    embedding_size: int = Field(128, ge=1)
    """Dimensions of a word's vector."""
    hidden_size: int = Field(128, ge=1)
    """Units of each layer and direction."""
    num_layers: int = Field(1, ge=1)
    """Stacked LSTM layers per direction."""
    bidirectional: bool = True
    """Read each text from its end as well, with a second LSTM."""
    backward: bool = False
    """Read each text only from its end; not with bidirectional."""
    pooling: tuple[Pooling, ...] = Field(("attention", "max"), min_length=1)
    """How a direction's states become one vector; several are concatenated."""
    embedding_dropout: float = Field(0.5, ge=0, lt=1)
    """On word vectors; the same units at every token of a text."""
    output_dropout: float = Field(0.5, ge=0, lt=1)
    """On the pooled vector."""

    @model_validator(mode="after")
    def _no_setting_without_effect(self) -> Self:
        if len(set(self.pooling)) < len(self.pooling):
            raise ValueError("pooling lists the same method twice; list each once")
        if self.backward and self.bidirectional:
            raise ValueError("bidirectional reads backwards already; set bidirectional = false to read only that way")
        return self

    @property
    def from_end(self) -> tuple[bool, ...]:
        """Whether each direction reads from the end of a text."""
        return (False, True) if self.bidirectional else (self.backward,)
