"""The LSTM classifier: embedding, one or two directions of LSTM layers, pooling over time, linear layer.

Shapes: B batch, T tokens, E embedding, H hidden, C classes.

Two choices are for speed and for results that do not depend on padding. Packed sequences would leave
oneDNN's LSTM, which is three times as fast in bf16; so texts are padded at their end, inside batches of
nearly equal length. And the backward direction is a second LSTM over each text's ids in reverse, so that
padding never precedes a text there either. Each direction is pooled on its own, so its states need not be
turned round again.
"""

from collections.abc import Sequence
from typing import Literal, Self, cast

import torch
from pydantic import Field, model_validator
from torch import nn

from undertone.models.base import ModelSettings, ModelState
from undertone.models.torch_model import TorchModel, load_weights, without_empty
from undertone.text.cleaning import CleaningSettings
from undertone.text.encoded import UNKNOWN_ID, EncodedTexts, Encoder, Truncation
from undertone.text.vocabulary import Vocabulary

Pooling = Literal["mean", "max", "last", "attention"]


class LSTMSettings(ModelSettings):
    """Settings of `kind = "lstm"`; the defaults are what did best on IMDB's validation split (docs/training.md)."""

    kind: Literal["lstm"] = "lstm"
    cleaning: CleaningSettings = CleaningSettings()
    vocabulary_size: int = Field(10_000, ge=1)
    """Most frequent words that have a vector of their own; the rest share one."""
    min_count: int = Field(2, ge=1)
    """Words seen less often than this in training have no vector of their own."""
    max_tokens: int = Field(400, ge=1)
    truncation: Truncation = "head+tail"
    """What to keep of a text longer than max_tokens."""
    embedding_size: int = Field(128, ge=1)
    hidden_size: int = Field(128, ge=1)
    """Units of each layer and direction."""
    num_layers: int = Field(1, ge=1)
    bidirectional: bool = True
    pooling: tuple[Pooling, ...] = Field(("attention", "max"), min_length=1)
    """How a direction's states become one vector; several are concatenated."""
    word_dropout: float = Field(0.0, ge=0, lt=1)
    """Probability that a word is read as an unknown one."""
    embedding_dropout: float = Field(0.5, ge=0, lt=1)
    """On word vectors; the same units at every token of a text."""
    hidden_dropout: float = Field(0.0, ge=0, lt=1)
    """Between layers; the same units at every token of a text."""
    output_dropout: float = Field(0.5, ge=0, lt=1)
    """On the pooled vector."""

    @model_validator(mode="after")
    def _no_setting_without_effect(self) -> Self:
        if self.hidden_dropout and self.num_layers == 1:
            raise ValueError("hidden_dropout acts between layers; give num_layers ≥ 2 or leave it out")
        if len(set(self.pooling)) < len(self.pooling):
            raise ValueError("pooling names the same way twice; name each once")
        return self


class Direction(nn.Module):
    """LSTM layers that read texts one way, and the pooling of their states."""

    def __init__(self, settings: LSTMSettings) -> None:
        super().__init__()
        hidden = settings.hidden_size
        # One module per layer: dropout inside nn.LSTM would leave oneDNN's path.
        self.layers = nn.ModuleList(
            nn.LSTM(settings.embedding_size if layer == 0 else hidden, hidden) for layer in range(settings.num_layers)
        )
        self.pooling = settings.pooling
        self.hidden_dropout = settings.hidden_dropout
        self.attention = nn.Linear(hidden, 1) if "attention" in settings.pooling else None

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return pooled states, [B, H · poolings], of embedded texts, [T, B, E], with mask [T, B]."""
        for depth, layer in enumerate(self.layers):
            if depth:
                states = drop_units(states, self.hidden_dropout, training=self.training)
            states, _ = layer(states)
        return torch.cat([self._pool(how, states, mask) for how in self.pooling], dim=1)

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
        # The standard deviation of 1 that torch starts from drowns what a few epochs can teach a rare word.
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.directions = nn.ModuleList(Direction(settings) for _ in range(1 + settings.bidirectional))
        pooled_size = len(self.directions) * len(settings.pooling) * settings.hidden_size
        self.word_dropout = settings.word_dropout
        self.embedding_dropout = settings.embedding_dropout
        self.output_dropout = nn.Dropout(settings.output_dropout)
        self.classifier = nn.Linear(pooled_size, num_classes)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return logits [B, C] of ids [B, T], whose padding follows the text and is False in mask [B, T]."""
        if self.training and self.word_dropout:
            ids = ids.masked_fill(torch.rand(ids.shape, device=ids.device) < self.word_dropout, UNKNOWN_ID)
        orders = [ids] if len(self.directions) == 1 else [ids, reverse(ids, mask)]
        pooled = []
        for direction, ids_in_order in zip(self.directions, orders, strict=True):
            # Tokens first, as oneDNN wants them: texts first would have it copy its input, output and gradients.
            embedded = self.embedding(ids_in_order.t())
            embedded = drop_units(embedded, self.embedding_dropout, training=self.training)
            pooled.append(direction(embedded, mask.t()))
        logits: torch.Tensor = self.classifier(self.output_dropout(torch.cat(pooled, dim=1)))
        return logits


def drop_units(states: torch.Tensor, probability: float, *, training: bool) -> torch.Tensor:
    """Drop units of [T, B, H]: the same ones at every token of a text (Gal and Ghahramani 2016).

    Besides, drawing a mask for every token took a ninth of a training step.
    """
    if not training or not probability:
        return states
    kept = states.new_ones(1, states.shape[1], states.shape[2])
    return states * nn.functional.dropout(kept, probability)


def reverse(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return ids [B, T] with each text turned round and its padding left at the end."""
    positions = torch.arange(ids.shape[1], device=ids.device)
    turned = mask.sum(1, keepdim=True) - 1 - positions
    return ids.gather(1, torch.where(turned >= 0, turned, positions))


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

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Return the ids of each text's words: truncated, and at least one for every text."""
        settings = cast(LSTMSettings, self.settings)
        return without_empty(self.encoder.encode(texts).truncated(settings.max_tokens, settings.truncation))
