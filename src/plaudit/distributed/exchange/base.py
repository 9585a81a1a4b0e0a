"""What an exchange between ranks is, and what all of them are built from."""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import torch
import torch.distributed as dist
from torch import nn
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from plaudit.distributed.exchange.settings import Precision
from plaudit.distributed.stopwatch import Stopwatch
from plaudit.distributed.world import World

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket

State: TypeAlias = dict[str, Any]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Exchange:
    """What training does for the sake of other ranks; this one has none, and does nothing."""

    ranks_differ = False
    """Whether ranks hold different weights between two exchanges."""

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module to call in the place of `module`, so that gradients are exchanged."""
        return module

    def after_backward(self) -> None:
        """Hear that the gradient is there."""

    def after_step(self) -> None:
        """Hear that the optimizer took a step."""

    def settle(self) -> None:
        """Make the weights of all ranks equal."""

    def state(self) -> State:
        """Return what this rank remembers."""
        return {}

    def load_state(self, state: State, device: torch.device) -> None:
        """Take up what this rank remembered, nothing if it was alone; its weights are restored already."""


class GradientExchange(Exchange):
    """Means of gradients over all ranks."""

    def __init__(self, settings: Any, world: World, stopwatch: Stopwatch) -> None:  # noqa: ANN401
        self.settings, self.world, self.stopwatch = settings, world, stopwatch
        self.names: dict[nn.Parameter, str] = {}
        self.embeddings: set[nn.Parameter] = set()

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return DistributedDataParallel around it; all ranks start with the first one's weights."""
        self.names = {parameter: name for name, parameter in module.named_parameters()}
        self.embeddings = embedding_weights(module)
        with warnings.catch_warnings():
            # The name that takes its place is newer than the oldest torch we take.
            warnings.filterwarnings("ignore", ".*broadcast_buffers", FutureWarning)
            parallel = DistributedDataParallel(
                module,
                broadcast_buffers=False,
                gradient_as_bucket_view=True,
                static_graph=True,  # not every weight has a part in every objective
            )
        parallel.register_comm_hook(None, lambda _, bucket: self._hook(bucket))
        return parallel

    def _hook(self, bucket: "GradBucket") -> Future[torch.Tensor]:
        self.stopwatch.ready()
        return self.exchange(bucket)

    def after_backward(self) -> None:
        """End a lap of the stopwatch."""
        self.stopwatch.lap()

    @abstractmethod
    def exchange(self, bucket: "GradBucket") -> Future[torch.Tensor]:
        """Return the bucket's numbers, averaged over ranks, once they are there."""


def embedding_weights(module: nn.Module) -> set[nn.Parameter]:
    """Return the weights whose rows are words."""
    return {cast(nn.Parameter, part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}


def reduced(tensor: torch.Tensor) -> Future[Any]:
    """Return what is done once a tensor is its sum over all ranks."""
    return cast(Future[Any], dist.all_reduce(tensor, async_op=True).get_future())


def gathered(tensor: torch.Tensor, size: int) -> tuple[Future[Any], list[torch.Tensor]]:
    """Return what is done once every rank's tensor is there, and the tensors."""
    parts = [torch.empty_like(tensor) for _ in range(size)]
    return cast(Future[Any], dist.all_gather(parts, tensor, async_op=True).get_future()), parts


def ready(tensor: torch.Tensor) -> Future[torch.Tensor]:
    """Return what is done."""
    future: Future[torch.Tensor] = Future()
    future.set_result(tensor)
    return future


def flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the numbers of all tensors as one vector."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def scatter(joined: torch.Tensor, tensors: Sequence[torch.Tensor]) -> None:
    """Copy the parts of a vector to the tensors that it was joined of."""
    for tensor, part in zip(tensors, torch.split(joined, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def on(device: torch.device, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors on a device."""
    return {name: tensor.to(device) for name, tensor in tensors.items()}
