"""The bag of n-grams as it predicts: the sum of the weights of a text's n-grams.

Each n-gram counts once, and the sum is divided by the square root of the number of known n-grams, so that a text does
not get a higher score for being long. N-grams are identified by 32 bits of their hash. Two classes need one binary
problem; more classes have one problem each, against all others. `models/bow/fit.py` fits the weights.

Shapes: N texts, C classes, K binary problems (1 for two classes, else C), F n-grams.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from plaudit.errors import BundleError
from plaudit.models.base import Float32Array, Model, ModelSettings, ModelState
from plaudit.models.bow.settings import BowSettings
from plaudit.models.packed import int8_scale, int8_steps
from plaudit.text import reference
from plaudit.threads import map_threads

if TYPE_CHECKING:
    import pyarrow as pa

    from plaudit.text import kernel

StoredWeights = npt.NDArray[np.float16] | npt.NDArray[np.int8]

_REFERENCE_CHARACTERS = 100_000
"""A model scores its first characters in plain Python: that takes 0.1 s, while importing the compiler takes 0.4 s or
more."""

_CLIPPINGS: tuple[float, ...] = tuple(np.linspace(1, 0.05, 96).tolist())
"""Fractions of the largest weight that the range of int8 may cover."""


class BowModel(Model):
    """keys uint32 [F], sorted; weights float16 or int8 [F, K], in units of scale float32 [K]; bias float32 [K]."""

    Settings: ClassVar[type[ModelSettings]] = BowSettings
    settings: BowSettings

    def __init__(
        self,
        settings: BowSettings,
        labels: tuple[str, ...],
        *,
        keys: npt.NDArray[np.uint32],
        weights: StoredWeights,
        bias: Float32Array,
        scale: Float32Array | None = None,
    ) -> None:
        super().__init__(settings, labels)
        self.keys = keys
        self.weights = weights
        self.bias = bias
        self.scale = np.ones_like(bias) if scale is None else scale
        self._characters_left = _REFERENCE_CHARACTERS

    def logits(self, texts: Sequence[str]) -> Float32Array:
        """Return float32 [N, C]; plain Python and the compiled kernel differ only by the rounding of a float32 sum."""
        if self._characters_left > 0:
            self._characters_left -= sum(map(len, texts))
        scores = self._reference_scores(texts) if self._characters_left > 0 else self._kernel_scores(texts)
        return logits_of_problems(scores * self.scale + self.bias, self.settings.probabilities)

    def logits_of_column(self, texts: "pa.StringArray") -> Float32Array:
        """Return float32 [N, C], computed on the calling thread by the kernel, which reads the column's buffers."""
        from plaudit.text import kernel

        cleaning, table = self.tables
        is_l2 = self.settings.norm == "l2"
        scores = kernel.ngram_scores(
            *kernel.join_utf8(texts), cleaning, self.settings.max_order, table, is_l2, self.settings.characters
        )
        return logits_of_problems(scores * self.scale + self.bias, self.settings.probabilities)

    def _reference_scores(self, texts: Sequence[str]) -> Float32Array:
        scores = np.zeros((len(texts), len(self.bias)), np.float32)
        for i, text in enumerate(texts):
            hashes = reference.ngram_hashes(
                text, self.settings.cleaning, self.settings.max_order, self.settings.characters
            )
            keys = np.unique(np.array([value >> 32 for value in hashes], np.uint32))
            places = np.searchsorted(self.keys, keys)
            inside = places < len(self.keys)
            places, keys = places[inside], keys[inside]
            known = places[self.keys[places] == keys]
            scores[i] = self.weights[known].astype(np.float32).sum(axis=0)
            if self.settings.norm == "l2" and len(known):
                scores[i] /= np.sqrt(np.float32(len(known)))
        return scores

    def _kernel_scores(self, texts: Sequence[str]) -> Float32Array:
        from plaudit.text import kernel

        cleaning, table = self.tables  # before threads ask for them at once
        settings, is_l2 = self.settings, self.settings.norm == "l2"

        def scores(chunk: Sequence[str]) -> Float32Array:
            found: Float32Array = kernel.ngram_scores(
                *kernel.join_utf8(chunk), cleaning, settings.max_order, table, is_l2, settings.characters
            )
            return found

        return np.concatenate([np.zeros((0, len(table)), np.float32), *map_threads(scores, list(kernel.chunks(texts)))])

    @cached_property
    def tables(self) -> "tuple[kernel.CleaningTables, npt.NDArray[np.uint32]]":
        """What the kernel reads: the cleaning settings, and the weights before they are scaled, uint32 [K, S]."""
        from plaudit.text import kernel

        table = kernel.ngram_table(self.keys, self.weights.astype(np.float16), self.settings.slot_bits)
        return kernel.cleaning_tables(self.settings.cleaning), table

    def state(self) -> ModelState:
        """Return keys, weights, bias and, of int8 weights, their scale."""
        scale = {"scale": self.scale} if self.settings.storage == "int8" else {}
        return ModelState({"keys": self.keys, "weights": self.weights, "bias": self.bias, **scale})

    @classmethod
    def from_state(cls, settings: ModelSettings, labels: tuple[str, ...], state: ModelState) -> Self:
        """Rebuild a model; BundleError if a tensor is missing or shapes do not agree."""
        assert isinstance(settings, BowSettings)
        num_problems = len(positive_labels(labels))
        tensors: dict[str, Any] = state.tensors
        num_ngrams = tensors["keys"].size if "keys" in tensors else 0
        expected = {
            "keys": ("uint32", (num_ngrams,)),
            "weights": ("int8" if settings.storage == "int8" else "float16", (num_ngrams, num_problems)),
            "bias": ("float32", (num_problems,)),
        }
        if settings.storage == "int8":
            expected["scale"] = ("float32", (num_problems,))
        found = {name: (str(tensor.dtype), tensor.shape) for name, tensor in tensors.items()}
        if found != expected:
            raise BundleError(f"a bow model of {len(labels)} labels holds tensors {expected}, not {found}")
        return cls(settings, labels, **tensors)


