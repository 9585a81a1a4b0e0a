"""A scikit-learn classifier of texts: any container of texts and labels in, a bundle's predictor out.

    Classifier()
    Classifier("bow", max_order=2, start="ensemble")
    Classifier("lstm", hidden_size=32, train={"epochs": 3, "max_learning_rate": 0.01})

Its settings are those of a recipe's table [models.NAME]; in grids and in `set_params`, `train__epochs` is `epochs` of
the table `train`.
"""

import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from rich.console import Console

from plaudit.automl.choose import BUDGET_SECONDS, STARTS, choose
from plaudit.automl.own_file import model_table
from plaudit.bundle.folder import Manifest, load_bundle, save_bundle
from plaudit.bundle.locate import model_folder
from plaudit.bundle.trained import RecipeExcerpt
from plaudit.data.accents import composed
from plaudit.data.containers import Values, as_texts, as_values, is_missing
from plaudit.data.in_memory import hold_out_validation, in_memory_dataset, split_digest
from plaudit.data.label_values import MAX_CLASSES
from plaudit.data.load import DataSettings
from plaudit.data.splits import text_keys, units
from plaudit.data.table import Dataset
from plaudit.errors import DataError, MissingExtraError, SettingsError
from plaudit.models.base import Float32Array
from plaudit.models.bow.settings import BowSettings
from plaudit.pipeline.build import build, fit_to_all
from plaudit.pipeline.recipe import NewModel, model_recipe
from plaudit.predictor import Predictor
from plaudit.settings import parse
from plaudit.train.context import TrainingContext

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d
except ImportError:
    raise MissingExtraError("plaudit.Classifier needs scikit-learn: pip install 'plaudit[train]'") from None

DATA_NAME = "reviews given to Classifier.fit"
LSTM_TRAIN = {"epochs": 6, "max_learning_rate": 0.01, "weight_decay": 0.1, "ema_decay": 0.999}
"""How an LSTM is trained by default: as in the recipe `select`, for some thousands of reviews."""

_NO_USE = "Classifier: reviews in unlabelled are of no use to these settings; leave them out, or give a table distill"

Int64Array = npt.NDArray[np.int64]


