"""What a run remembers from step to step, and how a checkpoint saves and restores it."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from plaudit.distributed.exchange.base import Exchange
from plaudit.distributed.exchange.registry import mean_state
from plaudit.distributed.world import World
from plaudit.train.objectives import Objective


@dataclass
class Sums:
    """What steps add up to."""

    loss: float = 0.0
    correct: float = 0.0
    gradient_norm: float = 0.0
    reviews: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def add(self, other: "Sums") -> None:
        """Add another's to these."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class Position:
    """How far a run has come, and how well."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    best_accuracy: float = -1.0
    best_loss: float = math.inf
    """Validation loss of the epoch with the best accuracy."""
    epochs_without_better: int = 0


@dataclass
class State:
    """A run between two steps; `average` is the moving average of the network's weights, if it has one.

    `recent` sums up the steps since the last step event, `epoch_sums` those of the epoch before it.
    """

    network: nn.Module
    objective: Objective
    average: nn.Module | None
    optimizer: torch.optim.Optimizer
    exchange: Exchange
    position: Position = field(default_factory=Position)
    epoch_sums: Sums = field(default_factory=Sums)
    recent: Sums = field(default_factory=Sums)
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)

    def content(self, world: World) -> dict[str, Any] | None:
        """Return what a checkpoint holds of it, None on any rank but the first; all ranks must call this at once."""
        objective = self.objective.state_dict()
        for name, _ in self.objective.named_buffers():  # each rank holds a part, and zeros for the rest
            objective[name] = objective[name].clone()
            world.sum_(objective[name])
        weights = {
            "network": self.network.state_dict(),
            "objective": objective,
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        of_this_rank = {"exchange": self.exchange.state(), **(weights if self.exchange.ranks_differ else {})}
        of_ranks = world.gather(of_this_rank)
        if not world.is_first:
            return None
        return {
            "position": asdict(self.position),
            "epoch_sums": asdict(self.epoch_sums),
            "recent": asdict(self.recent),
            **weights,
            "ranks": of_ranks,
            "best_weights": self.best_weights,
        }

    def restore(self, content: dict[str, Any], world: World, device: torch.device) -> None:
        """Become what `content` was made of, on as many ranks as then or on others."""
        self.position = Position(**content["position"])
        self.epoch_sums = Sums(**content["epoch_sums"])
        self.recent = Sums(**content["recent"])
        ranks = content["ranks"]
        content = content | (ranks[world.rank] if len(ranks) == world.size else mean_state(ranks))
        self.network.load_state_dict(content["network"])
        self.objective.load_state_dict(content["objective"])
        if self.average is not None:
            self.average.load_state_dict(content["average"])
        self.best_weights = content["best_weights"]
        self.optimizer.load_state_dict(content["optimizer"])
        self.exchange.load_state(content["exchange"], device)
