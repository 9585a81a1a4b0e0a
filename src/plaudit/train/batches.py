"""Which texts make up each batch of each epoch: a plan that depends on lengths, seed and epoch
alone.

Texts of nearly equal length share a batch, so that little is padded; which of them meet, and when, is drawn
anew each epoch. A resumed run makes the same plan again instead of storing it.
"""

from typing import Protocol

import numpy as np
import torch

from plaudit.distributed.world import World
from plaudit.models.corpus import Batch, Corpus, Int64Array, cut_by_tokens

LENGTH_JITTER = 0.05
"""Relative noise on lengths before they are sorted: enough to mix neighbours, and costs as much padding."""


class Batches(Protocol):
    """What training reads, and in what order."""

    @property
    def device(self) -> torch.device:
        """Where the ids are."""

    def __len__(self) -> int:
        """Return how many rows an epoch has."""

    def plan(self, *, seed: int, epoch: int) -> list[Batch]:
        """Return every row once, in batches: the same whenever it is asked for."""

    def batch(self, rows: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids, int32, and mask, bool, both [B, T], of `rows`."""


class ShuffledBatches:
    """The texts of a corpus, those of nearly equal length together, in an order drawn anew each epoch."""

    def __init__(self, corpus: Corpus, *, max_tokens: int) -> None:
        self.device = corpus.device
        self.batch = corpus.batch
        self._lengths = corpus.lengths
        self._max_tokens = max_tokens

    def __len__(self) -> int:
        return len(self._lengths)

    def plan(self, *, seed: int, epoch: int) -> list[Batch]:
        """Return every text once, in shuffled batches of at most `max_tokens` padded tokens."""
        return plan_epoch(self._lengths, max_tokens=self._max_tokens, seed=seed, epoch=epoch, device=self.device)


def plan_epoch(lengths: Int64Array, *, max_tokens: int, seed: int, epoch: int, device: torch.device) -> list[Batch]:
    """Return every text once, in shuffled batches of at most `max_tokens` padded tokens."""
    random = np.random.default_rng((seed, epoch))
    noisy = lengths * random.uniform(1 - LENGTH_JITTER, 1 + LENGTH_JITTER, len(lengths))
    batches = cut_by_tokens(np.argsort(noisy), lengths, max_tokens, device)
    return [batches[i] for i in random.permutation(len(batches))]


def rows_of_rank(rows: torch.Tensor, world: World) -> torch.Tensor:
    """Return this rank's share of a batch's row numbers [B]: [B / size], one more or less."""
    return rows.flip(0)[world.rank :: world.size] if world.size > 1 else rows
