"""Make one model of a recipe: fit it to reviews, distill it, blend it from others, or make it smaller."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from plaudit.bundle.folder import load_bundle, load_trainable, read_trained_on
from plaudit.bundle.trained import Provenance, TrainedModel
from plaudit.compress.methods import compressor
from plaudit.compress.settings import DistillSettings
from plaudit.console import needs_extra
from plaudit.data.splits import Splits, UInt64Array, text_digests
from plaudit.data.table import Dataset
from plaudit.errors import SettingsError
from plaudit.models.bow.head_start import HeadStart
from plaudit.models.bow.settings import BowSettings
from plaudit.models.calibration import Method, fit_calibration
from plaudit.models.docvec.settings import DocvecSettings
from plaudit.models.ensemble import EnsembleModel, EnsembleSettings, blend
from plaudit.pipeline.recipe import Ensemble, LanguageModel, ModelRecipe, NewModel, SmallerModel
from plaudit.settings import parse
from plaudit.train.bow import fit_texts, train_bow
from plaudit.train.checkpoint import forget
from plaudit.train.context import TrainingContext
from plaudit.train.labels import labels_of

if TYPE_CHECKING:
    from plaudit.compress.base import Subject, Teacher
    from plaudit.models.lstm.network import LSTMModel
    from plaudit.train.settings import TrainSettings

Find = Callable[[str], Path]
"""Returns the folder of another model by its name."""


@needs_extra("train", "making this model")
def build(entry: ModelRecipe, splits: Splits, context: TrainingContext, *, find: Find) -> TrainedModel:
    """Make one model of a recipe; SettingsError if what it is made from does not fit the reviews or its kind."""
    if not context.resume:
        forget(context.folder)
    if isinstance(entry, LanguageModel):
        return _language_model(entry, splits, context, find)
    if isinstance(entry, Ensemble):
        trained = _ensemble(entry.model, splits, context, find)
    elif isinstance(entry, SmallerModel):
        trained = _smaller(entry, splits, context, find)
    else:
        assert isinstance(entry, NewModel)
        if entry.distill is not None:
            trained = _distilled(entry, entry.distill, splits, context, find)
        elif isinstance(entry.model, DocvecSettings):
            from plaudit.train.docvec import fit_docvec

            trained = fit_docvec(entry.model, splits, context)
        elif isinstance(entry.model, BowSettings):
            begun = head_start(entry, find, splits.digest)
            trained = train_bow(entry.model, splits, context, begun, entry.self_training)
        else:
            from plaudit.train.fit import fit_network

            assert entry.train is not None, "a recipe's network has a train table"
            start, seconds = _start(entry, find)
            trained = fit_network(
                entry.model, entry.train, splits, context, start=start or entry.pretrain, objective=entry.objective
            ).plus_seconds(seconds)
    trained = replace(trained, trained_on=_digests(entry, _learned_from(entry, trained.provenance, splits), find))
    return trained if entry.calibrate is None else _calibrated(trained, entry.calibrate, entry.made_of, splits)


def _learned_from(entry: ModelRecipe, provenance: Provenance, splits: Splits) -> list[pa.Table]:
    """Return the tables that a model's weights were fitted to, apart from those of the models it is made of."""
    if isinstance(entry, Ensemble) or (isinstance(entry, SmallerModel) and entry.quantize is not None):
        return []
    return [splits.train, splits.validation] if provenance.learned_validation else [splits.train]


def _digests(entry: ModelRecipe, tables: Sequence[pa.Table], find: Find) -> UInt64Array | None:
    """Return the sorted digests of the tables' texts and of all that a model's parts record; None if there are none."""
    parts = [read_trained_on(find(name)) for name in entry.made_of]
    known = [*(text_digests(table["text"]) for table in tables), *(part for part in parts if part is not None)]
    return np.unique(np.concatenate(known)) if known else None


def _calibrated(trained: TrainedModel, method: Method, made_of: tuple[str, ...], splits: Splits) -> TrainedModel:
    """Fit the calibration on validation; SettingsError if the model learned from that split."""
    if trained.provenance.learned_validation:
        raise SettingsError(f"calibrate: {made_of[0]} was fitted on validation too; set refit = false there")
    probabilities = trained.model.predict_proba(splits.validation["text"].to_pylist())
    calibration = fit_calibration(method, splits.validation["label"].to_pylist(), probabilities)
    return replace(trained, calibration=calibration)


def _language_model(entry: LanguageModel, splits: Splits, context: TrainingContext, find: Find) -> TrainedModel:
    from plaudit.train.fit import fit_language_model

    start, seconds = _start(entry, find)
    title = context.folder.name
    trained = fit_language_model(entry.model, splits, entry.pretrain, context, start=start, title=title)
    return trained.plus_seconds(seconds)


def _start(entry: NewModel | LanguageModel, find: Find) -> "tuple[LSTMModel | None, float]":
    """Return the model whose layers a network starts with, and what its training took; SettingsError if no LSTM."""
    if entry.pretrained is None:
        return None, 0.0
    from plaudit.models.lstm.network import LSTMModel

    bundle = load_trainable(find(entry.pretrained))
    if not isinstance(bundle.model, LSTMModel):
        raise SettingsError(f"pretrained = {entry.pretrained}: is of kind {bundle.manifest.kind}; give an lstm")
    return bundle.model, bundle.provenance.train_seconds or 0.0


