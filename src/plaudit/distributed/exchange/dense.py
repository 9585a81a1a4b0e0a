"""Exchanges of whole gradients."""

from typing import TYPE_CHECKING

import torch
from torch.futures import Future

from plaudit.distributed.exchange.base import GradientExchange, reduced

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket


class Plain(GradientExchange):
    """All-reduce."""

    dtype = torch.float32

    def exchange(self, bucket: "GradBucket") -> Future[torch.Tensor]:
        """Send all of it."""
        buffer = bucket.buffer()
        sent = buffer.to(self.dtype).div_(self.world.size)
        return reduced(sent).then(lambda _: buffer.copy_(sent))


class BF16(Plain):
    """All-reduce of half as many bytes, as torch's bf16_compress_hook."""

    dtype = torch.bfloat16
