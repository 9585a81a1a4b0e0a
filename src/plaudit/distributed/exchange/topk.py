"""An exchange of the largest numbers of gradients."""

from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.futures import Future

from plaudit.distributed.exchange.base import GradientExchange, State, gathered, on
from plaudit.distributed.exchange.settings import TopKSettings
from plaudit.distributed.stopwatch import Stopwatch
from plaudit.distributed.world import World

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket


class TopK(GradientExchange):
    """The largest numbers (Lin et al. 2018, "Deep Gradient Compression"), with momentum correction and factor masking.

    What is largest is told from a sample of a weight's numbers, as sorting all takes longer than sending them.
    """

    def __init__(self, settings: TopKSettings, world: World, stopwatch: Stopwatch) -> None:
        super().__init__(settings, world, stopwatch)
        self.velocity: dict[str, torch.Tensor] = {}
        self.waiting: dict[str, torch.Tensor] = {}
        self.step = 0

    def exchange(self, bucket: "GradBucket") -> Future[torch.Tensor]:
        """Send the places and values of the largest numbers that wait."""
        settings, buffer = self.settings, bucket.buffer()
        warmup = 1.0 if settings.warmup_steps == 0 else min(1.0, self.step / settings.warmup_steps)
        density = settings.density**warmup
        places, values, offset = [], [], 0
        for weight, gradient in zip(bucket.parameters(), bucket.gradients(), strict=True):
            name, flat = self.names[cast(nn.Parameter, weight)], gradient.flatten()
            waiting = self.waiting.setdefault(name, torch.zeros_like(flat))
            if settings.momentum:
                velocity = self.velocity.setdefault(name, torch.zeros_like(flat))
                waiting += velocity.mul_(settings.momentum).add_(flat)
            else:
                waiting += flat
            chosen = largest(waiting, max(1, round(density * len(flat))))
            places.append(chosen + offset)
            values.append(waiting[chosen])
            waiting[chosen] = 0
            if settings.momentum:
                velocity[chosen] = 0
            offset += len(flat)
        self.step += bucket.is_last()
        # Places and values as one message: the bits of an fp32 are those of some int32.
        message = torch.stack([torch.cat(places).int(), torch.cat(values).view(torch.int32)])
        future, messages = gathered(message, self.world.size)

        def add(_: object) -> torch.Tensor:
            buffer.zero_()
            for indices, bits in messages:
                buffer.index_add_(0, indices, bits.view(torch.float32) / self.world.size)
            return buffer

        return future.then(add)

    def state(self) -> State:
        """Return what waits."""
        return {"velocity": self.velocity, "waiting": self.waiting, "step": self.step}

    def load_state(self, state: State, device: torch.device) -> None:
        """Take it up."""
        self.velocity, self.waiting = on(device, state.get("velocity", {})), on(device, state.get("waiting", {}))
        self.step = state.get("step", 0)


def largest(values: torch.Tensor, count: int, *, sample: int = 20_000) -> torch.Tensor:
    """Return the places of `count` numbers of `values` [P] that are about the largest in size, int64 [count].

    Exactly those if P is not above `sample`; else the threshold comes from so many evenly spaced ones.
    """
    sizes = values.abs()
    if len(values) <= sample or count > len(values) // 8:
        return sizes.topk(count, sorted=False).indices
    spaced = sizes[:: len(values) // sample]
    # A threshold a little low lets a few more through, of which topk then chooses.
    threshold = spaced.topk(min(len(spaced), round(1.5 * count * len(spaced) / len(values)) + 8)).values[-1]
    places = (sizes > threshold).nonzero().flatten()
    if len(places) < count:
        return sizes.topk(count, sorted=False).indices
    found: torch.Tensor = places[sizes[places].topk(count, sorted=False).indices]
    return found
