"""The mean of all ranks' numbers, from a few bits of each, and what those bits missed.

A message is a reduce-scatter and an all-gather: each rank gets its share of the others' numbers, and sends the mean of
those to all. So a rank sends about twice its numbers, however many ranks there are.

Shapes: S ranks, B blocks, N numbers of a block, M bytes that stand for them.
"""

import torch
import torch.distributed as dist
from torch import nn

from plaudit.distributed.world import World

BLOCK = 128
"""Numbers that share a scale, which takes 16 bits."""


def mean_by_bits(numbers: torch.Tensor, bits: int, world: World) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean of all ranks' vectors, the same bits on all, and what this rank should add to its next vector.

    The sum of what all ranks are to add is what the mean misses, times the number of ranks: nothing is lost.
    """
    padded = nn.functional.pad(numbers, (0, -len(numbers) % (world.size * BLOCK))).view(world.size, -1, BLOCK)
    message = encoded(padded, bits)
    missed = padded - decoded(message, bits)
    arrived = torch.empty_like(message)
    dist.all_to_all_single(arrived, message)
    share = decoded(arrived, bits).mean(0)
    message = encoded(share, bits)
    missed[world.rank] += world.size * (share - decoded(message, bits))
    mean = decoded(world.stack(message), bits)
    return mean.flatten()[: len(numbers)], missed.flatten()[: len(numbers)]


def encoded(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    """Return blocks, fp32 [..., N], as whole multiples of a scale for each, uint8 [..., M]; `bits` is 4 or 8."""
    most = 2 ** (bits - 1) - 1
    scale = (numbers.abs().amax(-1, keepdim=True) / most).bfloat16()
    multiples = (numbers / scale.float().clamp(min=torch.finfo(torch.float32).tiny)).round_().clamp_(-most, most)
    levels = (multiples + most).to(torch.uint8)
    if bits == 4:  # two a byte
        levels = levels[..., ::2] | levels[..., 1::2] << 4
    return torch.cat([levels, scale.view(torch.uint8)], -1)


def decoded(message: torch.Tensor, bits: int) -> torch.Tensor:
    """Return what `encoded` made a message of, up to half a scale."""
    levels, scale = message[..., :-2], message[..., -2:].contiguous().view(torch.bfloat16).float()
    if bits == 4:
        levels = torch.stack([levels & 15, levels >> 4], -1).flatten(-2)
    multiples: torch.Tensor = levels.float() - (2 ** (bits - 1) - 1)
    return multiples * scale
