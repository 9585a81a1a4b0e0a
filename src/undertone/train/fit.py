"""From splits to a fitted model, whatever its kind."""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch
from rich.console import Console

from undertone.data.split import Splits
from undertone.errors import SettingsError
from undertone.models import model_class
from undertone.models.base import Model, ModelSettings
from undertone.models.corpus import Corpus
from undertone.models.torch_model import TorchModel
from undertone.text.encoded import EncodedTexts
from undertone.train.loop import LabelledCorpus, train_network
from undertone.train.settings import TrainSettings, choose_device


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
    seed: int,
    run_dir: Path,
    resume: bool,
    console: Console,
) -> FitResult:
    """Fit a model on the train split and choose its weights on the validation split.

    `run_dir` receives metrics and checkpoints of torch kinds. SettingsError if `train` is missing for a
    kind that needs it or given to one that does not, or if a resumed run is given other settings or data
    than it began with.
    """
    check_train_table(settings, train)
    cls = model_class(settings.kind)
    if issubclass(cls, TorchModel):
        assert train is not None
        return _fit_torch(cls, settings, train, splits, seed=seed, run_dir=run_dir, resume=resume, console=console)
    return _fit_closed(cls, settings, splits, console=console)


def check_train_table(settings: ModelSettings, train: TrainSettings | None) -> None:
    """Raise SettingsError if `train` is missing for a kind that needs it or given to one that does not."""
    has_epochs = issubclass(model_class(settings.kind), TorchModel)
    if has_epochs and train is None:
        raise SettingsError(f'kind = "{settings.kind}" needs a train table with epochs and max_learning_rate')
    if not has_epochs and train is not None:
        raise SettingsError(f'kind = "{settings.kind}" has no use for a train table; leave it out')


def _fit_closed(cls: type[Model], settings: ModelSettings, splits: Splits, *, console: Console) -> FitResult:
    """Fit a kind whose training chooses nothing on validation: judged there, then fitted again with it."""
    start = time.perf_counter()

    def fitted(table: pa.Table) -> Model:
        texts = table["text"].to_pylist()
        model: Model = cast(Any, cls).fit(settings, texts, _labels(table), splits.labels, console=console)
        return model

    predicted = fitted(splits.train).predict_proba(splits.validation["text"].to_pylist()).argmax(1)
    accuracy = float((predicted == _labels(splits.validation)).mean())
    model = fitted(pa.concat_tables([splits.train, splits.validation]))
    return FitResult(model, time.perf_counter() - start, accuracy)


def _fit_torch(
    cls: type[TorchModel],
    settings: ModelSettings,
    train: TrainSettings,
    splits: Splits,
    *,
    seed: int,
    run_dir: Path,
    resume: bool,
    console: Console,
) -> FitResult:
    device = choose_device(train)
    start = time.perf_counter()
    texts = splits.train["text"].to_pylist()
    model = cls.create(settings, splits.labels, texts, seed=seed)
    encoded = {
        "train": model.encode(texts),
        "validation": model.encode(splits.validation["text"].to_pylist()),
    }
    labels = {"train": _labels(splits.train), "validation": _labels(splits.validation)}
    prepare_seconds = time.perf_counter() - start
    identity = {
        "seed": seed,
        **_flat("model", settings.model_dump(mode="json")),
        **_flat("train", train.model_dump(mode="json")),
        **{f"{name} reviews": _digest(encoded[name], labels[name]) for name in encoded},
    }
    model.to(device)
    corpora = {
        name: LabelledCorpus(Corpus(encoded[name], device), torch.from_numpy(labels[name]).to(device))
        for name in encoded
    }
    position = train_network(
        model,
        corpora["train"],
        corpora["validation"],
        train,
        seed=seed,
        run_dir=run_dir,
        identity=identity,
        resume=resume,
        console=console,
        title=run_dir.name,
    )
    model.to(torch.device("cpu"))
    return FitResult(model, prepare_seconds + position.seconds, position.best_accuracy)


def _labels(table: pa.Table) -> "np.ndarray[Any, np.dtype[np.int64]]":
    return cast("np.ndarray[Any, np.dtype[np.int64]]", table["label"].to_numpy().astype(np.int64))


def _digest(encoded: EncodedTexts, labels: "np.ndarray[Any, np.dtype[np.int64]]") -> str:
    digest = hashlib.sha256()
    for array in (encoded.ids, encoded.offsets, labels):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _flat(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    flat = {}
    for name, value in values.items():
        path = f"{prefix}.{name}"
        flat.update(_flat(path, value) if isinstance(value, dict) else {path: value})
    return flat
