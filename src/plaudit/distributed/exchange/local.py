"""An exchange of weights every few steps, between ranks that otherwise train by themselves."""

from typing import TypeAlias

import torch
import torch.distributed as dist
from torch import nn

from plaudit.distributed.exchange.base import DTYPES, Exchange, State, embedding_weights, flatten, to_device, unflatten
from plaudit.distributed.exchange.quantized import mean_by_bits
from plaudit.distributed.exchange.settings import LocalSettings
from plaudit.distributed.stopwatch import Stopwatch
from plaudit.distributed.world import World

BITS = {"int8": 8, "int4": 4}
Rows: TypeAlias = "torch.Tensor | slice"


class Local(Exchange):
    """Steps of each rank's own, then the average of all weight changes (Stich 2019, "Local SGD"; Douillard et al. 2023,
    "DiLoCo").

    Of an embedding, only those rows are sent whose words some rank has read since the last exchange. Adam's momentum
    and weight decay move the others too; they go back to where they were, and each rank keeps their change until their
    word is read again. Sending the rows of the period before as well took a third more bytes and gained nothing
    (docs/distributed.md).

    Adam divides by the size of gradients, most of which is noise, and of R ranks each has the noise of an R-th of a
    batch: its steps go √R times less far in the direction that all share. So the learning rate should be √R times that
    of one process (Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient algorithms").
    """

    ranks_differ = True

    def __init__(self, settings: LocalSettings, world: World, stopwatch: Stopwatch) -> None:
        self.settings, self.world, self.stopwatch = settings, world, stopwatch
        self.weights: list[nn.Parameter] = []
        self.rows_read: dict[int, torch.Tensor] = {}
        """By the index of an embedding in `weights`: 1 for the rows that were read in this period, else 0, fp32."""
        self.anchor = torch.zeros(0)
        """All weights as of the last exchange, one vector."""
        self.residual = torch.zeros(0)
        """Changes of weights that have not been sent, one vector."""
        self.steps = 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Let all ranks start with the first one's weights."""
        self.weights = [weight for weight in module.parameters() if weight.requires_grad]
        for weight in self.weights:
            dist.broadcast(weight.detach(), 0)
        embeddings = embedding_weights(module)
        self.rows_read = {
            index: torch.zeros(len(weight), device=weight.device)
            for index, weight in enumerate(self.weights)
            if weight in embeddings
        }
        self.anchor = flatten(self.weights)
        self.residual = torch.zeros_like(self.anchor)
        return module

    def after_backward(self) -> None:
        """Note which rows were read."""
        for index, is_read in self.rows_read.items():
            gradient = self.weights[index].grad
            if gradient is not None:
                # On a CPU `any(1)` takes seven times as long.
                is_read.masked_fill_(torch.linalg.vector_norm(gradient, dim=1) > 0, 1)

    def after_step(self) -> None:
        """Exchange at the end of a period."""
        self.steps += 1
        if self.steps == self.settings.period:
            self.synchronize()

    @torch.no_grad()
    def synchronize(self) -> None:
        """Average the changes since the last exchange, and continue from there on all ranks."""
        if self.steps == 0:
            return
        self.stopwatch.ready()
        rows = self._rows_to_send()
        self.residual += flatten(self.weights).sub_(self.anchor)
        mean, error = self._mean(self._take(self.residual, rows))
        self._put(self.residual, rows, error)
        self.stopwatch.lap()
        change = torch.zeros_like(self.anchor)
        self._put(change, rows, mean)
        self.anchor += change
        unflatten(self.anchor, self.weights)
        self.steps = 0

    def _rows_to_send(self) -> list[Rows]:
        """Return the rows of each weight that some rank has read, and start noting anew."""
        rows: list[Rows] = [slice(None)] * len(self.weights)
        for index, is_read in self.rows_read.items():
            by_any = (is_read > 0).to(torch.uint8)
            dist.all_reduce(by_any, dist.ReduceOp.MAX)
            rows[index] = by_any.nonzero().flatten()
            is_read.zero_()
        return rows

    def _take(self, vector: torch.Tensor, rows: list[Rows]) -> torch.Tensor:
        """Return the numbers of such rows, out of a vector of all weights' numbers, as a vector."""
        return flatten([part[chosen] for part, chosen in zip(self._views(vector), rows, strict=True)])

    def _put(self, vector: torch.Tensor, rows: list[Rows], numbers: torch.Tensor) -> None:
        """Replace what `_take` returns by other numbers."""
        start = 0
        for part, chosen in zip(self._views(vector), rows, strict=True):
            shape = part[chosen].shape
            part[chosen] = numbers[start : start + shape.numel()].view(shape)
            start += shape.numel()

    def _views(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """Return a view of each weight's numbers in a vector of all."""
        parts = torch.split(vector, [weight.numel() for weight in self.weights])
        return [part.view_as(weight) for part, weight in zip(parts, self.weights, strict=True)]

    def _mean(self, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean of all ranks' vectors, and the error that this rank's precision made."""
        precision = self.settings.precision
        if precision == "int8" or precision == "int4":
            return mean_by_bits(numbers, BITS[precision], self.world)
        sent = numbers.to(DTYPES[precision])
        error = numbers - sent
        sent.div_(self.world.size)
        dist.all_reduce(sent)
        return sent.float(), error

    def state(self) -> State:
        """Return the weights of the last exchange, the steps since, the rows that were read, and what is unsent."""
        rows_read = {str(index): is_read for index, is_read in self.rows_read.items()}
        return {"anchor": self.anchor, "residual": self.residual, "steps": self.steps, "rows_read": rows_read}

    def load_state(self, state: State, device: torch.device) -> None:
        """Restore them; what a process trained alone is where all ranks begin."""
        if not state:
            self.anchor = flatten(self.weights)
            return
        self.anchor, self.residual = state["anchor"].to(device), state["residual"].to(device)
        self.steps = state["steps"]
        self.rows_read = {int(index): is_read for index, is_read in to_device(state["rows_read"], device).items()}
