"""The LSTM classifier for prediction: without torch, and for a few texts without a compiler.

`_features` computes in numpy what `LSTMNetwork` computes in torch. It scores the first texts of a process, and tests
compare the compiled kernel with it. The kernel (`kernel.py`) reads the gate inputs of the first layer from a table with
one row per word: the product of embedding and input weights plus biases, computed when the kernel is first needed.

Shapes: N texts, T tokens, V distinct tokens, E embedding, H hidden, P H padded for the kernel, F features, C classes.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

import numpy as np

from plaudit.models.base import Float32Array, Model, ModelSettings, ModelState
from plaudit.models.lstm.settings import LSTMSettings, Pooling
from plaudit.models.packed import check_shapes, pack, unpack
from plaudit.text.encoded import EncodedTexts, without_empty
from plaudit.text.vocabulary import Vocabulary
from plaudit.threads import map_threads, num_threads

if TYPE_CHECKING:
    from plaudit.models.lstm.kernel import Layer

_REFERENCE_CHARACTERS = 100_000
"""A model scores its first characters in numpy: that takes 0.3 s, while importing the compiler takes 0.4 s or more."""

_CHUNK = 256
"""Most texts that a thread takes at once: enough to read tables from its cache, but no more, since the gate inputs of a
second layer are in memory for all of them."""

_LAYER_TENSORS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


class _Layer(NamedTuple):
    """Weights as torch lays them out, gates in the order input, forget, cell, output; I is E or, higher up, H."""

    from_inputs: Float32Array
    """[4H, I]"""
    from_hidden: Float32Array
    """[4H, H]"""
    bias: Float32Array
    """[4H]"""


class _Direction(NamedTuple):
    layers: list[_Layer]
    attention: Float32Array
    """Weights of the attention score, [H], or [0] without attention; its bias has no effect."""


class _Compiled(NamedTuple):
    """A layer in the form of the kernel: its gate inputs are inputs · projection + bias."""

    projection: Float32Array
    """[I, 4P]; in the first layer the whole table, [V, 4P], bias included."""
    bias: Float32Array
    """[4P]"""
    layer: "Layer"


class LSTMRuntime(Model):
    """Predicts the same as an LSTMModel of the same state, up to fp32 rounding."""

    Settings: ClassVar[type[ModelSettings]] = LSTMSettings
    settings: LSTMSettings

    def __init__(
        self,
        settings: LSTMSettings,
        labels: tuple[str, ...],
        *,
        vocabulary: Vocabulary,
        weights: dict[str, Float32Array],
    ) -> None:
        super().__init__(settings, labels)
        self.vocabulary = vocabulary
        self.weights = weights
        self._characters_left = _REFERENCE_CHARACTERS

    @classmethod
    def from_state(cls, settings: ModelSettings, labels: tuple[str, ...], state: ModelState) -> Self:
        """Rebuild a model; BundleError if the weights do not fit the settings or the vocabulary."""
        assert isinstance(settings, LSTMSettings)
        vocabulary = Vocabulary.from_files(state.files, settings.cleaning)
        weights = unpack(state.tensors)
        check_shapes(weights, dict(_shapes(settings, num_tokens=vocabulary.num_tokens, num_classes=len(labels))))
        return cls(settings, labels, vocabulary=vocabulary, weights=weights)

    def state(self) -> ModelState:
        """Return the weights and the vocabulary as LSTMModel does."""
        return ModelState(pack(self.weights, self.settings.storage), self.vocabulary.files())

    def logits(self, texts: Sequence[str]) -> Float32Array:
        """Return float32 [N, C]; numpy and the kernel differ by about 1e-5."""
        self._characters_left -= sum(map(len, texts))
        features = self._reference_features(texts) if self._characters_left > 0 else self._kernel_features(texts)
        return features @ self.weights["classifier.weight"].T + self.weights["classifier.bias"]

    def _reference_features(self, texts: Sequence[str]) -> Float32Array:
        encoded = self._truncate(self.vocabulary.encode_few(texts))
        features = self._empty_features(len(texts))
        for i, (start, end) in enumerate(pairwise(encoded.offsets)):
            embedded = self.weights["embedding.weight"][encoded.ids[start:end]]
            features[i] = np.concatenate(
                [
                    _features(direction, embedded[::-1] if from_end else embedded, self.settings.pooling)
                    for direction, from_end in zip(self._directions, self.settings.from_end, strict=True)
                ]
            )
        return features

    def _kernel_features(self, texts: Sequence[str]) -> Float32Array:
        compiled = self._compiled  # before threads ask for it at once
        size = max(1, min(_CHUNK, -(-len(texts) // num_threads())))
        chunks = [texts[start : start + size] for start in range(0, len(texts), size)]
        parts = map_threads(lambda chunk: self._chunk_features(chunk, compiled), chunks)
        return np.concatenate([self._empty_features(0), *parts])

    def _chunk_features(self, texts: Sequence[str], compiled: list[list[_Compiled]]) -> Float32Array:
        from plaudit.models.lstm.kernel import POOLS, run_layer

        encoded = self._truncate(self.vocabulary.encode(texts))
        ids, offsets, lengths = encoded.ids, encoded.offsets, encoded.lengths
        longest_first = np.argsort(-lengths, kind="stable")
        pools = [POOLS.index(how) for how in self.settings.pooling]
        features = []
        for layers, from_end in zip(compiled, self.settings.from_end, strict=True):
            row_ids, starts = (ids[::-1].copy(), len(ids) - offsets[1:]) if from_end else (ids, offsets[:-1])
            rows = layers[0].projection
            for below, above in pairwise(layers):
                states = np.empty((len(ids), rows.shape[1] // 4), np.float32)
                run_layer(below.layer, rows, row_ids, starts, lengths, longest_first, states)
                rows = states @ above.projection + above.bias
                row_ids = np.arange(len(rows), dtype=np.int32)
            unused = np.empty((0, 0), np.float32)
            pooled = run_layer(layers[-1].layer, rows, row_ids, starts, lengths, longest_first, unused)
            features.append(pooled[:, pools, : self.settings.hidden_size].reshape(len(texts), -1))
        return np.concatenate(features, axis=1)

    def _truncate(self, encoded: EncodedTexts) -> EncodedTexts:
        return without_empty(encoded.truncated(self.settings.max_tokens, self.settings.truncation))

    def _empty_features(self, num_texts: int) -> Float32Array:
        return np.empty((num_texts, self.weights["classifier.weight"].shape[1]), np.float32)

    @cached_property
    def _directions(self) -> list[_Direction]:
        directions = []
        for prefix in [f"directions.{direction}" for direction in range(len(self.settings.from_end))]:
            layers = []
            for depth in range(self.settings.num_layers):
                names = (f"{prefix}.layers.{depth}.{name}" for name in _LAYER_TENSORS)
                from_inputs, from_hidden, bias, more_bias = (self.weights[name] for name in names)
                layers.append(_Layer(from_inputs, from_hidden, bias + more_bias))
            attention = self.weights.get(f"{prefix}.attention.weight", np.empty((1, 0), np.float32))
            directions.append(_Direction(layers, attention[0]))
        return directions

    @cached_property
    def _compiled(self) -> list[list[_Compiled]]:
        return [_compile(direction, self.weights["embedding.weight"]) for direction in self._directions]


def _compile(direction: _Direction, embedding: Float32Array) -> list[_Compiled]:
    from plaudit.models.lstm.kernel import Layer, padded, tiled

    compiled = []
    for depth, (from_inputs, from_hidden, bias) in enumerate(direction.layers):
        num_hidden = from_hidden.shape[1]
        unused = padded(num_hidden) - num_hidden
        projection = np.concatenate(tiled(from_inputs.T), axis=1)
        bias = np.concatenate(tiled(bias))
        projection = np.pad(projection, ((0, unused), (0, 0))) if depth else embedding @ projection + bias
        recurrent = np.concatenate([tile.ravel() for tile in tiled(from_hidden.T)])
        is_pooled = depth == len(direction.layers) - 1 and len(direction.attention) > 0
        attention = np.pad(direction.attention, (0, unused)) if is_pooled else np.empty(0, np.float32)
        compiled.append(_Compiled(projection, bias, Layer(recurrent, attention, num_hidden)))
    return compiled


def _shapes(settings: LSTMSettings, *, num_tokens: int, num_classes: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of each tensor of LSTMNetwork."""
    hidden = settings.hidden_size
    num_directions = len(settings.from_end)
    yield "embedding.weight", (num_tokens, settings.embedding_size)
    for direction in range(num_directions):
        prefix = f"directions.{direction}"
        for depth in range(settings.num_layers):
            inputs = hidden if depth else settings.embedding_size
            shapes = ((4 * hidden, inputs), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,))
            for name, shape in zip(_LAYER_TENSORS, shapes, strict=True):
                yield f"{prefix}.layers.{depth}.{name}", shape
        if "attention" in settings.pooling:
            yield f"{prefix}.attention.weight", (1, hidden)
            yield f"{prefix}.attention.bias", (1,)
    yield "classifier.weight", (num_classes, num_directions * len(settings.pooling) * hidden)
    yield "classifier.bias", (num_classes,)


