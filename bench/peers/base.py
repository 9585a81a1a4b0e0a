"""What all programs in the comparison share: they get raw texts and labels, and predict labels.

For bench/peers.py, labels are 0, negative, and 1, positive. Each method imports the library it needs, so that no
process loads the library of another peer.
"""

import pickle
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from plaudit.bundle.locate import SHIPPED, shipped_models
from plaudit.predictor import load


@dataclass
class Peer(ABC):
    """One way to judge reviews; picklable before `train`, ready to `predict` after it or after `load`."""

    name: str
    settings: dict[str, Any]
    family: str | None = None
    """Peers of one family differ in settings only; validation shows which is best."""

    ours: ClassVar[bool] = False
    speed_only: ClassVar[bool] = False
    cached_seconds: ClassVar[float] = 0.0
    """Seconds of the processor that a cache saved the last call of `train` or `predict`."""

    @abstractmethod
    def train(self, texts: Sequence[str], labels: np.ndarray) -> float | None:
        """Learn from texts and labels, int64 [N], and return the seconds that took; None if they are unknown."""

    @abstractmethod
    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """Return the label of each text, int or bool [N]."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what has to be shipped to predict, and nothing else."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""


class FittedPeer(Peer):
    """A peer whose `fit` is timed, and which is shipped as a pickle of what `fit` has set."""

    @abstractmethod
    def fit(self, texts: Sequence[str], labels: np.ndarray) -> None:
        """Fit to texts and labels, int64 [N]."""

    def train(self, texts, labels):
        """Time `fit`."""
        start = time.perf_counter()
        self.fit(texts, labels)
        return time.perf_counter() - start

    def save(self, folder):
        """Pickle everything."""
        (folder / "model.pickle").write_bytes(pickle.dumps(vars(self), protocol=pickle.HIGHEST_PROTOCOL))

    def load(self, folder):
        """Take everything from the pickle."""
        vars(self).update(pickle.loads((folder / "model.pickle").read_bytes()))


class Plaudit(Peer):
    """A finished Plaudit model; setting `model` is a shipped model's name or a model folder."""

    ours = True

    def train(self, texts, labels):
        """Return how long its training took, by its own account."""
        return load(self.settings["model"]).provenance.train_seconds

    def save(self, folder):
        """Copy the model folder."""
        model = self.settings["model"]
        shutil.copytree(SHIPPED / model if model in shipped_models() else model, folder, dirs_exist_ok=True)

    def load(self, folder):
        """Load the model folder."""
        self.predictor = load(folder)

    def predict(self, texts):
        """Return the most probable label."""
        return self.predictor.predict_proba(texts).argmax(axis=1) == self.predictor.labels.index("positive")
