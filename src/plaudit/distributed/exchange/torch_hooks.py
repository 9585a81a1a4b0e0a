"""Gradient exchanges that torch ships as communication hooks of DistributedDataParallel."""

import warnings
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook, bf16_compress_hook
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState, powerSGD_hook
from torch.futures import Future

from plaudit.distributed.exchange.base import GradientExchange, State, to_device
from plaudit.distributed.exchange.settings import PowerSGDSettings
from plaudit.distributed.stopwatch import Stopwatch
from plaudit.distributed.world import World

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket


class Plain(GradientExchange):
    """All-reduce in fp32."""

    def exchange(self, bucket: "GradBucket") -> Future[torch.Tensor]:
        """Return the bucket's averages."""
        return allreduce_hook(None, bucket)  # type: ignore[arg-type]  # None is the group of all ranks


class BF16(GradientExchange):
    """All-reduce of half as many bytes."""

    def exchange(self, bucket: "GradBucket") -> Future[torch.Tensor]:
        """Return the bucket's averages."""
        return bf16_compress_hook(None, bucket)  # type: ignore[arg-type]  # as above


class PowerSGD(GradientExchange):
    """Low-rank products with error feedback (Vogels et al. 2019, "PowerSGD"); the first two steps are sent whole.

    The hook remembers by the number of a bucket. To resume exactly, each process must have the same buckets from its
    first step on: torch rearranges them after that step unless it looks for unused parameters.
    """

    ddp_options: ClassVar[dict[str, Any]] = {"find_unused_parameters": True}

    def __init__(self, settings: PowerSGDSettings, world: World, stopwatch: Stopwatch) -> None:
        super().__init__(settings, world, stopwatch)
        self.hook_state = PowerSGDState(
            None,
            matrix_approximation_rank=settings.rank,
            start_powerSGD_iter=2,  # the least that it takes
            min_compression_rate=1,
            orthogonalization_epsilon=1e-8,
        )

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return DistributedDataParallel around it; all ranks start with the first one's weights."""
        # torch warns in the first step if there are no unused parameters.
        warnings.filterwarnings("ignore", "find_unused_parameters=True was specified", UserWarning)
        return super().wrap(module)

    def exchange(self, bucket: "GradBucket") -> Future[torch.Tensor]:
        """Return the bucket's averages, once they are there."""
        future = powerSGD_hook(self.hook_state, bucket)
        future.wait()  # callbacks send further messages, which must not mix with those of the next bucket
        return future

    def state(self) -> State:
        """Return the steps so far, the errors to add to the next gradients, and both factors, by bucket."""
        hook = self.hook_state
        return {"steps": hook.iter, "errors": hook.error_dict, "left": hook.p_memory_dict, "right": hook.q_memory_dict}

    def load_state(self, state: State, device: torch.device) -> None:
        """Restore them. The hook's random numbers are drawn for the first factors alone, and so need no saving."""
        hook = self.hook_state
        hook.iter = state.get("steps", 0)
        hook.error_dict = to_device(state.get("errors", {}), device)
        hook.p_memory_dict = to_device(state.get("left", {}), device)
        hook.q_memory_dict = to_device(state.get("right", {}), device)
