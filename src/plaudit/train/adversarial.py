"""Finds perturbations of word vectors for adversarial training.

Follows Miyato et al. 2017, "Adversarial Training Methods for Semi-Supervised Text Classification". A perturbation has
one norm for a whole text: ε times the standard deviation of the word vectors' entries. So ε means the same whatever the
scale of the vectors; the paper normalizes them to a deviation of 1, which would undo pretraining.

Shapes: B batch, T tokens, E embedding, C classes.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional

from plaudit.distributed.world import current
from plaudit.train.loss_batch import LossBatch

_PROBE = 0.1
"""Norm of the random perturbation that starts the power iteration, relative to ε."""


def worst_change(batch: LossBatch, loss: torch.Tensor) -> list[torch.Tensor]:
    """Return the perturbation of norm ε that, to first order, most raises a loss that is summed over the batch."""
    gradients = torch.autograd.grad(loss, batch.word_vectors, retain_graph=True)
    return scaled(gradients, batch, batch.epsilon)


def random_change(batch: LossBatch, epsilon: float) -> list[torch.Tensor]:
    """Return a perturbation of norm ε in a random direction."""
    return scaled([torch.randn_like(words) for words in batch.word_vectors], batch, epsilon)


def most_diverging_change(batch: LossBatch) -> list[torch.Tensor]:
    """Return the perturbation of norm ε that most changes predictions: one power iteration from a random one."""
    probe = [change.requires_grad_() for change in random_change(batch, _PROBE * batch.epsilon)]
    moved = divergence(batch.logits.detach(), batch.perturbed(probe))
    return scaled(torch.autograd.grad(moved, probe), batch, batch.epsilon)


def divergence(reference: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Return the KL divergence between the predictions of two logits [B, C], summed over the batch."""
    return functional.kl_div(logits.log_softmax(1), reference.log_softmax(1), log_target=True, reduction="sum")


def scaled(changes: Sequence[torch.Tensor], batch: LossBatch, epsilon: float) -> list[torch.Tensor]:
    """Scale changes [T, B, E] to the same norm for each text: ε times the standard deviation of the word vectors.

    Padding is neither changed nor counted, so that the padding of a batch makes no difference.
    """
    assert batch.mask is not None
    known = batch.mask.t()[:, :, None]
    words = batch.word_vectors[0].detach().float() * known
    total = torch.stack([words.square().sum(), known.sum() * words.shape[2]])
    current().sum_(total)  # over the parts of the batch that other ranks read
    deviation = (total[0] / total[1]).sqrt()
    changes = [change * known for change in changes]
    squares = torch.stack([change.float().square().sum((0, 2)) for change in changes]).sum(0)
    factor = epsilon * deviation / squares.sqrt().clamp(min=1e-12)
    return [(change * factor[:, None]).detach() for change in changes]
