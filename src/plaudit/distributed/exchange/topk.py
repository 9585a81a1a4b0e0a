"""An exchange of the largest numbers of gradients."""

from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.futures import Future

from plaudit.distributed.exchange.base import GradientExchange, State, send_to_all, to_device, when_arrived
from plaudit.distributed.exchange.settings import TopKSettings
from plaudit.distributed.stopwatch import Stopwatch
from plaudit.distributed.world import World

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket

SAMPLE_SIZE = 20_000


class TopK(GradientExchange):
    """The largest numbers, with error feedback (Lin et al. 2018, "Deep Gradient Compression").

    The paper's momentum correction is left out: AdamW has its own momentum.
    """

    def __init__(self, settings: TopKSettings, world: World, stopwatch: Stopwatch) -> None:
        super().__init__(settings, world, stopwatch)
        self.residuals: dict[str, torch.Tensor] = {}
        self.step = 0

    def exchange(self, bucket: "GradBucket") -> Future[torch.Tensor]:
        """Send the places and values of the largest numbers, and keep the others for later."""
        buffer, density = bucket.buffer(), self._density()
        places, values, offset = [], [], 0
        for weight, gradient in zip(bucket.parameters(), bucket.gradients(), strict=True):
            vector = gradient.flatten()
            residual = self.residuals.setdefault(self.names[cast(nn.Parameter, weight)], torch.zeros_like(vector))
            residual += vector
            sent = largest(residual, max(1, round(density * len(vector))))
            places.append(sent + offset)
            values.append(residual[sent])
            residual[sent] = 0
            offset += len(vector)
        self.step += bucket.is_last()
        # Places and values as one message: the bits of an fp32 are those of some int32.
        message = torch.stack([torch.cat(places).int(), torch.cat(values).view(torch.int32)])

        def add(messages: list[torch.Tensor]) -> None:
            buffer.zero_()
            for indices, bits in messages:
                buffer.index_add_(0, indices, bits.view(torch.float32) / self.world.size)

        return when_arrived([send_to_all(message, self.world.size, add)], buffer)

    def _density(self) -> float:
        """Return the share of numbers to send at this step."""
        warmup_steps = self.settings.warmup_steps
        progress = min(1.0, self.step / warmup_steps) if warmup_steps else 1.0
        return float(self.settings.density**progress)

    def state(self) -> State:
        """Return what has been kept back, and the steps so far."""
        return {"residuals": self.residuals, "step": self.step}

    def load_state(self, state: State, device: torch.device) -> None:
        """Restore them."""
        self.residuals, self.step = to_device(state.get("residuals", {}), device), state.get("step", 0)


def largest(values: torch.Tensor, count: int) -> torch.Tensor:
    """Return the places of `count` numbers of `values` [P] that are about the largest in size, int64 [count].

    Exactly those if P is at most SAMPLE_SIZE; else the threshold comes from that many evenly spaced ones, since sorting
    all of them takes longer than sending them.
    """
    sizes = values.abs()
    if len(values) <= SAMPLE_SIZE or count > len(values) // 8:
        return sizes.topk(count, sorted=False).indices
    sample = sizes[:: len(values) // SAMPLE_SIZE]
    # A slightly low threshold lets a few more through, from which topk then chooses.
    threshold = sample.topk(min(len(sample), round(1.5 * count * len(sample) / len(values)) + 8)).values[-1]
    places = (sizes > threshold).nonzero().flatten()
    if len(places) < count:
        return sizes.topk(count, sorted=False).indices
    return places[sizes[places].topk(count, sorted=False).indices]
