"""An exchange of gradients as low-rank products."""

from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.futures import Future

from plaudit.distributed.exchange.base import GradientExchange, State, on, ready
from plaudit.distributed.exchange.settings import PowerSGDSettings
from plaudit.distributed.stopwatch import Stopwatch
from plaudit.distributed.world import World

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket


class PowerSGD(GradientExchange):
    """Low-rank products (Vogels et al. 2019, "PowerSGD").

    torch's own hook remembers by bucket, so it cannot go on exactly after a restart; this one can.
    """

    def __init__(self, settings: PowerSGDSettings, world: World, stopwatch: Stopwatch) -> None:
        super().__init__(settings, world, stopwatch)
        self.missed: dict[str, torch.Tensor] = {}
        self.right: dict[str, torch.Tensor] = {}

    def exchange(self, bucket: "GradBucket") -> Future[torch.Tensor]:
        """Send the narrow matrices one after the other, and with the first what is no matrix."""
        matrices, others = [], []
        for weight, gradient in zip(bucket.parameters(), bucket.gradients(), strict=True):
            narrow = self.settings.rank * (len(gradient) + gradient[0].numel()) if gradient.dim() > 1 else 0
            if 0 < narrow < gradient.numel():
                matrices.append((self.names[cast(nn.Parameter, weight)], gradient))
            else:
                others.append(gradient)
        # Copies, all aligned alike: products of the same numbers elsewhere in memory differ in their last bits, and
        # buckets are in another order after a restart.
        due = [self.missed.get(name, 0) + gradient.view(len(gradient), -1) for name, gradient in matrices]
        lefts = []
        for (name, _), matrix in zip(matrices, due, strict=True):
            if name not in self.right:
                seeded = torch.Generator().manual_seed(len(name) + matrix.numel())  # the same on all ranks
                start = torch.randn(matrix.shape[1], self.settings.rank, generator=seeded)
                self.right[name] = start.to(matrix.device)
            lefts.append(matrix @ torch.linalg.qr(self.right[name])[0])
        self.world.mean_([*lefts, *others])
        lefts = [torch.linalg.qr(left)[0] for left in lefts]
        rights = [matrix.t() @ left for matrix, left in zip(due, lefts, strict=True)]
        self.world.mean_(rights)
        for (name, gradient), matrix, left, right in zip(matrices, due, lefts, rights, strict=True):
            product = left @ right.t()
            self.missed[name] = matrix - product
            self.right[name] = right
            gradient.copy_(product.view_as(gradient))
        return ready(bucket.buffer())

    def state(self) -> State:
        """Return what products missed, and the right factors to start from."""
        return {"missed": self.missed, "right": self.right}

    def load_state(self, state: State, device: torch.device) -> None:
        """Take them up."""
        self.missed, self.right = on(device, state.get("missed", {})), on(device, state.get("right", {}))
