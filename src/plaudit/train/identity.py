"""What must not change between a training's start and its resumption: settings as flat names, data as digests."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from plaudit.settings import Settings
from plaudit.text.encoded import EncodedTexts


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
