"""One step of training: forward, backward, exchange with other ranks, update; nothing in it waits for the device."""

from typing import TypeAlias, cast

import torch
from torch import nn

from plaudit.distributed.exchange.base import Exchange
from plaudit.distributed.exchange.registry import NO_EXCHANGE
from plaudit.train.objectives import Objective, Penalty
from plaudit.train.settings import TrainSettings

Inputs: TypeAlias = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Ids [B, T], mask [B, T] and row numbers [B]."""


class Minimized(nn.Module):
    """Network and objective as one module, since DistributedDataParallel takes one; weights of both are trained."""

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.network, self.objective = network, objective

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss, summed over the batch, and how many reviews the network gets right."""
        return cast(tuple[torch.Tensor, torch.Tensor], self.objective(self.network, ids, mask, rows))


def train_step(
    minimized: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Inputs,
    settings: TrainSettings,
    dtype: torch.dtype,
    *,
    usual_size: float,
    penalty: Penalty | None = None,
    exchange: Exchange = NO_EXCHANGE,
) -> torch.Tensor:
    """Take one step; return summed loss, number of correct predictions and gradient norm.

    `usual_size` is the mean of B over all batches. The result stays on the device, float64 [3]: nothing in a
    step waits for the device.
    """
    with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=dtype is torch.bfloat16):
        loss, correct = minimized(*inputs)
    # Not the mean of this batch: a batch of short reviews holds many, and each would count for less than a long
    # one, which cost almost a point of accuracy (docs/training.md).
    total = loss / usual_size
    if penalty is not None:
        total = total + penalty()
    total.backward()
    exchange.after_backward()
    norm = nn.utils.clip_grad_norm_(_parameters(optimizer), settings.gradient_clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    exchange.after_step()
    return torch.stack([loss.detach().double(), correct.double(), norm.double()])


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
