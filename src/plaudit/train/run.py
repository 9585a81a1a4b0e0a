"""What every training is told besides settings and data, and how a resumed one is known to be the same."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt
from rich.console import Console

from plaudit.settings import Settings
from plaudit.text.encoded import EncodedTexts


@dataclass(frozen=True)
class EpochEnd:
    """How a training stands once it has validated: epochs and steps done, and the last validation's figures."""

    epoch: int
    step: int
    accuracy: float
    loss: float


class Run(TypedDict):
    """What every training is told besides settings and data."""

    seed: int
    run_dir: Path
    """Receives metrics and checkpoints of torch kinds."""
    resume: bool
    console: Console
    after_epoch: NotRequired[Callable[[EpochEnd], None] | None]
    """Hears of each epoch of a classifier once its checkpoint is written; what it raises ends the training. For one
    process alone: other ranks would wait for it."""


def identity_of(seed: int, **tables: Settings) -> dict[str, Any]:
    """Return seed and settings under the names that messages call them by, such as train.epochs."""
    identity: dict[str, Any] = {"seed": seed}
    for name, settings in tables.items():
        identity |= _flat(name, settings.model_dump(mode="json"))
    return identity


def reviews_digest(encoded: EncodedTexts, *arrays: npt.NDArray[np.generic] | None) -> str:
    """Return a digest of texts and of what is known of them."""
    digest = hashlib.sha256()
    for array in (encoded.ids, encoded.offsets, *arrays):
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def state_digest(tensors: Mapping[str, npt.NDArray[np.generic]]) -> str:
    """Return a digest of weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()[:16]


def _flat(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    flat = {}
    for name, value in values.items():
        path = f"{prefix}.{name}"
        flat.update(_flat(path, value) if isinstance(value, dict) else {path: value})
    return flat
