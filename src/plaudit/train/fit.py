"""Train networks, new or trained before, on labels or on a teacher's predictions."""

import time
from collections.abc import Sequence
from typing import TypeAlias, cast

import pyarrow as pa
import torch

from plaudit.bundle.trained import TrainedModel
from plaudit.data.splits import Splits
from plaudit.distributed.world import current
from plaudit.errors import SettingsError
from plaudit.models.base import Float32Array, ModelSettings
from plaudit.models.corpus import Corpus
from plaudit.models.kinds import model_class
from plaudit.models.lstm.network import LSTMModel
from plaudit.models.lstm.settings import LSTMSettings
from plaudit.models.torch_model import TorchModel
from plaudit.train.batches import ShuffledBatches
from plaudit.train.context import TrainingContext
from plaudit.train.device import choose_device
from plaudit.train.identity import identity_of, reviews_digest, state_digest
from plaudit.train.labels import labels_of
from plaudit.train.loop import Trainer
from plaudit.train.objectives import LabelObjective, Penalty
from plaudit.train.pretrain import pretrain
from plaudit.train.settings import ObjectiveSettings, PretrainSettings, TrainSettings
from plaudit.train.targets import Targets
from plaudit.train.validation import LabelledCorpus

Start: TypeAlias = PretrainSettings | LSTMModel | None
"""What a network starts with: a language model that is yet to be trained, a trained model's layers, or nothing."""


def fit_network(
    settings: ModelSettings,
    train: TrainSettings,
    splits: Splits,
    context: TrainingContext,
    *,
    start: Start = None,
    objective: ObjectiveSettings | None = None,
) -> TrainedModel:
    """Train a network on the train split and choose its weights on the validation split.

    With a loss that needs no label, it learns from unlabelled reviews too. SettingsError if a resumed training is given
    other settings or data than it began with.
    """
    objective = objective or ObjectiveSettings()
    reviews = pa.concat_tables([splits.train, splits.unlabelled]) if objective.needs_no_label else splits.train
    model, seconds = new_model(settings, splits, splits.train["text"].to_pylist(), start, context)
    began = time.perf_counter()
    texts, targets = reviews["text"].to_pylist(), Targets(labels_of(reviews))
    trainer = label_trainer(model, train, texts, targets, splits.validation, context, objective=objective)
    seconds += time.perf_counter() - began
    return trainer.run().plus_seconds(seconds)


def new_model(
    settings: ModelSettings, splits: Splits, texts: Sequence[str], start: Start, context: TrainingContext
) -> tuple[TorchModel, float]:
    """Return a model whose classifier is untrained, and the seconds it took, those before a resumption included.

    Its vocabulary is that of `texts`, or of the model that it starts with.
    """
    if isinstance(start, PretrainSettings):
        trained = fit_language_model(settings, splits, start, context.within("pretrain"), title=context.folder.name)
        return cast(TorchModel, trained.model), trained.provenance.train_seconds or 0.0
    began = time.perf_counter()
    if start is not None:
        assert isinstance(settings, LSTMSettings)
        return start.with_new_classifier(settings, splits.labels, seed=context.seed), time.perf_counter() - began
    cls = cast(type[TorchModel], model_class(settings.kind))
    return cls.create(settings, splits.labels, texts, seed=context.seed), time.perf_counter() - began


def fit_language_model(
    settings: ModelSettings,
    splits: Splits,
    pretraining: PretrainSettings,
    context: TrainingContext,
    *,
    start: LSTMModel | None = None,
    title: str,
) -> TrainedModel:
    """Train a language model on all train and unlabelled reviews.

    Its vocabulary is that of the reviews, or of the model that it starts with.
    """
    began = time.perf_counter()
    reviews = splits.train["text"].to_pylist() + splits.unlabelled["text"].to_pylist()
    model, _ = new_model(settings, splits, reviews, start, context)
    seconds = time.perf_counter() - began
    held_out = splits.validation["text"].to_pylist()
    title = f"{title} language model"
    return pretrain(model, pretraining, reviews, held_out, context, title=title).plus_seconds(seconds)


def label_trainer(
    model: TorchModel,
    settings: TrainSettings,
    texts: Sequence[str],
    targets: Targets,
    validation: pa.Table,
    context: TrainingContext,
    *,
    objective: ObjectiveSettings,
    penalty: Penalty | None = None,
    validation_offsets: Float32Array | None = None,
) -> Trainer:
    """Return what trains a model, new or trained before, on texts and what is known of them; it is changed in place.

    Its weights are chosen on the labelled reviews of `validation`, with `validation_offsets`, float32 [N, C], added to
    its logits as those of `targets` are in training. SettingsError if the objective asks for a teacher that the targets
    lack.
    """
    if settings.compile and objective.perturbs:
        raise SettingsError("train.compile cannot be used with losses that perturb; leave it out")
    device, world = choose_device(settings), current()
    encoded, encoded_validation = model.encode(texts), model.encode(validation["text"].to_pylist())
    validation_labels = labels_of(validation)
    identity = {
        **identity_of(context.seed, model=model.settings, train=settings, objective=objective),
        "train reviews": reviews_digest(
            encoded, targets.labels, targets.teacher_logits, targets.teacher_features, targets.logit_offsets
        ),
        "validation reviews": reviews_digest(encoded_validation, validation_labels, validation_offsets),
        "starting weights": state_digest(model.state().tensors),
        "penalty": 0.0 if penalty is None else penalty.strength,
    }
    model.to(device)
    minimized = LabelObjective(objective, targets, network=model.network, device=device)
    minimized.penalty = penalty
    mine = slice(world.rank, None, world.size)
    offsets = None if validation_offsets is None else torch.from_numpy(validation_offsets[mine]).to(device)
    return Trainer(
        model,
        ShuffledBatches(Corpus(encoded, device), max_tokens=settings.batch_tokens),
        LabelledCorpus(
            Corpus(encoded_validation.share(world.rank, world.size), device),
            torch.from_numpy(validation_labels[mine]).to(device),
            offsets,
        ),
        settings,
        minimized,
        context,
        identity=identity,
        title=context.folder.name,
    )
