"""How a bundle stores the weights of a network: with fewer bits, and without zeros where that is smaller.

A tensor NAME of fp32 values is stored as NAME itself, or in parts from which it is computed again:

    NAME.bf16     uint16   the upper half of each fp32
    NAME.int8     int8     q, with NAME.scale float32 [rows]: a value is q · scale of its row (the first dimension)
    NAME.nonzero  uint8    one bit for each value, first value in the highest bit; then only the others are stored,
                           as NAME.fp32, NAME.bf16 or NAME.int8 in one dimension, with NAME.shape int64

Vectors, of which a network has few, stay fp32. Packing unpacked values again gives the same values. Where zeros are
left out, a negative zero becomes a positive one.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from plaudit.errors import BundleError
from plaudit.models.base import Float32Array, ModelSettings

Storage = Literal["fp32", "bf16", "int8"]
Tensors = dict[str, npt.NDArray[np.generic]]

MAX_SHARE_OF_NONZERO = 0.85
"""Zeros are left out if the share of other values is less: the bit for each value costs an eighth of an int8."""

_PARTS = ("fp32", "bf16", "int8", "scale", "nonzero", "shape")
_INT8_MAX = 127
NO_CLIPPING: tuple[float, ...] = (1.0,)
CLIPPING: tuple[float, ...] = tuple(np.linspace(1.0, 0.5, 26).tolist())
"""Fractions of a row's largest value that its scale may cover."""


class StoredSettings(ModelSettings):
    """Base of the settings of kinds whose weights can be stored in fewer bits."""

    storage: Storage = "fp32"
    """How each weight of a matrix is stored: 32 bits, their upper 16, or 8 with a scale for each row."""


def pack(tensors: dict[str, Float32Array], storage: Storage) -> Tensors:
    """Return the parts of each tensor; values that `storage` cannot hold are rounded."""
    packed: Tensors = {}
    for name, tensor in tensors.items():
        packed |= _pack_one(name, tensor, storage if tensor.ndim > 1 else "fp32")
    return packed


def unpack(packed: Tensors) -> dict[str, Float32Array]:
    """Return the tensors of these parts; BundleError if a part is missing or does not fit the others."""
    names = dict.fromkeys(_tensor_name(part) for part in packed)
    try:
        return {name: _unpack_one(name, packed) for name in names}
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"weights: packed tensors that do not fit together ({error})") from None


