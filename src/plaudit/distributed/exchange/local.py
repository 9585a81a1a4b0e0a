"""An exchange of weights, now and then, between ranks that train by themselves."""

import torch
import torch.distributed as dist
from torch import nn

from plaudit.distributed.exchange.base import DTYPES, Exchange, State, embedding_weights, flat, on, scatter
from plaudit.distributed.exchange.quantized import mean_by_bits
from plaudit.distributed.exchange.settings import LocalSettings
from plaudit.distributed.stopwatch import Stopwatch
from plaudit.distributed.world import World

BITS = {"int8": 8, "int4": 4}


class Local(Exchange):
    """Steps of one's own, and an outer step for all (Stich 2019, "Local SGD"; Douillard et al. 2023, "DiLoCo").

    Of an embedding, only those rows are sent that some rank read since ranks last met. Adam's momentum and weight decay
    move the others, too: those go back to where ranks last met, and their way waits on each rank until their word is
    read again. To send rows of the period before as well cost a third more bytes and won nothing (docs/distributed.md).

    Adam divides by the size of gradients, most of which is noise, and of R ranks each has the noise of an R-th of a
    batch: its steps go √R times less far in the direction that all share, and the mean way no further. So the learning
    rate should be √R times that of one process (Malladi et al. 2022, "On the SDEs and scaling rules for adaptive
    gradient algorithms"). The mean's noise is then that of one process, too.
    """

    ranks_differ = True

    def __init__(self, settings: LocalSettings, world: World, stopwatch: Stopwatch) -> None:
        self.settings, self.world, self.stopwatch = settings, world, stopwatch
        self.weights: list[nn.Parameter] = []
        self.read: dict[int, torch.Tensor] = {}
        """By the number of an embedding's weight: above 0 for its rows that were read in this period, fp32."""
        self.anchor = self.momentum = self.waiting = torch.zeros(0)
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
        self.momentum, self.waiting = torch.zeros_like(self.anchor), torch.zeros_like(self.anchor)
        return module

    def after_backward(self) -> None:
        """Note which rows were read."""
        for number, read in self.read.items():
            gradient = self.weights[number].grad
            if gradient is not None:
                # On a CPU `any(1)` takes seven times as long.
                read.masked_fill_(torch.linalg.vector_norm(gradient, dim=1) > 0, 1)

    def after_step(self) -> None:
        """Exchange at the end of a period."""
        self.steps += 1
        if self.steps == self.settings.period:
            self.settle()

    @torch.no_grad()
    def settle(self) -> None:
        """Move all ranks from where they last met along the mean of the ways that they went since."""
        if self.steps == 0:
            return
        settings = self.settings
        self.stopwatch.ready()
        rows = self._rows()
        self.waiting += flat(self.weights).sub_(self.anchor)
        waiting = [part[chosen] for part, chosen in zip(self._parts(self.waiting), rows, strict=True)]
        mean, missed = self._mean(flat(waiting))
        way = torch.zeros_like(self.anchor)
        sizes = [part.numel() for part in waiting]
        for vector, found in ((way, mean), (self.waiting, missed)):
            of_weights = zip(self._parts(vector), rows, waiting, torch.split(found, sizes), strict=True)
            for part, chosen, sent, values in of_weights:
                part[chosen] = values.view_as(sent)
        self.stopwatch.lap()
        self.steps = 0
        self.momentum.mul_(settings.outer_momentum).add_(way)
        self.anchor.add_(way.add_(self.momentum, alpha=settings.outer_momentum), alpha=settings.outer_learning_rate)
        scatter(self.anchor, self.weights)

    def _parts(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """Return a view of each weight's numbers in a vector of all."""
        parts = torch.split(vector, [weight.numel() for weight in self.weights])
        return [part.view_as(weight) for part, weight in zip(parts, self.weights, strict=True)]

    def _rows(self) -> list[torch.Tensor | slice]:
        """Return which rows of each weight are sent, and begin to note anew which are read."""
        rows: list[torch.Tensor | slice] = [slice(None)] * len(self.weights)
        for number, read in self.read.items():
            by_any = (read > 0).to(torch.uint8)
            dist.all_reduce(by_any, dist.ReduceOp.MAX)
            rows[number] = by_any.nonzero().flatten()
            read.zero_()
        return rows

    def _mean(self, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean of all ranks' vectors, and what this one's precision missed."""
        precision = self.settings.precision
        if precision == "int8" or precision == "int4":
            return mean_by_bits(numbers, BITS[precision], self.world)
        sent = numbers.to(DTYPES[precision])
        missed = numbers - sent
        sent.div_(self.world.size)
        dist.all_reduce(sent)
        return sent.float(), missed

    def state(self) -> State:
        """Return where all ranks last met, how they got there, the steps since, and what waits."""
        read = {str(number): rows for number, rows in self.read.items()}
        return {
            "anchor": self.anchor,
            "momentum": self.momentum,
            "waiting": self.waiting,
            "steps": self.steps,
            "read": read,
        }

    def load_state(self, state: State, device: torch.device) -> None:
        """Take them up; where a process alone stopped, all ranks meet."""
        if not state:
            self.anchor = flat(self.weights)
            return
        vectors = on(device, {name: state[name] for name in ("anchor", "momentum", "waiting")})
        self.anchor, self.momentum, self.waiting = vectors["anchor"], vectors["momentum"], vectors["waiting"]
        self.steps = state["steps"]
        self.read = {int(number): rows for number, rows in on(device, state["read"]).items()}
