"""What an exchange between ranks is, and the messages that exchanges are built from."""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias, TypeVar, cast

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

Key = TypeVar("Key")
State: TypeAlias = dict[str, Any]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Exchange:
    """What the training loop does for the sake of other ranks: nothing here, where a process trains alone."""

    ranks_differ = False
    """Whether ranks hold different weights between two exchanges."""

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module to call in place of `module`, so that gradients are exchanged."""
        return module

    def after_backward(self) -> None:
        """React to a finished backward pass."""

    def after_step(self) -> None:
        """React to a step of the optimizer."""

    def synchronize(self) -> None:
        """Make the weights of all ranks equal."""

    def state(self) -> State:
        """Return what this rank has to remember in a checkpoint."""
        return {}

    def load_state(self, state: State, device: torch.device) -> None:
        """Restore what this rank remembered (nothing if it was alone) after its weights have been restored."""


class GradientExchange(Exchange):
    """Averages gradients over all ranks, as a communication hook of DistributedDataParallel."""

    ddp_options: ClassVar[dict[str, Any]] = {"static_graph": True}
    """Some objectives leave some weights unused, which a static graph allows."""

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
                module, broadcast_buffers=False, gradient_as_bucket_view=True, **self.ddp_options
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
        """Return a future of the bucket's gradients, averaged over ranks."""


class Message(NamedTuple):
    """A message on its way, and what to do with it once it has arrived."""

    work: dist.Work
    unpack: Callable[[], object]


def send_sum(tensor: torch.Tensor, unpack: Callable[[], object]) -> Message:
    """Start replacing a tensor by its sum over all ranks."""
    return Message(cast(dist.Work, dist.all_reduce(tensor, async_op=True)), unpack)


def send_to_all(tensor: torch.Tensor, size: int, unpack: Callable[[list[torch.Tensor]], object]) -> Message:
    """Start sending a tensor to all `size` ranks; `unpack` gets the tensors of all, in the order of ranks."""
    parts = [torch.empty_like(tensor) for _ in range(size)]
    work = cast(dist.Work, dist.all_gather(parts, tensor, async_op=True))
    return Message(work, lambda: unpack(parts))


def when_arrived(messages: Sequence[Message], buffer: torch.Tensor) -> Future[torch.Tensor]:
    """Return a future of `buffer`, into which the messages are unpacked once all have arrived.

    It is the last message's, since on a GPU only a message's own future waits for the streams that messages arrive on.
    """

    *earlier, last = messages

    def unpack(_: object) -> torch.Tensor:
        for message in earlier:
            message.work.wait()
            message.unpack()
        last.unpack()
        return buffer

    return last.work.get_future().then(unpack)


def embedding_weights(module: nn.Module) -> set[nn.Parameter]:
    """Return the weights whose rows are words."""
    return {cast(nn.Parameter, part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}


def flatten(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the numbers of all tensors as one vector."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def unflatten(vector: torch.Tensor, tensors: Sequence[torch.Tensor]) -> None:
    """Copy the parts of a vector into the tensors that `flatten` made it from."""
    for tensor, part in zip(tensors, torch.split(vector, [tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def to_device(tensors: dict[Key, torch.Tensor], device: torch.device) -> dict[Key, torch.Tensor]:
    """Return the tensors on a device."""
    return {key: tensor.to(device) for key, tensor in tensors.items()}
