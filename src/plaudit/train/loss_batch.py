"""What a loss function may read about one batch of reviews.

Shapes: B batch, T tokens, E embedding, C classes, G features of the teacher.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch


@dataclass
class LossBatch:
    """B reviews, the student's predictions for them, and what the losses compare those with."""

    logits: torch.Tensor
    """The student's, plus the offsets if there are any, float32 [B, C]."""
    labels: torch.Tensor
    """int64 [B], UNLABELLED where a review has none."""
    temperature: float
    epsilon: float
    teacher_logits: torch.Tensor | None = None
    """float32 [B, C]"""
    teacher_features: torch.Tensor | None = None
    """float32 [B, G]"""
    features: torch.Tensor | None = None
    """The student's, projected to [B, G]; None unless a loss compares features."""
    word_vectors: list[torch.Tensor] = field(default_factory=list)
    """One [T, B, E] for each reading direction; empty unless a loss perturbs them."""
    mask: torch.Tensor | None = None
    """False at the padding of `word_vectors`, bool [B, T]."""
    logits_of: Callable[[list[torch.Tensor]], torch.Tensor] | None = None
    """Computes `logits` from other word vectors."""

    def perturbed(self, changes: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the logits, float32 [B, C], after adding changes [T, B, E] to the word vectors."""
        assert self.logits_of is not None, "a loss that perturbs is listed in PERTURBING"
        return self.logits_of([vectors + change for vectors, change in zip(self.word_vectors, changes, strict=True)])
