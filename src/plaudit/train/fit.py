"""From splits to a fitted model, whatever its kind."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, Unpack, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from rich.console import Console

from plaudit.data.splits import Splits
from plaudit.distributed.world import current
from plaudit.errors import SettingsError
from plaudit.models.base import Float32Array, Model, ModelSettings
from plaudit.models.bow.fit import fit_bow
from plaudit.models.bow.settings import BowSettings
from plaudit.models.corpus import Corpus
from plaudit.models.docvec.settings import DocvecSettings
from plaudit.models.kinds import model_class
from plaudit.models.lstm.network import LSTMModel
from plaudit.models.lstm.settings import LSTMSettings
from plaudit.models.torch_model import TorchModel
from plaudit.train.batches import ShuffledBatches
from plaudit.train.device import choose_device
from plaudit.train.docvec import fit_docvec
from plaudit.train.loop import train_network
from plaudit.train.objectives import LabelObjective, Penalty
from plaudit.train.pretrain import pretrain
from plaudit.train.run import Run, identity_of, reviews_digest, state_digest
from plaudit.train.settings import ObjectiveSettings, PretrainSettings, TrainSettings
from plaudit.train.state import Position
from plaudit.train.targets import UNLABELLED, Targets
from plaudit.train.validation import LabelledCorpus

Start: TypeAlias = PretrainSettings | LSTMModel | None
"""What a network starts with: a language model that is yet to be trained, a trained model's layers, or nothing."""


@dataclass(frozen=True)
class FitResult:
    """A fitted model, what it took, and the share of validation reviews it gets right."""

    model: Model
    train_seconds: float
    validation_accuracy: float


def fit(
    settings: ModelSettings,
    train: TrainSettings | None,
    splits: Splits,
    *,
    start: Start = None,
    objective: ObjectiveSettings | None = None,
    **run: Unpack[Run],
) -> FitResult:
    """Fit a model on the train split and choose its weights on the validation split.

    From a loss that needs no label, a network learns of unlabelled reviews too.

    SettingsError if `train` is missing for a kind that needs it or given to one that does not, or if a resumed
    run is given other settings or data than it began with.
    """
    check_train_table(settings, train)
    cls = model_class(settings.kind)
    if issubclass(cls, TorchModel):
        assert train is not None
        objective = objective or ObjectiveSettings()
        words = splits.train["text"].to_pylist()
        read = pa.concat_tables([splits.train, splits.unlabelled]) if objective.needs_no_label else splits.train
        model, create_seconds = new_model(settings, splits, words, start, **run)
        texts, targets = read["text"].to_pylist(), Targets(labels_of(read))
        result = train_model(model, train, texts, targets, splits.validation, objective=objective, **run)
        return replace(result, train_seconds=create_seconds + result.train_seconds)
    if isinstance(settings, DocvecSettings):
        docvec, seconds = fit_docvec(settings, splits, **run)
        return FitResult(docvec, seconds, accuracy_on_validation(docvec, splits))
    assert isinstance(settings, BowSettings)
    return _fit_closed(settings, splits, console=run["console"])


def check_train_table(settings: ModelSettings, train: TrainSettings | None) -> None:
    """Raise SettingsError if `train` is missing for a kind that needs it or given to one that does not."""
    has_epochs = issubclass(model_class(settings.kind), TorchModel)
    if has_epochs and train is None:
        raise SettingsError(f'kind = "{settings.kind}" needs a train table with epochs and max_learning_rate')
    if not has_epochs and train is not None:
        raise SettingsError(f'kind = "{settings.kind}" has no use for a train table; leave it out')
    if has_epochs:
        check_storage(settings)


def check_storage(settings: ModelSettings) -> None:
    """Raise SettingsError for settings of a network that is to be trained in less than fp32."""
    storage = getattr(settings, "storage", "fp32")
    if storage != "fp32":
        raise SettingsError(
            f'storage = "{storage}" is no way to train; train in fp32 and quantize the model afterwards'
        )


def _fit_closed(settings: BowSettings, splits: Splits, *, console: Console) -> FitResult:
    """Fit a kind whose training chooses nothing on validation: judged there, then fitted again with it if it may."""
    start = time.perf_counter()

    def fitted(table: pa.Table) -> Model:
        texts = table["text"].to_pylist()
        return fit_bow(settings, texts, labels_of(table), splits.labels, console=console)

    model = fitted(splits.train)
    accuracy = accuracy_on_validation(model, splits)
    if saw_validation(settings):
        model = fitted(pa.concat_tables([splits.train, splits.validation]))
    return FitResult(model, time.perf_counter() - start, accuracy)


