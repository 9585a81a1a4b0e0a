"""The LSTM classifier: embedding, one or two directions of LSTM layers, pooling over time, linear layer.

Shapes: B batch, T tokens, E embedding, H hidden, C classes.

Two choices make it fast, and independent of padding. Packed sequences would bypass oneDNN's LSTM, which is three times
as fast in bf16; so texts are padded at their end, in batches of nearly equal length. And the backward direction is a
second LSTM over each text's ids in reverse, so that padding never precedes a text there either. Each direction is
pooled on its own, so its states need not be reversed again.
"""

from collections.abc import Sequence
from typing import Self, cast

import torch
from torch import nn

from plaudit.errors import SettingsError
from plaudit.models.base import ModelSettings, ModelState
from plaudit.models.lstm.settings import LSTMSettings, Pooling
from plaudit.models.torch_model import TorchModel, load_weights
from plaudit.text.encoded import EncodedTexts, Encoder, without_empty
from plaudit.text.vocabulary import Vocabulary

_LAYER_SETTINGS = (
    "cleaning",
    "vocabulary_size",
    "min_count",
    "embedding_size",
    "hidden_size",
    "num_layers",
    "bidirectional",
    "backward",
)
"""Settings that fix the shapes of embedding and layers."""


class Direction(nn.Module):
    """The LSTM layers of one reading direction, and the pooling of their states."""

    def __init__(self, settings: LSTMSettings) -> None:
        super().__init__()
        hidden = settings.hidden_size
        self.layers = nn.ModuleList(
            nn.LSTM(settings.embedding_size if layer == 0 else hidden, hidden) for layer in range(settings.num_layers)
        )
        self.pooling = settings.pooling
        self.attention = nn.Linear(hidden, 1) if "attention" in settings.pooling else None

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return pooled states, [B, H · poolings], of embedded texts, [T, B, E], with mask [T, B]."""
        states = self.states(states)
        return torch.cat([self._pool(how, states, mask) for how in self.pooling], dim=1)

    def states(self, states: torch.Tensor) -> torch.Tensor:
        """Return the last layer's states, [T, B, H], of embedded texts, [T, B, E]."""
        return self.run(states, [None] * len(self.layers))[0]

    def run(
        self, states: torch.Tensor, initial: Sequence[torch.Tensor | None] | torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the last layer's states, [T, B, H], of embedded texts, [T, B, E], and the final state of every layer.

        Initial and final states are hidden states and cells, [L, 2, B, H]; an initial state of None means zeros.
        """
        final = []
        for layer, start in zip(self.layers, initial, strict=True):
            states, end = layer(states) if start is None else layer(states, (start[:1], start[1:]))
            final.append(torch.cat(end))
        return states, torch.stack(final)

    def _pool(self, how: Pooling, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        lengths = mask.sum(0, keepdim=True)
        if how == "last":
            index = (lengths - 1)[:, :, None].expand(-1, -1, states.shape[2])
            return states.gather(0, index).squeeze(0)
        if how == "max":
            return states.masked_fill(~mask[:, :, None], float("-inf")).max(0).values
        if how == "mean":
            weights = mask / lengths
        else:
            assert self.attention is not None
            weights = self.attention(states).squeeze(2).masked_fill(~mask, float("-inf")).softmax(0)
        return (weights.to(states.dtype)[:, :, None] * states).sum(0)


class LSTMNetwork(nn.Module):
    """ids, mask → logits."""

    def __init__(self, settings: LSTMSettings, *, num_tokens: int, num_classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, settings.embedding_size)
        # With torch's standard deviation of 1, a few epochs barely change the vector of a rare word.
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.from_end = settings.from_end
        self.directions = nn.ModuleList(Direction(settings) for _ in self.from_end)
        pooled_size = len(self.directions) * len(settings.pooling) * settings.hidden_size
        self.embedding_dropout = settings.embedding_dropout
        self.output_dropout = nn.Dropout(settings.output_dropout)
        self.classifier = nn.Linear(pooled_size, num_classes)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return logits [B, C] of ids [B, T], whose padding follows the text and is False in mask [B, T]."""
        return self.classify(self.features(ids, mask))

    def features(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the pooled states of all directions, [B, H · poolings · directions]."""
        return self.encode(self.word_vectors(ids, mask), mask)

    def word_vectors(self, ids: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        """Return word vectors, [T, B, E], in the reading order of each direction."""
        return [self.embed(ordered) for ordered in self.ids_by_direction(ids, mask)]

    def encode(self, word_vectors: Sequence[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
        """Return the pooled states of all directions, given the word vectors of each."""
        pooled = [direction(v, mask.t()) for direction, v in zip(self.directions, word_vectors, strict=True)]
        return torch.cat(pooled, dim=1)

    def ids_by_direction(self, ids: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        """Return ids [B, T] in the reading order of each direction."""
        return [reverse(ids, mask) if from_end else ids for from_end in self.from_end]

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Return word vectors, [T, B, E], of ids [B, T], some units dropped in training."""
        # Tokens first, as oneDNN takes them; with texts first it would copy its input, output and gradients.
        return drop_units(self.embedding(ids.t()), self.embedding_dropout, training=self.training)

    def stages(self) -> list[list[nn.Module]]:
        """Return the network's modules, grouped from the embedding up to the classifier."""
        directions = [cast(Direction, direction) for direction in self.directions]
        attention = [direction.attention for direction in directions if direction.attention is not None]
        layers = zip(*(direction.layers for direction in directions), strict=True)
        return [[self.embedding], *map(list, layers), [*attention, self.classifier]]

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits [B, C] of pooled states."""
        logits: torch.Tensor = self.classifier(self.output_dropout(features))
        return logits


def drop_units(states: torch.Tensor, probability: float, *, training: bool) -> torch.Tensor:
    """Drop the same units of [T, B, H] at every token of a text (Gal and Ghahramani 2016).

    Drawing a mask for every token also took a ninth of a training step.
    """
    if not training or not probability:
        return states
    kept = states.new_ones(1, states.shape[1], states.shape[2])
    return states * nn.functional.dropout(kept, probability)


def reverse(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return ids [B, T] with each text reversed and its padding left at the end."""
    positions = torch.arange(ids.shape[1], device=ids.device)
    reversed_positions = mask.sum(1, keepdim=True) - 1 - positions
    return ids.gather(1, torch.where(reversed_positions >= 0, reversed_positions, positions))


class LSTMModel(TorchModel):
    """An LSTM over a vocabulary of words."""

    Settings = LSTMSettings

    @classmethod
    def create(cls, settings: ModelSettings, labels: tuple[str, ...], texts: Sequence[str], *, seed: int) -> Self:
        """Build the vocabulary from `texts` and initialize the weights from `seed`."""
        assert isinstance(settings, LSTMSettings)
        settings = settings.model_copy(update={"cleaning": settings.cleaning.resolved()})
        vocabulary = Vocabulary.build(
            texts, settings.cleaning, max_words=settings.vocabulary_size, min_count=settings.min_count
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls._assemble(settings, labels, vocabulary)

    @classmethod
    def from_state(cls, settings: ModelSettings, labels: tuple[str, ...], state: ModelState) -> Self:
        """Rebuild a model; BundleError if the weights do not fit the settings or the vocabulary."""
        assert isinstance(settings, LSTMSettings)
        model = cls._assemble(settings, labels, Vocabulary.from_files(state.files, settings.cleaning))
        load_weights(model.network, state)
        return model

    @classmethod
    def _assemble(cls, settings: LSTMSettings, labels: tuple[str, ...], encoder: Encoder) -> Self:
        network = LSTMNetwork(settings, num_tokens=encoder.num_tokens, num_classes=len(labels))
        return cls(settings, labels, encoder=encoder, network=network)

    def with_new_classifier(self, settings: ModelSettings, labels: tuple[str, ...], *, seed: int) -> Self:
        """Return a model with this one's vocabulary, embedding and layers, and everything else new.

        SettingsError if the settings describe another embedding or other layers.
        """
        assert isinstance(settings, LSTMSettings)
        settings = settings.model_copy(update={"cleaning": settings.cleaning.resolved()})
        for name in _LAYER_SETTINGS:
            old, new = getattr(self.settings, name), getattr(settings, name)
            if old != new:
                raise SettingsError(f"{name} = {new!r}: the pretrained model has {old!r}; give the same")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self._assemble(settings, labels, self.encoder)
        kept = {n: t for n, t in self.network.state_dict().items() if "attention" not in n and "classifier" not in n}
        model.network.load_state_dict(kept, strict=False)
        return model

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Return the ids of each text's words: truncated, and at least one for every text."""
        settings = cast(LSTMSettings, self.settings)
        return without_empty(self.encoder.encode(texts).truncated(settings.max_tokens, settings.truncation))
