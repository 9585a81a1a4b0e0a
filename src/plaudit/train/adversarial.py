"""Changes of word vectors under which a network is trained: the worst small one teaches more than a random one.

Miyato et al. 2017, "Adversarial Training Methods for Semi-Supervised Text Classification". A perturbation has one norm
for a whole text, ε times the standard deviation of the word vectors' entries, so that it means the same whatever their
scale: pretrained vectors are not normalized to a deviation of 1 as theirs are.

Shapes: B batch, T tokens, E embedding, C classes.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch.nn import functional

from plaudit.distributed.world import current

_PROBE = 0.1
"""Norm of the random change, relative to ε, along which the divergence's curvature is probed."""


class Perturbed(Protocol):
    """The B reviews of a batch, and what the network makes of other word vectors in the place of theirs."""

    logits: torch.Tensor
    words: list[torch.Tensor]
    mask: torch.Tensor
    """False at padding, bool [B, T]."""
    epsilon: float

    def perturbed(self, changes: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the logits, float32 [B, C], once changes [T, B, E] were added to `words`."""


def worst_change(batch: Perturbed, loss: torch.Tensor) -> list[torch.Tensor]:
    """Return the change of norm ε that raises a loss, summed over the batch, most (to first order)."""
    gradients = torch.autograd.grad(loss, batch.words, retain_graph=True)
    return scaled(gradients, batch, batch.epsilon)


def random_change(batch: Perturbed, epsilon: float) -> list[torch.Tensor]:
    """Return a change of norm ε in a random direction."""
    return scaled([torch.randn_like(words) for words in batch.words], batch, epsilon)


def most_diverging_change(batch: Perturbed) -> list[torch.Tensor]:
    """Return the change of norm ε under which predictions change most: one power iteration from a random change."""
    probe = [change.requires_grad_() for change in random_change(batch, _PROBE * batch.epsilon)]
    moved = divergence(batch.logits.detach(), batch.perturbed(probe))
    return scaled(torch.autograd.grad(moved, probe), batch, batch.epsilon)


def divergence(reference: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Return the divergence of predictions from those of `reference`, both logits [B, C], summed over the batch."""
    return functional.kl_div(logits.log_softmax(1), reference.log_softmax(1), log_target=True, reduction="sum")


def scaled(changes: Sequence[torch.Tensor], batch: Perturbed, epsilon: float) -> list[torch.Tensor]:
    """Return changes [T, B, E] whose norm is the same for each text: ε times the deviation of the words' entries.

    Padding is neither changed nor counted, so that a text is changed as much whatever its batch is padded to.
    """
    known = batch.mask.t()[:, :, None]
    words = batch.words[0].detach().float() * known
    total = torch.stack([words.square().sum(), known.sum() * words.shape[2]])
    current().sum_(total)  # of the whole batch, whatever this rank reads of it
    deviation = (total[0] / total[1]).sqrt()
    changes = [change * known for change in changes]
    squares = torch.stack([change.float().square().sum((0, 2)) for change in changes]).sum(0)
    factor = epsilon * deviation / squares.sqrt().clamp(min=1e-12)
    return [(change * factor[:, None]).detach() for change in changes]
