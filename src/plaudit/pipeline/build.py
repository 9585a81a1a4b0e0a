"""One step of a recipe: a model fitted to reviews, taught by others, or made smaller out of another."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plaudit.bundle.folder import Bundle, load_bundle, load_trainable
from plaudit.compress.methods import compressor
from plaudit.data.splits import Splits
from plaudit.errors import SettingsError
from plaudit.models.base import Model
from plaudit.models.calibration import Calibration, fit_calibration
from plaudit.models.ensemble import EnsembleModel, EnsembleSettings, blend
from plaudit.pipeline.recipe import ModelRecipe
from plaudit.settings import parse

if TYPE_CHECKING:
    from plaudit.compress.base import Teacher
    from plaudit.models.lstm.network import LSTMModel
    from plaudit.train.fit import Start
    from plaudit.train.run import Run
    from plaudit.train.settings import TrainSettings


@dataclass(frozen=True)
class Made:
    """A model and what its bundle says of how it came about."""

    model: Model
    provenance: Mapping[str, Any]
    calibration: Calibration | None = None


def make(entry: ModelRecipe, splits: Splits, run: "Run", *, find: Callable[[str], Path]) -> Made:
    """Make one model; `find` returns the folder of another by its name. Needs the extra `train`.

    SettingsError if what it is made from does not fit the reviews or its kind.
    """
    made = _make(entry, splits, run, find)
    if entry.calibrate is None:
        return made
    from plaudit.train.fit import saw_validation

    if saw_validation(made.model.settings):  # its source was: the recipe's own settings are looked at when it is read
        raise SettingsError(f"calibrate: {entry.source} was fitted on validation too; set refit = false there")
    probabilities = made.model.predict_proba(splits.validation["text"].to_pylist())
    calibration = fit_calibration(entry.calibrate, splits.validation["label"].to_pylist(), probabilities)
    return replace(made, calibration=calibration)


def _make(entry: ModelRecipe, splits: Splits, run: "Run", find: Callable[[str], Path]) -> Made:
    from plaudit.train.checkpoint import forget
    from plaudit.train.fit import fit, new_language_model

    if not run["resume"]:
        forget(run["run_dir"])
    if entry.method is None:
        assert entry.model is not None, "a recipe's model has a kind or is made from another"
        if isinstance(entry.model, EnsembleSettings):
            return _ensemble(entry.model, splits, run, find)
        if entry.is_language_model:
            assert entry.pretrain is not None
            title = f"{run['run_dir'].name} language model"
            read_before, seconds_before = _pretrained(entry, find)
            model, position = new_language_model(
                entry.model, splits, entry.pretrain, start=read_before, title=title, **run
            )
            reached = {"perplexity": math.exp(position.best_loss), "accuracy": position.best_accuracy}
            seconds = round(seconds_before + position.seconds, 2)
            return Made(model, {"train_seconds": seconds, "language_model": reached})
        start, seconds_before = _start(entry, find)
        fitted = fit(entry.model, entry.train, splits, start=start, objective=entry.objective, **run)
        seconds = seconds_before + fitted.train_seconds
        return Made(fitted.model, _provenance(seconds, fitted.validation_accuracy, entry.train, []))
    return _compressed(entry, splits, run, find)


def _start(entry: ModelRecipe, find: Callable[[str], Path]) -> "tuple[Start, float]":
    """Return what a network starts with, and the seconds that took; SettingsError if that is no LSTM."""
    pretrained, seconds = _pretrained(entry, find)
    return pretrained or entry.pretrain, seconds


def _pretrained(entry: ModelRecipe, find: Callable[[str], Path]) -> "tuple[LSTMModel | None, float]":
    if entry.pretrained is None:
        return None, 0.0
    from plaudit.models.lstm.network import LSTMModel

    bundle = load_trainable(find(entry.pretrained))
    if not isinstance(bundle.model, LSTMModel):
        raise SettingsError(f"pretrained = {entry.pretrained}: is of kind {bundle.manifest.kind}; give an lstm")
    return bundle.model, bundle.manifest.provenance.get("train_seconds") or 0.0


def _ensemble(settings: EnsembleSettings, splits: Splits, run: "Run", find: Callable[[str], Path]) -> Made:
    """Weigh trained models on validation and join them; SettingsError if one of them cannot be weighed there."""
    from plaudit.compress.blend import blend_weights
    from plaudit.compress.cached_logits import cached_logits
    from plaudit.train.fit import labels_of

    start = time.perf_counter()
    bundles = {name: load_bundle(find(name)) for name in settings.members}
    members = [teacher(name, bundle, splits) for name, bundle in bundles.items()]
    weights = blend_weights(members, splits, settings.weights, console=run["console"])
    texts = splits.validation["text"].to_pylist()
    said = blend([cached_logits(member, texts, console=run["console"]) for member in members], weights.tolist())
    accuracy = float((said.argmax(axis=1) == labels_of(splits.validation)).mean())
    model = EnsembleModel.of({name: bundle.model for name, bundle in bundles.items()}, weights.tolist())
    seconds = sum(bundle.manifest.provenance.get("train_seconds") or 0.0 for bundle in bundles.values())
    return Made(model, _provenance(seconds + time.perf_counter() - start, accuracy, None, []))


def _compressed(entry: ModelRecipe, splits: Splits, run: "Run", find: Callable[[str], Path]) -> Made:
    from plaudit.compress.base import Context, Subject

    assert entry.method is not None
    train = entry.train
    steps: list[dict[str, Any]] = []
    seconds_before = 0.0
    teachers: tuple[Teacher, ...] = ()
    beside: Teacher | None = None
    if entry.source is None:
        assert entry.model is not None
        teachers = _teachers(entry.compress, splits, find)
        if name := getattr(entry.compress, "beside", None):
            beside = teacher(name, load_bundle(find(name)), splits)
        start, seconds_before = _start(entry, find)
        subject = Subject(entry.model, train, start=start)
    else:
        bundle = load_trainable(find(entry.source))
        if bundle.is_language_model:
            raise SettingsError(f"{entry.source} is a language model; {entry.method} takes a model that knows labels")
        if bundle.model.labels != splits.labels:
            known = ", ".join(bundle.model.labels)
            raise SettingsError(f"{entry.source} knows {known}, but {splits.name} has {', '.join(splits.labels)}")
        train = train or trained_with(bundle)
        subject = Subject(bundle.model.settings, train, bundle.model)
        steps = bundle.manifest.provenance.get("compression", [])
        seconds_before = bundle.manifest.provenance.get("train_seconds") or 0.0
    made = compressor(entry.method).apply(subject, entry.compress, Context(splits, run, teachers, beside))
    step = {
        "method": entry.method,
        "from": entry.source,
        "settings": entry.compress.model_dump(mode="json") if entry.compress else {},
        "seconds": round(made.train_seconds, 2),
        **made.figures,
    }
    seconds = seconds_before + made.train_seconds
    return Made(made.model, _provenance(seconds, made.validation_accuracy, train, [*steps, step]))


def _provenance(
    seconds: float, accuracy: float, train: "TrainSettings | None", steps: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "train_seconds": round(seconds, 2),
        "validation_accuracy": round(accuracy, 5),
        "train": None if train is None else train.model_dump(mode="json"),
        "compression": steps,
    }


def trained_with(bundle: Bundle) -> "TrainSettings | None":
    """Return how a torch model was trained, None if it does not tell or is of another kind."""
    values = bundle.manifest.provenance.get("train")
    if values is None:
        return None
    from plaudit.train.settings import TrainSettings

    return parse(TrainSettings, values, source="the model's provenance", prefix="train")


def _teachers(settings: Any, splits: Splits, find: Callable[[str], Path]) -> "tuple[Teacher, ...]":  # noqa: ANN401
    # Features are read off the network itself; logits come faster from what only predicts.
    load = load_trainable if "feature" in settings.objective.losses else load_bundle
    return tuple(teacher(name, load(find(name)), splits) for name in settings.teachers)


def teacher(name: str, bundle: Bundle, splits: Splits) -> "Teacher":
    """Return a model as a teacher, as a member of an ensemble, or to stand beside a student.

    SettingsError if it knows no labels, or learned from another split of these reviews: then it would be weighted, and
    its student validated, on reviews that it was trained on.
    """
    from plaudit.compress.base import Teacher

    if bundle.is_language_model:
        raise SettingsError(f"{name} is a language model, which knows no labels; name one trained from it")
    provenance = bundle.manifest.provenance
    reviews = Path(provenance.get("recipe", {}).get("data", {}).get("name", ""))
    if reviews.name == splits.name and provenance.get("data_digest") != splits.digest:
        raise SettingsError(
            f"{name} was trained on another split of {splits.name}; give it and what is made of it the same data table"
        )
    return Teacher(name, bundle.model)