class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Classifies texts; training needs the extra `train`.

    Without a `kind` it does what `plaudit train FILE` does: it compares bags of n-grams by cross-validation for about
    `budget_seconds`, with and without a head start from the models that ship, and fits the best to all texts. `start`
    names another model to start from, None none. With a `kind`, for example "bow" or "lstm", or with
    settings, which are then those of a bag, it trains just that, and a bag starts from `start` if that names a model.

    `settings` are those of a recipe's model table, nested tables as dicts or by names such as `train__epochs`.
    `validation_fraction` of the reviews is held out to choose weights by, equal texts and groups together, unless the
    kind chooses nothing: a bag of n-grams is fitted to all. `verbose` shows progress on stderr.

    After `fit` or `load`: `classes_`, sorted; `predictor_`, the inference path of all bundles; `bundle_`;
    `validation_accuracy_`, cross-validated where candidates were compared, None where nothing was held out; and
    `history_`, a dict of figures for each epoch.
    """

    def __init__(
        self,
        kind: str | None = None,
        *,
        start: str | None = "auto",
        budget_seconds: float = BUDGET_SECONDS,
        validation_fraction: float = 0.1,
        seed: int = 0,
        verbose: bool = False,
        **settings: Any,  # noqa: ANN401
    ) -> None:
        self.kind = kind
        self.start = start
        self.budget_seconds = budget_seconds
        self.validation_fraction = validation_fraction
        self.seed = seed
        self.verbose = verbose
        self._settings = settings

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments, the given settings among them."""
        return {**super().get_params(deep=deep), **self._settings}

    def set_params(self, **params: Any) -> Self:  # noqa: ANN401
        """Change arguments or settings; `fit` checks the settings."""
        own = super().get_params(deep=False).keys()
        for name, value in params.items():
            if name in own:
                setattr(self, name, value)
            else:
                self._settings = {**self._settings, name: value}
        return self

    def fit(self, X: Values, y: Values, *, groups: Values = None, unlabelled: Values = None) -> Self:  # noqa: N803
        """Train on texts and a label for each; rows of one group are never split apart.

        Texts without labels are read where the settings have a use for them: by a language model first (`pretrain`),
        by a student (`distill`), by a bag (`self_training`), or for a loss that needs no label. Where candidates are
        compared, they are read if that helps.

        DataError names the row of a missing value, SettingsError a setting that is unknown or has no effect.
        """
        texts = as_texts(X, name="X")
        classes, label_ids = _classes(y, len(texts))
        labels = tuple(str(value) for value in classes.tolist())
        dataset = in_memory_dataset(DATA_NAME, texts, label_ids, labels, groups=groups)
        with tempfile.TemporaryDirectory(prefix="plaudit-") as folder:
            read = () if unlabelled is None else as_texts(unlabelled, name="unlabelled")
            self._train(dataset, read, classes.dtype, Path(folder))
            self._open(Path(folder) / "model")
        return self

    def _train(self, dataset: Dataset, unlabelled: Sequence[str], dtype: np.dtype[Any], folder: Path) -> None:
        """Write a bundle into `folder`/model."""
        settings = self._model_table()
        data = parse(
            DataSettings,
            {"name": DATA_NAME, "validation_fraction": self.validation_fraction, "seed": self.seed},
            source="Classifier",
        )
        console = Console(stderr=True, quiet=not self.verbose)
        kind, accuracy = self.kind, None
        if kind is None and not settings:
            kind, settings, accuracy = self._choose(dataset, unlabelled, console)
        kind = "bow" if kind is None else str(kind)
        entry = model_recipe(kind, {"kind": kind, **settings}, source="Classifier")
        if not isinstance(entry, NewModel):
            raise SettingsError(f"Classifier: kind {kind} with {', '.join(settings)} cannot be trained on labels alone")
        if unlabelled and accuracy is None and not _reads_unlabelled(entry):
            raise SettingsError(_NO_USE)
        context = TrainingContext(self.seed, folder / kind, resume=False, console=console)
        if _chooses_nothing(entry):
            trained = fit_to_all(entry, dataset, unlabelled, context, find=model_folder).with_provenance(
                validation_accuracy=accuracy
            )
        else:
            splits = hold_out_validation(dataset, data, unlabelled)
            trained = build(entry, splits, context, find=model_folder)
        recipe = RecipeExcerpt(
            name="Classifier", seed=self.seed, data=data.model_dump(mode="json"), models={kind: entry.resolved()}
        )
        described = trained.with_provenance(
            recipe=recipe, data_digest=split_digest(dataset, data), label_dtype=dtype.str
        )
        save_bundle(described, folder / "model")
        self.history_ = _epochs(folder / kind)

    def _choose(
        self, dataset: Dataset, unlabelled: Sequence[str], console: Console
    ) -> tuple[str, dict[str, Any], float]:
        """Return the kind and settings that cross-validation prefers, and their accuracy there."""
        starts = STARTS if self.start == "auto" else () if self.start is None else (str(self.start),)
        table = dataset.table
        choice = choose(
            table["text"].to_pylist(),
            np.asarray(table["label"], np.int64),
            dataset.labels,
            units(table, text_keys(table["text"])),
            unlabelled=unlabelled,
            starts=starts,
            budget_seconds=self.budget_seconds,
            seed=self.seed,
            console=console,
        )
        chosen = model_table(choice.best.chosen())
        return chosen.pop("kind"), chosen, choice.best.accuracy

    def _model_table(self) -> dict[str, Any]:
        """Return the settings as nested tables, with the default training of an LSTM."""
        table: dict[str, Any] = {name: value for name, value in self._settings.items() if "__" not in name}
        if (self.kind is not None or table) and self.start not in ("auto", None):
            table["start"] = self.start
        if self.kind == "lstm":
            table["train"] = {**LSTM_TRAIN, **_subtable(table.get("train"), "train")}
        for path, value in self._settings.items():
            *parents, last = path.split("__")
            inner = table
            for name in parents:
                inner[name] = dict(_subtable(inner.get(name), path))
                inner = inner[name]
            if parents:
                inner[last] = value
        return table

    def _open(self, folder: Path) -> None:
        """Take up a bundle that the constructor's arguments describe."""
        self.bundle_ = load_bundle(folder)
        self.predictor_ = Predictor(self.bundle_)
        provenance = self.bundle_.provenance
        self.validation_accuracy_ = provenance.validation_accuracy
        named = _values_of(self.bundle_.manifest.labels, provenance.label_dtype)
        # scikit-learn takes classes in sorted order, and a recipe's labels need not be.
        self._order = np.argsort(named, kind="stable")
        self.classes_ = named[self._order]

    def predict_proba(self, X: Values) -> Float32Array:  # noqa: N803
        """Return the probability of each class, float32 [N, C], columns as in `classes_`."""
        check_is_fitted(self, "predictor_")
        return self.predictor_.predict_proba(as_texts(X, name="X"))[:, self._order]

    def predict(self, X: Values) -> npt.NDArray[Any]:  # noqa: N803
        """Return the most probable class of each text, [N], as `y` had it."""
        probabilities = self.predict_proba(X)
        predicted: npt.NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return predicted

    def score(self, X: Values, y: Values, sample_weight: Values = None) -> float:  # noqa: N803
        """Return the share of texts classified correctly; labels are equal however their accents are written."""
        check_is_fitted(self, "predictor_")
        if self.classes_.dtype.kind in "UO":
            class_of = {composed(label): label for label in self.classes_.tolist()}
            y = [class_of.get(composed(v), v) if isinstance(v, str) else v for v in as_values(y, name="y")]
        share: float = super().score(X, y, sample_weight)
        return share

    def save(self, folder: str | Path) -> Path:
        """Write the model as a new bundle, for `plaudit predict --model` and `load`; OutputError if it cannot be."""
        check_is_fitted(self, "predictor_")
        save_bundle(self.bundle_, Path(folder))
        return Path(folder)

    @classmethod
    def load(cls, model: str | Path) -> Self:
        """Return a fitted classifier of a shipped model, a bundle's folder or hf://OWNER/NAME; BundleError if none.

        Its parameters are those recorded in the bundle, so that a clone can be fitted anew.
        """
        folder = model_folder(model)
        loaded = cls()
        loaded.history_ = []
        loaded._open(folder)
        loaded.set_params(**_params(loaded.bundle_.manifest))
        return loaded

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:  # noqa: N803  # scikit-learn's name
        settings = super().__repr__(N_CHAR_MAX)
        return f"<{settings}: {self.predictor_.summary}>" if hasattr(self, "predictor_") else settings

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags


