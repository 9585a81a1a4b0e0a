"""Pretrains the embedding and layers of an LSTM as a language model, on text without labels.

The loop is that of all training; the classifier stays untrained. `train/language_model.py` says what is minimized.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch

from plaudit.bundle.trained import LanguageModelFigures, Provenance, TrainedModel
from plaudit.distributed.world import current
from plaudit.errors import SettingsError
from plaudit.models.corpus import Corpus
from plaudit.models.lstm.network import LSTMModel, LSTMNetwork
from plaudit.models.torch_model import TorchModel
from plaudit.text.encoded import FIRST_WORD_ID
from plaudit.train.context import TrainingContext
from plaudit.train.device import choose_device
from plaudit.train.identity import identity_of, reviews_digest, state_digest
from plaudit.train.language_model import HeldOut, LanguageModel, Streams
from plaudit.train.loop import Trainer
from plaudit.train.settings import PretrainSettings

_MAX_VALIDATION_TEXTS = 512
"""Held-out texts to validate on: validation scores all words at each token, and a step only the sampled ones."""


def pretrain(
    model: TorchModel,
    settings: PretrainSettings,
    texts: Sequence[str],
    held_out: Sequence[str],
    context: TrainingContext,
    *,
    title: str = "language model",
) -> TrainedModel:
    """Train the embedding and the LSTM layers in place.

    Keeps the weights that predict most next words of `held_out` correctly, or of 512 evenly spaced texts of it.
    SettingsError if the model is no LSTM, or if the texts are too few for a step.
    """
    if not isinstance(model, LSTMModel):
        raise SettingsError(f"pretrain is for kind lstm, not {model.settings.kind}; leave the table out")
    if model.encoder.num_tokens < FIRST_WORD_ID + 2:
        raise SettingsError("pretrain needs at least two known words; lower min_count")
    device = choose_device(settings)
    num_validated = min(len(held_out), _MAX_VALIDATION_TEXTS)
    validated = [held_out[i * len(held_out) // num_validated] for i in range(num_validated)]
    encoded, encoded_held_out = model.encoder.encode(texts), model.encode(validated)
    model.to(device)
    network = cast(LSTMNetwork, model.network)
    world = current()
    streams = Streams(encoded, settings, from_end=network.from_end, seed=context.seed, device=device)
    if streams.num_streams < world.size:
        raise SettingsError(
            f"{world.size} ranks have {streams.num_streams} streams to read; raise pretrain.batch_tokens to "
            f"{world.size * settings.window_tokens} or more"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(context.seed)
        objective = LanguageModel(network, settings, num_streams=streams.num_streams).to(device)
    trainer = Trainer(
        model,
        streams,
        HeldOut(Corpus(encoded_held_out.share(world.rank, world.size), device), objective),
        settings,
        objective,
        replace(context, after_epoch=None),  # which reports accuracy on labels
        identity={
            **identity_of(context.seed, model=model.settings, pretrain=settings),
            "reviews": reviews_digest(encoded),
            "held-out reviews": reviews_digest(encoded_held_out),
            "starting weights": state_digest(model.state().tensors),
        },
        title=title,
    )
    trainer.run()
    figures = LanguageModelFigures(
        perplexity=math.exp(trainer.position.best_loss), accuracy=trainer.position.best_accuracy
    )
    provenance = Provenance(language_model=figures, train_seconds=trainer.position.seconds)
    return TrainedModel(model=model, provenance=provenance)
