"""The base of all torch models: an encoder from texts to ids, and a network from ids to logits.

The network is `forward(ids [B, T] int32, mask [B, T] bool) -> logits [B, C]` with padding after the text, which is all
that the training loop needs to know.

Shapes: N texts, B batch, T tokens, C classes.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import torch
from torch import nn

from plaudit.models.base import Float32Array, Model, ModelSettings, ModelState
from plaudit.models.corpus import Corpus, sorted_batches
from plaudit.models.packed import StoredSettings, check_shapes, pack, unpack
from plaudit.text.encoded import EncodedTexts, Encoder

INFERENCE_BATCH_TOKENS = 16_384


class TorchModel(Model):
    """A text classifier that is an encoder followed by a network."""

    settings: StoredSettings

    def __init__(
        self, settings: StoredSettings, labels: tuple[str, ...], *, encoder: Encoder, network: nn.Module
    ) -> None:
        super().__init__(settings, labels)
        self.encoder = encoder
        self.network = network

    @classmethod
    @abstractmethod
    def create(cls, settings: ModelSettings, labels: tuple[str, ...], texts: Sequence[str], *, seed: int) -> Self:
        """Return an untrained model on the CPU; its vocabulary, if it has one, is built from `texts`."""

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Return the ids to feed the network: truncated, and at least one for every text."""

    @property
    def device(self) -> torch.device:
        """The device of the network's weights."""
        return next(self.network.parameters()).device

    def to(self, device: torch.device) -> Self:
        """Move the network to a device and return the model itself."""
        self.network.to(device)
        return self

    @property
    def num_matmul_parameters(self) -> int:
        """Number of weights that every token is multiplied with: all matrices except embeddings.

        Training takes about six floating point operations per token and weight: two forward, four backward.
        """
        embeddings = {id(module.weight) for module in self.network.modules() if isinstance(module, nn.Embedding)}
        return sum(p.numel() for p in self.network.parameters() if p.dim() > 1 and id(p) not in embeddings)

    def logits(self, texts: Sequence[str]) -> Float32Array:
        """Return float32 [N, C], in evaluation mode and fp32; a text's row does not depend on the other texts."""
        result = np.empty((len(texts), len(self.labels)), dtype=np.float32)
        corpus = Corpus(self.encode(texts), self.device)
        was_training = self.network.training
        self.network.eval()
        for rows, logits in batch_logits(self.network, corpus):
            result[rows.cpu().numpy()] = logits.float().cpu().numpy()
        self.network.train(was_training)
        return result

    def state(self) -> ModelState:
        """Return the network's weights, packed as the settings say, and the encoder's files."""
        tensors = {
            name: np.array(tensor.detach().cpu().numpy())  # a copy: training on must not change it
            for name, tensor in self.network.state_dict().items()
        }
        return ModelState(pack(tensors, self.settings.storage), self.encoder.files())


def batch_logits(network: nn.Module, corpus: Corpus) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield row numbers [B] and logits [B, C] of each batch of the corpus."""
    for batch in sorted_batches(corpus, INFERENCE_BATCH_TOKENS):
        # Entered anew for each batch: a generator must not leave the mode switched on in its caller.
        with torch.inference_mode():
            logits = network(*corpus.batch(batch.rows, batch.width))
        yield batch.rows, logits


def load_weights(network: nn.Module, state: ModelState) -> None:
    """Copy a state's tensors into the network; BundleError if names or shapes differ."""
    tensors = unpack(state.tensors)
    check_shapes(tensors, {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()})
    network.load_state_dict({name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()})
