"""What training is judged by after each epoch, and so chooses the weights that are kept."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from undertone.models.corpus import Corpus
from undertone.models.torch_model import batch_logits
from undertone.train.interrupt import Interruption


class Validation(Protocol):
    """What chooses the weights that are kept."""

    def validate(
        self, network: nn.Module, dtype: torch.dtype, interruption: Interruption
    ) -> tuple[float, float] | None:
        """Return loss and accuracy, the higher the better, or None if it was interrupted on the way."""


@dataclass(frozen=True)
class LabelledCorpus:
    """Encoded texts and their labels, int64 [N], on one device: what a classifier is validated on."""

    corpus: Corpus
    labels: torch.Tensor

    def validate(
        self, network: nn.Module, dtype: torch.dtype, interruption: Interruption
    ) -> tuple[float, float] | None:
        """Return mean loss and accuracy, or None if it was interrupted on the way."""
        sums = torch.zeros(2, dtype=torch.float64, device=self.corpus.device)
        network.eval()
        with torch.autocast(self.corpus.device.type, torch.bfloat16, enabled=dtype is torch.bfloat16):
            for rows, logits in batch_logits(network, self.corpus):
                if interruption.requested:
                    return None
                labels = self.labels[rows]
                loss = nn.functional.cross_entropy(logits.float(), labels, reduction="sum")
                sums += torch.stack([loss.double(), (logits.argmax(1) == labels).sum().double()])
        loss_sum, correct = sums.tolist()
        return loss_sum / len(self.corpus), correct / len(self.corpus)
