"""The mean of all ranks' numbers from a few bits of each, and the rounding error.

A message is a reduce-scatter and an all-gather: each rank gets its share of the others' numbers, and sends the mean of
those to all. So a rank sends about twice its numbers, however many ranks there are.

Shapes: S ranks, B blocks, N numbers of a block, M bytes that encode them.
"""

import torch
import torch.distributed as dist
from torch import nn

from plaudit.distributed.world import World

BLOCK = 128
"""Numbers that share a scale, which takes 16 bits."""


def mean_by_bits(numbers: torch.Tensor, bits: int, world: World) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean of all ranks' vectors, the same bits on all, and what this rank should add to its next vector.

    These errors of all ranks add up to the mean's error times the number of ranks: nothing is lost.
    """
    padded = nn.functional.pad(numbers, (0, -len(numbers) % (world.size * BLOCK))).view(world.size, -1, BLOCK)
    message = encode(padded, bits)
    error = padded - decode(message, bits)
    received = torch.empty_like(message)
    dist.all_to_all_single(received, message)
    share = decode(received, bits).mean(0)
    message = encode(share, bits)
    error[world.rank] += world.size * (share - decode(message, bits))
    mean = decode(world.stack(message), bits)
    return mean.flatten()[: len(numbers)], error.flatten()[: len(numbers)]


def encode(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    """Return blocks, fp32 [..., N], as whole multiples of a scale for each, uint8 [..., M]; `bits` is 4 or 8."""
    largest = 2 ** (bits - 1) - 1
    scale = (numbers.abs().amax(-1, keepdim=True) / largest).bfloat16()
    multiples = (numbers / scale.float().clamp(min=torch.finfo(torch.float32).tiny)).round_().clamp_(-largest, largest)
    levels = (multiples + largest).to(torch.uint8)
    if bits == 4:  # two to a byte
        levels = levels[..., ::2] | levels[..., 1::2] << 4
    return torch.cat([levels, scale.view(torch.uint8)], -1)


def decode(message: torch.Tensor, bits: int) -> torch.Tensor:
    """Return the numbers that `encode` was given, to within half a scale."""
    levels, scale = message[..., :-2], message[..., -2:].contiguous().view(torch.bfloat16).float()
    if bits == 4:
        levels = torch.stack([levels & 15, levels >> 4], -1).flatten(-2)
    multiples: torch.Tensor = levels.float() - (2 ** (bits - 1) - 1)
    return multiples * scale