def new_model(
    settings: ModelSettings,
    splits: Splits,
    texts: Sequence[str],
    start: Start,
    **run: Unpack[Run],
) -> tuple[TorchModel, float]:
    """Return a model whose classifier is untrained, and the seconds it took, those before a resumption included.

    Its words are those of `texts`, or of what it starts with.
    """
    if isinstance(start, PretrainSettings):
        inner = run.copy()
        inner["run_dir"] /= "pretrain"
        title = f"{run['run_dir'].name} language model"
        model, position = new_language_model(settings, splits, start, title=title, **inner)
        return model, position.seconds
    began = time.perf_counter()
    if start is not None:
        assert isinstance(settings, LSTMSettings)
        return start.with_new_classifier(settings, splits.labels, seed=run["seed"]), time.perf_counter() - began
    cls = cast(type[TorchModel], model_class(settings.kind))
    return cls.create(settings, splits.labels, texts, seed=run["seed"]), time.perf_counter() - began


def new_language_model(
    settings: ModelSettings,
    splits: Splits,
    pretraining: PretrainSettings,
    *,
    start: LSTMModel | None = None,
    title: str,
    **run: Unpack[Run],
) -> tuple[TorchModel, Position]:
    """Return a model that has read all train and unlabelled reviews, and how that went.

    Its words are those of the reviews, or of the model that it starts with.
    """
    run.pop("after_epoch", None)  # it is to hear of labels
    began = time.perf_counter()
    reviews = splits.train["text"].to_pylist() + splits.unlabelled["text"].to_pylist()
    model, _ = new_model(settings, splits, reviews, start, **run)
    seconds = time.perf_counter() - began
    position = pretrain(model, pretraining, reviews, splits.validation["text"].to_pylist(), title=title, **run)
    return model, replace(position, seconds=seconds + position.seconds)


def train_model(
    model: TorchModel,
    settings: TrainSettings,
    texts: Sequence[str],
    targets: Targets,
    validation: pa.Table,
    *,
    objective: ObjectiveSettings,
    penalty: Penalty | None = None,
    validation_offsets: Float32Array | None = None,
    **run: Unpack[Run],
) -> FitResult:
    """Train a model, new or trained before, on texts and what is known of them; it is changed in place.

    Its weights are chosen on the labelled reviews of `validation`; `validation_offsets`, float32 [N, C], are added to
    its logits there, as those of `targets` are in training. SettingsError if a resumed run is given other settings or
    data than it began with, or if the objective asks for a teacher that the targets lack.
    """
    if settings.compile and objective.perturbs:
        raise SettingsError("train.compile is not for losses that perturb; leave it out")
    device = choose_device(settings)
    start = time.perf_counter()
    encoded = model.encode(texts)
    encoded_validation = model.encode(validation["text"].to_pylist())
    validation_labels = labels_of(validation)
    world = current()
    prepare_seconds = time.perf_counter() - start
    identity = {
        **identity_of(run["seed"], model=model.settings, train=settings, objective=objective),
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
    position = train_network(
        model,
        ShuffledBatches(Corpus(encoded, device), max_tokens=settings.batch_tokens),
        LabelledCorpus(
            Corpus(encoded_validation.share(world.rank, world.size), device),
            torch.from_numpy(validation_labels[world.rank :: world.size]).to(device),
            None
            if validation_offsets is None
            else torch.from_numpy(validation_offsets[world.rank :: world.size]).to(device),
        ),
        settings,
        objective=minimized,
        identity=identity,
        title=run["run_dir"].name,
        **run,
    )
    model.to(torch.device("cpu"))
    return FitResult(model, prepare_seconds + position.seconds, position.best_accuracy)


def accuracy_on_validation(model: Model, splits: Splits) -> float:
    """Return the share of validation reviews that a model gets right."""
    predicted = model.logits(splits.validation["text"].to_pylist()).argmax(axis=1)
    return float((predicted == labels_of(splits.validation)).mean())


def saw_validation(settings: ModelSettings) -> bool:
    """Say whether such a model is fitted on validation too in the end, so that its accuracy there tells nothing."""
    return bool(getattr(settings, "refit", False))


def labels_of(table: pa.Table) -> npt.NDArray[np.int64]:
    """Return the labels of a review table, int64 [N], UNLABELLED where a row has none."""
    return np.asarray(pc.fill_null(table["label"], UNLABELLED).to_numpy(), np.int64)
