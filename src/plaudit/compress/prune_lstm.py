"""Prunes an LSTM to a smaller dense one by removing whole hidden units, embedding dimensions and words.

All weights of a hidden unit, its rows in the four gates and the columns that read it, are one group, as in intrinsic
sparse structures (Wen et al. 2018). A group lasso shrinks weak groups towards zero before they are cut.

Shapes: E embedding dimensions, H hidden units, V ids, P poolings, D directions, C classes.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from plaudit.models.base import Float32Array, ModelState
from plaudit.models.lstm.network import Direction, LSTMModel, LSTMNetwork
from plaudit.models.lstm.settings import LSTMSettings
from plaudit.models.packed import unpack
from plaudit.text.encoded import FIRST_WORD_ID, UNKNOWN_ID
from plaudit.text.vocabulary import Vocabulary

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sizes:
    """The sizes of a model, or those that it will be cut to."""

    hidden_size: int
    embedding_size: int
    num_words: int


def sizes(model: LSTMModel) -> Sizes:
    """Return the sizes of a model."""
    settings = _settings(model)
    return Sizes(settings.hidden_size, settings.embedding_size, model.encoder.num_tokens - FIRST_WORD_ID)


def cut(model: LSTMModel, target: Sizes, counts: IntArray) -> LSTMModel:
    """Return a model of the target sizes, of the strongest hidden units, embedding dimensions and words.

    A group is as strong as the norm of its weights. A word counts by how often it occurs, `counts` [V], and how far its
    vector is from that of the unknown word, as which it will be read once it is cut.
    """
    settings, network, vocabulary = _settings(model), model.network, model.encoder
    assert isinstance(network, LSTMNetwork) and isinstance(vocabulary, Vocabulary)
    tensors = unpack(model.state().tensors)
    ids = _strongest_words(tensors["embedding.weight"], counts, target.num_words)
    with torch.no_grad():
        dimensions = _largest(embedding_strengths(network).numpy(), target.embedding_size)
        strengths = unit_strengths(network)
        units = {place: _largest(strength.numpy(), target.hidden_size) for place, strength in strengths.items()}
    smaller = _cut_tensors(tensors, settings, ids, dimensions, units)
    # Words are not counted again when the smaller model is trained, so the settings of the vocabulary may stay.
    changed = {"hidden_size": target.hidden_size, "embedding_size": target.embedding_size}
    words = [vocabulary.words[id - FIRST_WORD_ID] for id in ids[FIRST_WORD_ID:]]
    state = ModelState(smaller, Vocabulary(words, vocabulary.cleaning).files())
    return LSTMModel.from_state(settings.model_copy(update=changed), model.labels, state)


def _strongest_words(embedding: Float32Array, counts: IntArray, num_words: int) -> IntArray:
    """Return the ids of the special tokens and of the words that stay."""
    strengths = np.linalg.norm(embedding - embedding[UNKNOWN_ID], axis=1) * np.sqrt(counts)
    words = _largest(strengths[FIRST_WORD_ID:], num_words) + FIRST_WORD_ID
    return np.concatenate([np.arange(FIRST_WORD_ID), words])


def _cut_tensors(
    tensors: dict[str, Float32Array],
    settings: LSTMSettings,
    ids: IntArray,
    dimensions: IntArray,
    units: dict[tuple[int, int], IntArray],
) -> dict[str, npt.NDArray[np.generic]]:
    """Return the tensors with only these ids, embedding dimensions, and units by direction and layer."""
    smaller = {
        "embedding.weight": tensors["embedding.weight"][ids][:, dimensions],
        "classifier.bias": tensors["classifier.bias"],
    }
    pooled = []
    num_poolings = len(settings.pooling)
    for (d, layer), kept in units.items():
        inputs = units[d, layer - 1] if layer else dimensions
        prefix = f"directions.{d}.layers.{layer}."
        rows = (np.arange(4)[:, None] * settings.hidden_size + kept).ravel()
        smaller[prefix + "weight_ih_l0"] = tensors[prefix + "weight_ih_l0"][rows][:, inputs]
        smaller[prefix + "weight_hh_l0"] = tensors[prefix + "weight_hh_l0"][rows][:, kept]
        for bias in ("bias_ih_l0", "bias_hh_l0"):
            smaller[prefix + bias] = tensors[prefix + bias][rows]
        if layer + 1 < settings.num_layers:
            continue
        pooled += [(d * num_poolings + p) * settings.hidden_size + kept for p in range(num_poolings)]
        if "attention" in settings.pooling:
            prefix = f"directions.{d}.attention."
            smaller[prefix + "weight"] = tensors[prefix + "weight"][:, kept]
            smaller[prefix + "bias"] = tensors[prefix + "bias"]
    smaller["classifier.weight"] = tensors["classifier.weight"][:, np.concatenate(pooled)]
    return {name: np.ascontiguousarray(tensor) for name, tensor in smaller.items()}


class GroupLasso:
    """The penalty: `strength` times the sum of the groups' norms (Yuan & Lin 2006)."""

    def __init__(self, model: LSTMModel, strength: float) -> None:
        assert isinstance(model.network, LSTMNetwork)
        self._network = model.network
        self.strength = strength

    def __call__(self) -> torch.Tensor:
        """Return what it adds to a step's loss."""
        norms = [embedding_strengths(self._network), *unit_strengths(self._network).values()]
        return self.strength * torch.cat(norms).sum()


def embedding_strengths(network: LSTMNetwork) -> torch.Tensor:
    """Return the norm of each embedding dimension's weights, [E]: its column, and the columns that read it."""
    readers = [cast(Any, direction.layers[0]).weight_ih_l0 for direction in _directions(network)]
    return _norm(*(weight.square().sum(0) for weight in (network.embedding.weight, *readers)))


def unit_strengths(network: LSTMNetwork) -> dict[tuple[int, int], torch.Tensor]:
    """Return, by direction and layer, the norm of each hidden unit's weights, [H]."""
    num_directions = len(network.directions)
    classifier = network.classifier.weight.square().sum(0)
    strengths = {}
    for d, direction in enumerate(_directions(network)):
        layers: list[Any] = list(direction.layers)
        for number, layer in enumerate(layers):
            hidden = layer.hidden_size
            recurrent = layer.weight_hh_l0.square()
            squares = [
                layer.weight_ih_l0.square().sum(1).view(4, hidden).sum(0),
                recurrent.sum(1).view(4, hidden).sum(0),
                recurrent.sum(0),
            ]
            if number + 1 < len(layers):
                squares.append(layers[number + 1].weight_ih_l0.square().sum(0))
            else:
                squares.append(classifier.view(num_directions, -1, hidden)[d].sum(0))
                if direction.attention is not None:
                    squares.append(direction.attention.weight.square()[0])
            strengths[d, number] = _norm(*squares)
    return strengths


def _directions(network: LSTMNetwork) -> list[Direction]:
    return [cast(Direction, direction) for direction in network.directions]


def _norm(*squares: torch.Tensor) -> torch.Tensor:
    # The gradient of a root is infinite at 0.
    return (torch.stack(squares).sum(0) + 1e-12).sqrt()


def _largest(strengths: Float32Array, number: int) -> IntArray:
    """Return the places of the `number` largest, in order."""
    return np.sort(np.argsort(-strengths, kind="stable")[:number])


def _settings(model: LSTMModel) -> LSTMSettings:
    assert isinstance(model.settings, LSTMSettings)
    return model.settings
