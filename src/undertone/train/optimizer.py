"""Optimizer, learning-rate schedule and moving average: pure functions of the step as far as can be."""

import math

import torch
from torch import nn

from undertone.train.settings import TrainSettings

FINAL_FRACTION = 1e-3
"""Learning rate at the very end, relative to its peak."""


def make_optimizer(settings: TrainSettings, *modules: nn.Module) -> torch.optim.AdamW:
    """Return AdamW over all weights, decaying matrices and embeddings but neither biases nor
    normalizations."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=settings.max_learning_rate,
        # On CUDA the fused kernel saves launches; on a CPU it was five times as fast as the default (5
        # against 27 ms for 4 million weights).
        fused=True,
    )


def learning_rate(settings: TrainSettings, progress: float) -> float:
    """Return the one-cycle learning rate at `progress`, 0 … 1 of the run: a linear rise, then a cosine's
    fall."""
    warmup = settings.warmup_fraction
    if progress < warmup:
        return settings.max_learning_rate * max(progress / warmup, FINAL_FRACTION)
    remaining = (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))) / 2
    return settings.max_learning_rate * max(remaining, FINAL_FRACTION)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, *, decay: float, step: int) -> None:
    """Move the average's weights towards the network's, faster in early steps so that it forgets its start."""
    weight = 1 - min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, weight)