def _features(direction: _Direction, inputs: Float32Array, pooling: tuple[Pooling, ...]) -> Float32Array:
    """Return the pooled states, [poolings · H], of one text, [T, E] in reading order."""
    for layer in direction.layers:
        inputs = _states(layer, inputs)
    return np.concatenate([_pooled(how, inputs, direction.attention) for how in pooling])


def _states(layer: _Layer, inputs: Float32Array) -> Float32Array:
    """Return the states of one text, [T, H], of inputs [T, I]."""
    num_hidden = layer.from_hidden.shape[1]
    states = np.empty((len(inputs), num_hidden), np.float32)
    hidden = cell = np.zeros(num_hidden, np.float32)
    for t, from_inputs in enumerate(inputs @ layer.from_inputs.T + layer.bias):
        gates = (from_inputs + layer.from_hidden @ hidden).reshape(4, num_hidden)
        i, f, _, o = _sigmoid(gates)  # also of the cell's gate: one call is cheaper than two
        cell = f * cell + i * np.tanh(gates[2])
        states[t] = hidden = o * np.tanh(cell)
    return states


def _pooled(how: Pooling, states: Float32Array, attention: Float32Array) -> Float32Array:
    pooled: Float32Array
    if how == "last":
        pooled = states[-1]
    elif how == "max":
        pooled = states.max(axis=0)
    elif how == "mean":
        pooled = states.mean(axis=0)
    else:
        scores = states @ attention
        weights = np.exp(scores - scores.max())
        pooled = weights @ states / weights.sum()
    return pooled


def _sigmoid(x: Float32Array) -> Float32Array:
    half = np.float32(0.5)
    result: Float32Array = half + half * np.tanh(half * x)  # 1 / (1 + exp(-x)) overflows
    return result