def positive_labels(labels: Sequence[str]) -> Sequence[int]:
    """Return the positive label of each of the K binary problems; two classes need one problem."""
    return range(1, 2) if len(labels) == 2 else range(len(labels))


def logits_of_problems(scores: Float32Array, probabilities: str = "one-vs-rest") -> Float32Array:
    """Return the logits of the labels, float32 [N, C], given those of the binary problems, [N, K]."""
    if scores.shape[1] == 1:
        return np.concatenate([-scores / 2, scores / 2], axis=1)
    if probabilities == "softmax":
        return scores
    # The softmax of log-sigmoids is the normalized probability of one-against-the-rest classifiers.
    return -np.logaddexp(np.float32(0), -scores)


def quantized(model: BowModel) -> BowModel:
    """Return the same model with 8 bits a weight."""
    weights, scale = nearest_int8(model.weights * model.scale)
    settings = model.settings.model_copy(update={"storage": "int8"})
    return BowModel(settings, model.labels, keys=model.keys, weights=weights, bias=model.bias, scale=scale)


def pruned(model: BowModel, num_ngrams: int, slot_bits: int) -> BowModel:
    """Return the model with the n-grams of largest |weight| for any problem, one per slot of 2 ** slot_bits."""
    strength = np.abs(model.weights * model.scale).max(axis=1)
    by_strength = np.argsort(-strength, kind="stable")
    _, first_of_slot = np.unique(model.keys[by_strength] >> np.uint32(32 - slot_bits), return_index=True)
    kept = np.sort(by_strength[np.sort(first_of_slot)[:num_ngrams]])
    settings = model.settings.model_copy(update={"slot_bits": slot_bits})
    return BowModel(
        settings,
        model.labels,
        keys=model.keys[kept],
        weights=model.weights[kept],
        bias=model.bias,
        scale=model.scale,
    )


def nearest_int8(weights: npt.NDArray[np.floating[Any]]) -> tuple[npt.NDArray[np.int8], Float32Array]:
    """Return symmetric int8 [F, K] and its scale [K]; outliers are clipped where that lowers the squared error."""
    scale = int8_scale(weights.T.astype(np.float32), _CLIPPINGS)
    return int8_steps(weights, scale), scale
