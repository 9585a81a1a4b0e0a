"""An exchange of weights, now and then, between ranks that train by themselves."""

from typing import Literal

import torch
import torch.distributed as dist
from pydantic import Field
from torch import nn

from undertone.distributed.exchange import DTYPES, Exchange, Precision, State, embedding_weights, flat, on, scatter
from undertone.distributed.stopwatch import Stopwatch
from undertone.distributed.world import World
from undertone.settings import Settings


class LocalSettings(Settings):
    """Each rank trains by itself; every so often all take a step along the mean of their ways (DiLoCo)."""

    kind: Literal["local"] = "local"
    period: int = Field(128, ge=1)
    """Steps between two exchanges."""
    precision: Precision = "bf16"
    """Of the numbers that are sent."""
    outer_learning_rate: float = Field(1.0, gt=0)
    """Length of the common step, in mean ways."""
    outer_momentum: float = Field(0.0, ge=0, lt=1)
    """Nesterov's; 0 with an outer learning rate of 1 is plain averaging."""


class Local(Exchange):
    """Steps of one's own, and an outer step for all (Stich 2019, "Local SGD"; Douillard et al. 2023, "DiLoCo").

    A rare word is read by one rank at a time, and the mean would be R times shorter than the way that one rank would
    have gone with all reviews: Adam's steps do not shrink with the number of times that a batch holds a word. So the
    mean way of an embedding's row is stretched by the number of steps that read it on any rank, as a rank alone would
    have taken, over the mean number of steps that did: from 1 for words of every batch up to R for rare ones.
    """

    ranks_differ = True

    def __init__(self, settings: LocalSettings, world: World, stopwatch: Stopwatch) -> None:
        self.settings, self.world, self.stopwatch = settings, world, stopwatch
        self.weights: list[nn.Parameter] = []
        self.read: dict[int, torch.Tensor] = {}
        """By the number of an embedding's weight: the steps of this period that read each of its rows."""
        self.anchor = self.momentum = torch.zeros(0)
        self.steps = 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Let all ranks start with the first one's weights."""
        self.weights = [weight for weight in module.parameters() if weight.requires_grad]
        for weight in self.weights:
            dist.broadcast(weight.detach(), 0)
        embeddings = embedding_weights(module)
        self.read = {
            number: torch.zeros(len(weight), device=weight.device)
            for number, weight in enumerate(self.weights)
            if weight in embeddings
        }
        self.anchor = flat(self.weights)
        self.momentum = torch.zeros_like(self.anchor)
        return module

    def after_backward(self) -> None:
        """Count which rows were read."""
        for number, counts in self.read.items():
            gradient = self.weights[number].grad
            if gradient is not None:
                counts += gradient.any(1)

    def after_step(self) -> None:
        """Exchange at the end of a period."""
        self.steps += 1
        if self.steps == self.settings.period:
            self.settle()

    def settle(self) -> None:
        """Move all ranks from where they last met along the mean of the ways that they went since."""
        if self.steps == 0:
            return
        settings = self.settings
        self.stopwatch.ready()
        way = (flat(self.weights) - self.anchor).to(DTYPES[settings.precision]).div_(self.world.size)
        dist.all_reduce(way)
        way = way.float()
        ways = torch.split(way, [weight.numel() for weight in self.weights])
        for number, counts in self.read.items():
            ways[number].view(len(counts), -1).mul_(self._stretch(counts)[:, None])
            counts.zero_()
        self.stopwatch.lap()
        self.steps = 0
        self.momentum.mul_(settings.outer_momentum).add_(way)
        self.anchor.add_(way + settings.outer_momentum * self.momentum, alpha=settings.outer_learning_rate)
        with torch.no_grad():
            scatter(self.anchor, self.weights)

    def _stretch(self, counts: torch.Tensor) -> torch.Tensor:
        """Return, of the steps that read a row, how many did on any rank over how many did on one, on average."""
        # Ranks draw their reviews independently, so a step misses a row on all of them with the product of the odds.
        shares = counts / self.steps
        message = torch.stack([counts / self.world.size, torch.log1p(-shares.clamp(max=0.999))])
        dist.all_reduce(message)
        mean, log_missed = message
        on_any = -torch.expm1(log_missed) * self.steps
        stretch: torch.Tensor = (on_any / mean.clamp(min=1e-9)).clamp(1, self.world.size)
        return stretch

    def state(self) -> State:
        """Return where all ranks last met, how they got there, and the steps since."""
        read = {str(number): counts for number, counts in self.read.items()}
        return {"anchor": self.anchor, "momentum": self.momentum, "steps": self.steps, "read": read}

    def load_state(self, state: State, device: torch.device) -> None:
        """Take them up; where a process alone stopped, all ranks meet."""
        if not state:
            self.anchor = flat(self.weights)
            return
        self.anchor, self.momentum = state["anchor"].to(device), state["momentum"].to(device)
        self.steps = state["steps"]
        self.read = {int(number): counts for number, counts in on(device, state["read"]).items()}