def check_shapes(tensors: Mapping[str, Float32Array], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise BundleError if tensors have other names or shapes than a model's settings require."""
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if expected != shapes:
        name = sorted(set(expected.items()) ^ set(shapes.items()))[0][0]
        have, need = shapes.get(name, "missing"), expected.get(name, "nothing of that name")
        raise BundleError(f"weights: {name} is {have} where the settings ask for {need}")


def rounded(tensor: Float32Array, storage: Storage, clipping: Sequence[float]) -> Float32Array:
    """Return a tensor rounded to values that `storage` can hold; `clipping` as in `int8_scale`."""
    if tensor.ndim < 2 or storage == "fp32":
        return tensor
    if storage == "bf16":
        return _from_bf16(_to_bf16(tensor))
    scale = _column(int8_scale(tensor, clipping), tensor)
    return np.asarray(int8_steps(tensor, scale) * scale, np.float32)


def _tensor_name(part: str) -> str:
    name, _, end = part.rpartition(".")
    return name if end in _PARTS else part


def _pack_one(name: str, tensor: Float32Array, storage: Storage) -> Tensors:
    scale = int8_scale(tensor, CLIPPING) if storage == "int8" else None
    nonzero = tensor != 0
    if tensor.ndim == 1 or nonzero.mean() >= MAX_SHARE_OF_NONZERO:
        return _values(name, tensor, storage, scale, whole=True)
    parts: Tensors = {
        f"{name}.nonzero": np.packbits(nonzero.ravel()),
        f"{name}.shape": np.array(tensor.shape, np.int64),
    }
    of_values = None if scale is None else np.broadcast_to(_column(scale, tensor), tensor.shape)[nonzero]
    stored = _values(name, tensor[nonzero], storage, of_values, whole=False)
    if scale is not None:
        stored[f"{name}.scale"] = scale
    return parts | stored


def _values(name: str, values: Float32Array, storage: Storage, scale: Float32Array | None, *, whole: bool) -> Tensors:
    if storage == "bf16":
        return {f"{name}.bf16": _to_bf16(values)}
    if scale is not None:
        steps = int8_steps(values, _column(scale, values) if whole else scale)
        return {f"{name}.int8": steps, f"{name}.scale": scale}
    return {name if whole else f"{name}.fp32": values}


def _unpack_one(name: str, packed: Tensors) -> Float32Array:
    if name in packed:
        return np.asarray(packed[name], np.float32)
    if f"{name}.int8" in packed:
        values = packed[f"{name}.int8"].astype(np.float32)
    elif f"{name}.bf16" in packed:
        values = _from_bf16(np.asarray(packed[f"{name}.bf16"], np.uint16))
    else:
        values = np.asarray(packed[f"{name}.fp32"], np.float32)
    if f"{name}.nonzero" in packed:
        values = _scattered(values, packed[f"{name}.nonzero"], packed[f"{name}.shape"].tolist())
    if f"{name}.int8" in packed:
        values *= _column(np.asarray(packed[f"{name}.scale"], np.float32), values)
    return values


def _scattered(values: Float32Array, bits: npt.NDArray[np.generic], shape: list[int]) -> Float32Array:
    size = math.prod(shape)
    if len(bits) != -(-size // 8):
        raise ValueError(f"{len(bits)} bytes of bits for {size} values")
    nonzero = np.unpackbits(np.asarray(bits, np.uint8), count=size).astype(bool).reshape(shape)
    if values.shape != (nonzero.sum(),):
        raise ValueError(f"{values.size} values for {nonzero.sum()} places")
    tensor = np.zeros(shape, np.float32)
    tensor[nonzero] = values
    return tensor


def _column(scale: Float32Array, like: npt.NDArray[np.generic]) -> Float32Array:
    column: Float32Array = scale.reshape((len(like), *[1] * (like.ndim - 1)))
    return column


def int8_scale(tensor: Float32Array, clipping: Sequence[float]) -> Float32Array:
    """Return the step of each row, float32 [rows], that rounds it to int8 with the least squared error.

    127 steps cover one of the fractions `clipping` of a row's largest value; larger values are clipped.
    """
    rows = tensor.reshape(len(tensor), -1)
    full = np.abs(rows).max(axis=1, initial=0) / _INT8_MAX
    full[full < np.finfo(np.float32).tiny] = 1  # such a row becomes zeros, but its step must not be 0
    steps = rows / full[:, None]  # so that squares neither overflow nor vanish
    best, least = np.ones(len(rows)), np.full(len(rows), np.inf)
    for fraction in clipping:
        error = np.square(np.clip(np.rint(steps / fraction), -_INT8_MAX, _INT8_MAX) * fraction - steps).sum(axis=1)
        better = error < least * (1 - 1e-6)
        best, least = np.where(better, fraction, best), np.where(better, error, least)
    return np.asarray(full * best, np.float32)


def int8_steps(values: npt.NDArray[np.floating[Any]], scale: Float32Array) -> npt.NDArray[np.int8]:
    """Return each value as the nearest number of steps of `scale`, which broadcasts: -127 … 127."""
    return np.asarray(np.rint(values / scale).clip(-_INT8_MAX, _INT8_MAX), np.int8)


def _to_bf16(values: Float32Array) -> npt.NDArray[np.uint16]:
    """Round to the nearest, ties to even."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return np.asarray((bits + 0x7FFF + (bits >> 16 & 1)) >> 16, np.uint16)


def _from_bf16(halves: npt.NDArray[np.uint16]) -> Float32Array:
    values: Float32Array = (halves.astype(np.uint32) << 16).view(np.float32)
    return values