def _reads_unlabelled(entry: NewModel) -> bool:
    needs_no_label = entry.objective is not None and entry.objective.needs_no_label
    return bool(entry.self_training) or entry.pretrain is not None or entry.distill is not None or needs_no_label


def _subtable(value: Any, path: str) -> dict[str, Any]:  # noqa: ANN401
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SettingsError(f"Classifier: {path} = {value!r}: this is the name of a table of settings, not a value")
    return value


def _chooses_nothing(entry: NewModel) -> bool:
    """Say whether a model is a bag of n-grams that needs no reviews held out."""
    is_bag = isinstance(entry.model, BowSettings) and entry.model.refit
    return is_bag and entry.distill is None and entry.calibrate is None


class _LabelError(DataError, ValueError):
    """What is wrong with `y`; scikit-learn's tools take a ValueError for it."""


def _classes(y: Values, num_texts: int) -> tuple[npt.NDArray[Any], Int64Array]:
    """Return the classes, sorted, and the number of each row's."""
    if y is None:
        raise _LabelError("training requires y to be passed, but the target y is None; give a label for each text")
    values = as_values(y, name="y")
    if len(values) != num_texts:
        raise _LabelError(f"X has {num_texts:,} texts, but y has {len(values):,} labels; give one for each text")
    for i, value in enumerate(values):
        if is_missing(value) or value in (math.inf, -math.inf):
            raise _LabelError(f"y[{i}] is {value}, which is not a label; drop the row or label it")
    if len({isinstance(value, str) for value in values}) > 1:
        raise _LabelError("y mixes str with other types; give labels of one type")
    if isinstance(next(iter(values), None), str) and len(set(map(composed, values))) < len(set(values)):
        y = values = [composed(value) for value in values]  # some labels look the same
    has_known_type = isinstance(y, np.ndarray) and y.dtype.kind in "biufUO"
    array = column_or_1d(y if has_known_type else np.asarray(values), warn=True)
    check_classification_targets(array)
    classes, label_ids = np.unique(array, return_inverse=True)
    if not 2 <= len(classes) <= MAX_CLASSES:
        found = f"one class only, {classes[0]!s}" if len(classes) == 1 else f"{len(classes):,} classes"
        raise _LabelError(f"y has {found}; a classifier takes 2 … {MAX_CLASSES}")
    return classes, label_ids.astype(np.int64)


def _values_of(labels: tuple[str, ...], dtype: str | None) -> npt.NDArray[Any]:
    """Return what `str` made the labels from, given the dtype that they had."""
    if dtype is None or np.dtype(dtype).kind not in "biuf":
        return np.array(labels, dtype=dtype)
    if np.dtype(dtype).kind == "b":
        return np.array([label == "True" for label in labels])
    return np.array(labels).astype(dtype)


def _epochs(run_dir: Path) -> list[dict[str, Any]]:
    """Return what a training wrote of each epoch, nothing of kinds without epochs."""
    path = run_dir / "metrics.jsonl"
    events = map(json.loads, path.read_text(encoding="utf-8").splitlines()) if path.exists() else ()
    return [
        {name: value for name, value in event.items() if name != "event"}
        for event in events
        if event["event"] == "epoch"
    ]


def _params(manifest: Manifest) -> dict[str, Any]:
    """Return the parameters of a classifier that would train such a model, as far as its bundle records them."""
    provenance = manifest.provenance
    tables = [] if provenance.recipe is None else list(provenance.recipe.models.values())
    made_at_once = len(tables) == 1 and "from" not in tables[0]
    params = {"kind": manifest.kind, **(tables[0] if made_at_once else manifest.settings)}
    if "validation_fraction" in provenance.data:
        params["validation_fraction"] = provenance.data["validation_fraction"]
    return {**params, "seed": provenance.seed or 0}
