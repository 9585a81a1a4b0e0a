"""Which texts make up each batch of each epoch: a plan that depends on lengths, seed and epoch, and nothing
else.

Texts of nearly equal length share a batch, so that little is padded; which of them meet, and when, is drawn
anew each epoch. A resumed run makes the same plan again instead of storing it.
"""

from typing import NamedTuple

import numpy as np
import torch

from undertone.models.corpus import Int64Array, cut_by_tokens

LENGTH_JITTER = 0.05
"""Relative noise on lengths before they are sorted: enough to mix neighbours, and costs as much padding."""


class TrainBatch(NamedTuple):
    """Row numbers of a batch, int64 [B] on the training device, its width T, and its tokens without padding."""

    rows: torch.Tensor
    width: int
    num_tokens: int


def plan_epoch(
    lengths: Int64Array, *, max_tokens: int, seed: int, epoch: int, device: torch.device
) -> list[TrainBatch]:
    """Return every text once, in shuffled batches of at most `max_tokens` padded tokens."""
    random = np.random.default_rng((seed, epoch))
    noisy = lengths * random.uniform(1 - LENGTH_JITTER, 1 + LENGTH_JITTER, len(lengths))
    batches = cut_by_tokens(np.argsort(noisy), lengths, max_tokens)
    batches = [batches[i] for i in random.permutation(len(batches))]
    # One transfer for the whole epoch: a step then waits for nothing from the host.
    rows = torch.from_numpy(np.concatenate([batch.rows for batch in batches])).to(device)
    sizes = [len(batch.rows) for batch in batches]
    return [
        TrainBatch(part, batch.width, int(lengths[batch.rows].sum()))
        for part, batch in zip(torch.split(rows, sizes), batches, strict=True)
    ]
