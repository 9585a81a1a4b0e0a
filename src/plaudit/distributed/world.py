"""The processes ("ranks") that train one model together, and this one's place among them.

A process that trains alone is the only rank of its world, so the training loop needs one path only; those that train
together are a `Group`. This module does not import torch, so that every verb can ask.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class World:
    """This process among those that train together: its rank, 0 … size - 1, and how many they are."""

    rank = 0
    size = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes files and talks to the user."""
        return self.rank == 0

    def sum_(self, tensor: torch.Tensor) -> None:
        """Replace a tensor by its sum over all ranks."""

    def mean_(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace tensors by their means over all ranks, all in one message."""

    def gather(self, value: Any) -> list[Any]:  # noqa: ANN401
        """Return every rank's value, in the order of ranks, on the first rank, and nothing on the others."""
        return [value]

    def stack(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return every rank's numbers, [size, *shape], on every rank."""
        return numbers[None]

    def wait_for_first(self, what: str) -> None:
        """Return once the first rank has come here too, however long that takes."""

    @contextmanager
    def first_before_others(self, what: str) -> Iterator[None]:
        """Let the first rank through alone, and then the others at once."""
        if not self.is_first:
            self.wait_for_first(what)
        yield
        if self.is_first:
            self.wait_for_first(what)


ALONE = World()
_world = ALONE


def current() -> World:
    """Return this process's world: itself alone, unless it has joined others."""
    return _world


def enter(world: World) -> None:
    """Set this process's world."""
    global _world
    _world = world


def has_others() -> bool:
    """Return whether this process was started to train together with others."""
    return int(os.environ.get("WORLD_SIZE") or 1) > 1


def local_rank() -> int:
    """Return this process's number among those of its node, which is that of its GPU too."""
    return int(os.environ.get("LOCAL_RANK") or 0)
