"""The base of every model kind: texts in, logits out, and a state that a bundle can hold.

Shapes: N texts, C classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt

from plaudit.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

Float32Array = npt.NDArray[np.float32]


DECIMALS = 7
"""Decimals of a probability that is written out, as many as float32 has."""


class ModelSettings(Settings):
    """Base of the settings of every model kind."""

    kind: str


@dataclass(frozen=True)
class ModelState:
    """Everything a trained model needs apart from its settings and label names.

    `tensors` go into one safetensors file; `files` (name → bytes) hold what is not a tensor, such as a vocabulary.
    """

    tensors: dict[str, npt.NDArray[np.generic]]
    files: dict[str, bytes] = field(default_factory=dict)


class Model(ABC):
    """A text classifier of one kind."""

    Settings: ClassVar[type[ModelSettings]]

    def __init__(self, settings: ModelSettings, labels: tuple[str, ...]) -> None:
        self.settings = settings
        self.labels = labels

    @abstractmethod
    def logits(self, texts: Sequence[str]) -> Float32Array:
        """Return float32 [N, C]; their softmax is the model's probability of each label."""

    def logits_of_column(self, texts: "pa.StringArray") -> Float32Array:
        """Return the logits of an Arrow column without nulls; some kinds read it without making Python strings."""
        return self.logits(texts.to_pylist())

    @abstractmethod
    def state(self) -> ModelState:
        """Return the weights and files from which `from_state` rebuilds this model exactly."""

    @classmethod
    @abstractmethod
    def from_state(cls, settings: ModelSettings, labels: tuple[str, ...], state: ModelState) -> Self:
        """Rebuild a model; BundleError if the state does not fit the settings."""

    def predict_proba(self, texts: Sequence[str]) -> Float32Array:
        """Return the probability of each label, float32 [N, C]; rows sum to 1."""
        return softmax(self.logits(texts))


F = TypeVar("F", np.float32, np.float64)


def softmax(logits: npt.NDArray[F]) -> npt.NDArray[F]:
    """Return the softmax of logits [N, C]; rows sum to 1."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: npt.NDArray[F] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities
