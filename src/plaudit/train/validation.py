"""Evaluate a network after each epoch, to choose the weights that are kept."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from plaudit.models.corpus import Corpus
from plaudit.models.torch_model import batch_logits
from plaudit.train.interrupt import Interruption


class Validation(Protocol):
    """What chooses the weights that are kept."""

    def validate(self, network: nn.Module, dtype: torch.dtype, interruption: Interruption) -> torch.Tensor | None:
        """Return summed loss, number of right answers and number of all, float64 [3], or None if it was interrupted.

        Each rank of a training validates its share, and their sums are added.
        """


@dataclass(frozen=True)
class LabelledCorpus:
    """Encoded texts and their labels, int64 [N], on one device: what a classifier is validated on.

    `logit_offsets` float32 [N, C] are added to its logits, if it learns to correct another model.
    """

    corpus: Corpus
    labels: torch.Tensor
    logit_offsets: torch.Tensor | None = None

    def validate(self, network: nn.Module, dtype: torch.dtype, interruption: Interruption) -> torch.Tensor | None:
        """Return summed loss, number of right and of all texts, or None if it was interrupted on the way."""
        sums = torch.zeros(3, dtype=torch.float64, device=self.corpus.device)
        network.eval()
        with torch.autocast(self.corpus.device.type, torch.bfloat16, enabled=dtype is torch.bfloat16):
            for rows, logits in batch_logits(network, self.corpus):
                if interruption.requested:
                    return None
                labels = self.labels[rows]
                logits = logits.float() if self.logit_offsets is None else logits.float() + self.logit_offsets[rows]
                loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
                right = (logits.argmax(1) == labels).sum()
                sums += torch.stack([loss.double(), right.double(), torch.ones_like(loss.double()) * len(rows)])
        return sums