def head_start(entry: NewModel, find: Find, data_digest: str | None) -> HeadStart | None:
    """Return the model that a bag of n-grams starts from, if any; BundleError if there is none of that name.

    SettingsError if it learned from the reviews that have this digest: it would know them too well, and be trusted more
    than it deserves.
    """
    if entry.start is None:
        return None
    bundle = load_bundle(find(entry.start))
    if data_digest is not None and bundle.provenance.data_digest == data_digest:
        raise SettingsError(
            f"start = {entry.start}: was trained on these very reviews; name a model of others, or join the two in an "
            "ensemble"
        )
    return HeadStart(entry.start, bundle.model, entry.start_strength)


def fit_to_all(
    entry: NewModel, dataset: Dataset, unlabelled: Sequence[str], context: TrainingContext, *, find: Find
) -> TrainedModel:
    """Fit a bag of n-grams to every labelled text of a dataset, so that none is left to measure it on."""
    assert isinstance(entry.model, BowSettings)
    began = time.perf_counter()
    table = dataset.table
    model = fit_texts(
        entry.model,
        head_start(entry, find, None),
        table["text"].to_pylist(),
        labels_of(table),
        dataset.labels,
        unlabelled=unlabelled,
        self_training=entry.self_training,
        console=context.console,
    )
    provenance = Provenance(train_seconds=time.perf_counter() - began)
    return TrainedModel(model=model, provenance=provenance, trained_on=_digests(entry, [table], find))


def _ensemble(settings: EnsembleSettings, splits: Splits, context: TrainingContext, find: Find) -> TrainedModel:
    """Weigh trained models on validation and join them; SettingsError if one of them cannot be weighed there."""
    from plaudit.compress.blend import blend_weights
    from plaudit.compress.cached_logits import cached_logits

    began = time.perf_counter()
    bundles = {name: load_bundle(find(name)) for name in settings.members}
    members = [teacher(name, bundle, splits) for name, bundle in bundles.items()]
    weights = blend_weights(members, splits, settings.weights, console=context.console)
    texts = splits.validation["text"].to_pylist()
    logits = blend([cached_logits(member, texts, console=context.console) for member in members], weights.tolist())
    provenance = Provenance(
        validation_accuracy=float((logits.argmax(axis=1) == labels_of(splits.validation)).mean()),
        learned_validation=any(bundle.provenance.learned_validation for bundle in bundles.values()),
        train_seconds=sum(bundle.provenance.train_seconds or 0.0 for bundle in bundles.values()),
    )
    model = EnsembleModel.of({name: bundle.model for name, bundle in bundles.items()}, weights.tolist())
    return TrainedModel(model=model, provenance=provenance).plus_seconds(time.perf_counter() - began)


def _distilled(
    entry: NewModel, settings: DistillSettings, splits: Splits, context: TrainingContext, find: Find
) -> TrainedModel:
    from plaudit.compress.base import Context, Subject
    from plaudit.compress.distill import distill

    start, seconds = _start(entry, find)
    provenance = Provenance(train_seconds=seconds)
    student = Subject(entry.model, entry.train, start=start or entry.pretrain, provenance=provenance)
    teachers = _teachers(settings, splits, find)
    beside = settings.beside
    bag = None if beside is None else teacher(beside, load_bundle(find(beside)), splits)
    return distill(student, settings, Context(splits, context, teachers, bag))


def _smaller(entry: SmallerModel, splits: Splits, context: TrainingContext, find: Find) -> TrainedModel:
    from plaudit.compress.base import Context

    method, settings = entry.method
    return compressor(method)(_source(entry, splits, find), settings, Context(splits, context))


def _source(entry: SmallerModel, splits: Splits, find: Find) -> "Subject":
    """Return the trained model that is to be made smaller; SettingsError if it does not know these labels."""
    from plaudit.compress.base import Subject

    name = entry.source
    bundle = load_trainable(find(name))
    if bundle.is_language_model:
        raise SettingsError(f"{name} is a language model; {entry.method[0]} takes a model that knows labels")
    if bundle.model.labels != splits.labels:
        known = ", ".join(bundle.model.labels)
        raise SettingsError(f"{name} knows {known}, but {splits.name} has {', '.join(splits.labels)}")
    train = entry.train or trained_with(bundle)
    return Subject(bundle.model.settings, train, bundle.model, provenance=bundle.provenance, source=name)


def trained_with(trained: TrainedModel) -> "TrainSettings | None":
    """Return how a network was trained, None if that is not recorded or it is of another kind."""
    if trained.provenance.train is None:
        return None
    from plaudit.train.settings import TrainSettings

    return parse(TrainSettings, trained.provenance.train, source="the model's provenance", prefix="train")


def _teachers(settings: DistillSettings, splits: Splits, find: Find) -> "tuple[Teacher, ...]":
    # Features are read off the network itself; logits come faster from what only predicts.
    load = load_trainable if "feature" in settings.objective.losses else load_bundle
    return tuple(teacher(name, load(find(name)), splits) for name in settings.teachers)


def teacher(name: str, trained: TrainedModel, splits: Splits) -> "Teacher":
    """Return a model as a teacher, as a member of an ensemble, or for a student to correct.

    SettingsError if it is a language model, or learned from another split of these reviews: it would be weighted, and
    its student validated, on reviews that it was trained on.
    """
    from plaudit.compress.base import Teacher

    if trained.is_language_model:
        raise SettingsError(f"{name} is a language model, which predicts no labels; name one trained from it")
    provenance = trained.provenance
    reviews = Path(provenance.data.get("name", ""))
    if reviews.name == splits.name and provenance.data_digest != splits.digest:
        raise SettingsError(
            f"{name} was trained on another split of {splits.name}; give it and what is made of it the same data table"
        )
    return Teacher(name, trained.model, provenance.learned_validation)
