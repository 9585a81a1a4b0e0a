"""Where and how a training runs, apart from its settings and data, in one object."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console


@dataclass(frozen=True)
class EpochEnd:
    """How a training stands once it has validated: epochs and steps done, and the last validation's figures."""

    epoch: int
    step: int
    accuracy: float
    loss: float


@dataclass(frozen=True)
class TrainingContext:
    """The seed of a training, the folder of its metrics and checkpoints, and whether it resumes from them."""

    seed: int
    folder: Path
    resume: bool
    console: Console
    after_epoch: Callable[[EpochEnd], None] | None = None
    """Called after each epoch of a classifier, once its checkpoint is written; what it raises ends the training. For
    one process alone: other ranks would wait for it."""

    def within(self, *parts: str) -> "TrainingContext":
        """Return the context of a part of this training, in a folder of its own."""
        return replace(self, folder=self.folder.joinpath(*parts))
