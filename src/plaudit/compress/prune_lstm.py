"""Pruning an LSTM to a smaller dense one: whole hidden units, embedding dimensions and words go.

What belongs to a hidden unit, its rows in all four gates and all that reads it, is one group, as in intrinsic sparse
structures (Wen et al. 2018). A group lasso on these groups drives weak ones towards zero before they are cut.

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
    """How much of a model there is, or is to be left."""

    hidden_size: int
    embedding_size: int
    num_words: int


def sizes(model: LSTMModel) -> Sizes:
    """Return the sizes of a model."""
    settings = _settings(model)
    return Sizes(settings.hidden_size, settings.embedding_size, model.encoder.num_tokens - FIRST_WORD_ID)


def cut(model: LSTMModel, target: Sizes, counts: IntArray) -> LSTMModel:
    """Return a model of the target sizes, of the strongest hidden units, embedding dimensions and words.

    A group is as strong as the norm of its weights. A word counts by how far its vector is from that of the unknown
    word, as which it will be read once it is cut, and by how often it occurs: `counts`, [V].
    """
    settings = _settings(model)
    tensors = unpack(model.state().tensors)
    embedding = tensors["embedding.weight"]
    distance = np.linalg.norm(embedding - embedding[UNKNOWN_ID], axis=1) * np.sqrt(counts)
    words = _largest(distance[FIRST_WORD_ID:], target.num_words) + FIRST_WORD_ID
    ids = np.concatenate([np.arange(FIRST_WORD_ID), words])
    network = model.network
    assert isinstance(network, LSTMNetwork)
    with torch.no_grad():
        dimensions = _largest(embedding_strengths(network).numpy(), target.embedding_size)
        units = {
            place: _largest(strength.numpy(), target.hidden_size) for place, strength in unit_strengths(network).items()
        }
    smaller = {"embedding.weight": embedding[ids][:, dimensions]}
    pooled = []
    for d in range(len(network.directions)):
        inputs = dimensions
        for layer in range(settings.num_layers):
            kept = units[d, layer]
            rows = (np.arange(4)[:, None] * settings.hidden_size + kept).ravel()
            prefix = f"directions.{d}.layers.{layer}."
            smaller[prefix + "weight_ih_l0"] = tensors[prefix + "weight_ih_l0"][rows][:, inputs]
            smaller[prefix + "weight_hh_l0"] = tensors[prefix + "weight_hh_l0"][rows][:, kept]
            for bias in ("bias_ih_l0", "bias_hh_l0"):
                smaller[prefix + bias] = tensors[prefix + bias][rows]
            inputs = kept
        if "attention" in settings.pooling:
            prefix = f"directions.{d}.attention."
            smaller[prefix + "weight"] = tensors[prefix + "weight"][:, inputs]
            smaller[prefix + "bias"] = tensors[prefix + "bias"]
        num_poolings = len(settings.pooling)
        pooled += [(d * num_poolings + p) * settings.hidden_size + inputs for p in range(num_poolings)]
    smaller["classifier.weight"] = tensors["classifier.weight"][:, np.concatenate(pooled)]
    smaller["classifier.bias"] = tensors["classifier.bias"]
    assert isinstance(model.encoder, Vocabulary)
    vocabulary = Vocabulary([model.encoder.words[i - FIRST_WORD_ID] for i in words], model.encoder.cleaning)
    changed = {"hidden_size": target.hidden_size, "embedding_size": target.embedding_size}
    # Words are not counted anew when the smaller model is trained on, so what made the vocabulary may stay as it was.
    tensors_of_state = {name: np.ascontiguousarray(tensor) for name, tensor in smaller.items()}
    state = ModelState(tensors_of_state, vocabulary.files())
    return LSTMModel.from_state(settings.model_copy(update=changed), model.labels, state)


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
