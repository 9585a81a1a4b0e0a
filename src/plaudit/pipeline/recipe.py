"""A recipe says which data, which models, how each is trained or made out of another, and is checked as a whole.

    [models.teacher]            kind, its settings, and for torch kinds [models.teacher.train];
                                an lstm may have [models.teacher.pretrain], which trains a language model first,
                                and [models.teacher.objective], which says what training minimizes
    [models.words]              kind = "lstm" and [models.words.pretrain] alone: a language model, for others to start
                                from by pretrained = "words"
    [models.student]            the same, and [models.student.distill] with teachers
    [models.small]              from = "student", and [models.small.prune] or [models.small.quantize]
    calibrate = "temperature"   in any of them but a language model: correct its probabilities, on validation

`from`, `pretrained`, `members`, `teachers` and `beside` name models further up, shipped models or model folders.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from plaudit.compress.methods import COMPRESSORS, compressor
from plaudit.data.load import DataSettings
from plaudit.errors import MissingExtraError, SettingsError
from plaudit.models.base import ModelSettings
from plaudit.models.calibration import Method, known_method
from plaudit.models.kinds import model_class
from plaudit.settings import Settings, override, parse, read_toml

if TYPE_CHECKING:
    from plaudit.train.settings import ObjectiveSettings, PretrainSettings, TrainSettings


class ReportSettings(Settings):
    """Settings of the report page."""

    excerpt_characters: int = Field(default=300, ge=0)
    """How much of a wrongly judged review the page shows; 0 leaves the texts out."""
    robustness: tuple[str, ...] = ()
    """Models that are also tested for robustness."""
    errors: str | None = None
    """The model whose mistakes are looked into: doubtful labels, misleading words, training reviews like them."""


class _Tables(Settings):
    """The tables of a recipe file."""

    seed: int = 0
    data: DataSettings
    models: dict[str, dict[str, Any]]
    report: ReportSettings = ReportSettings()
    tune: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class ModelRecipe:
    """One model: its kind's settings, or the model that it is made from; how it is trained; how it is compressed."""

    model: ModelSettings | None
    source: str | None
    train: "TrainSettings | None"
    method: str | None = None
    compress: Settings | None = None
    pretrain: "PretrainSettings | None" = None
    pretrained: str | None = None
    """The model whose vocabulary, embedding and layers it starts with."""
    objective: "ObjectiveSettings | None" = None
    calibrate: Method | None = None
    """How its probabilities are corrected on validation once it is made."""

    @property
    def is_language_model(self) -> bool:
        """Whether it only learns which words follow one another, and no labels."""
        return self.pretrain is not None and self.train is None

    @property
    def made_of(self) -> tuple[str, ...]:
        """Names of the models that this one is made from, of or by."""
        others = (self.source, self.pretrained, getattr(self.compress, "beside", None))
        return (*filter(None, others), *getattr(self.model, "members", ()), *getattr(self.compress, "teachers", ()))

    def resolved(self) -> dict[str, Any]:
        """Return every setting, defaults included."""
        values = {} if self.model is None else self.model.model_dump(mode="json")
        if self.source is not None:
            values["from"] = self.source
        if self.pretrained is not None:
            values["pretrained"] = self.pretrained
        if self.pretrain is not None:
            values["pretrain"] = self.pretrain.model_dump(mode="json")
        if self.objective is not None:
            values["objective"] = self.objective.model_dump(mode="json")
        if self.train is not None:
            values["train"] = self.train.model_dump(mode="json")
        if self.method is not None and self.compress is not None:
            values[self.method] = self.compress.model_dump(mode="json")
        if self.calibrate is not None:
            values["calibrate"] = self.calibrate
        return values


@dataclass(frozen=True)
class Recipe:
    """Validated settings of a whole run."""

    name: str
    seed: int
    data: DataSettings
    models: dict[str, ModelRecipe]
    report: ReportSettings
    tune: Mapping[str, Any] = field(default_factory=dict)
    """What `plaudit tune` may change, as written; no other verb looks at it, and no bundle tells of it."""

    def language_models(self) -> tuple[str, ...]:
        """Return the names of the models that learn no labels; SettingsError if there is none."""
        names = tuple(name for name, entry in self.models.items() if entry.is_language_model)
        if not names:
            raise SettingsError(f"{self.name}: has no language model: a model with a pretrain table and no train table")
        return names

    def resolved(self) -> dict[str, Any]:
        """Return every setting, defaults included, as it stands in recipe.json."""
        return {
            "name": self.name,
            "seed": self.seed,
            "data": self.data.model_dump(mode="json"),
            "models": {name: entry.resolved() for name, entry in self.models.items()},
            "report": self.report.model_dump(mode="json"),
        }


def read_recipe(path: Path, assignments: Iterable[str] = ()) -> Recipe:
    """Read a TOML recipe and apply `a.b=value` assignments; SettingsError names file and setting."""
    return _recipe(override(read_toml(path), assignments), name=path.stem, source=str(path))


def _recipe(values: Mapping[str, Any], *, name: str, source: str) -> Recipe:
    tables = parse(_Tables, values, source=source)
    if not tables.models:
        raise SettingsError(f'{source}: has no model; add a table such as [models.bow] with kind = "bow"')
    models: dict[str, ModelRecipe] = {}
    for model, table in tables.models.items():
        models[model] = model_recipe(model, table, source=source)
        for other in models[model].made_of:
            if other == model or (other in tables.models and other not in models):
                raise SettingsError(
                    f"{source}: models.{model} is made of {other}, which comes later; put {other} first"
                )
    for model in (*tables.report.robustness, *filter(None, [tables.report.errors])):
        if model not in models or models[model].is_language_model:
            raise SettingsError(f"{source}: report names {model}, which is no model of this recipe that knows labels")
    return Recipe(name, tables.seed, tables.data, models, tables.report, tables.tune)


def model_recipe(name: str, values: Mapping[str, Any], *, source: str) -> ModelRecipe:
    """Check the table of one model; SettingsError says `source: models.name.setting …`."""
    entry = _uncalibrated(name, {key: value for key, value in values.items() if key != "calibrate"}, source=source)
    method = values.get("calibrate")
    if method is None:
        return entry
    if entry.is_language_model:
        raise SettingsError(f"{source}: models.{name}: a language model knows no labels; leave calibrate out")
    if entry.method is None and getattr(entry.model, "refit", False):
        raise SettingsError(
            f"{source}: models.{name}: calibrate needs reviews that it was not fitted on; set refit = false"
        )
    return replace(entry, calibrate=known_method(method, source=f"{source}: models.{name}.calibrate ="))


def _uncalibrated(name: str, values: Mapping[str, Any], *, source: str) -> ModelRecipe:
    prefix = f"models.{name}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise SettingsError(f"{source}: {prefix}: a model's name takes letters, digits, '.', '-' and '_'")
    values = dict(values)
    made_from, train_values = values.pop("from", None), values.pop("train", None)
    methods = [method for method in COMPRESSORS if method in values]
    if len(methods) > 1:
        raise SettingsError(f"{source}: {prefix}: {' and '.join(methods)} are two steps; make a model of each")
    method = methods[0] if methods else None
    if method == "quantize" and train_values is not None:
        raise SettingsError(f"{source}: {prefix}: quantize trains nothing; leave the train table out")
    try:
        compress = None
        if method is not None:
            settings = compressor(method).settings
            compress = parse(settings, values.pop(method), source=source, prefix=f"{prefix}.{method}")
        train = objective = None
        if train_values is not None:
            from plaudit.train.settings import TrainSettings

            train = parse(TrainSettings, train_values, source=source, prefix=f"{prefix}.train")
        if "objective" in values:
            from plaudit.train.settings import ObjectiveSettings

            objective = parse(ObjectiveSettings, values.pop("objective"), source=source, prefix=f"{prefix}.objective")
            if train is None or method is not None:
                where = f"the table {method}" if method else "a model that has a train table"
                raise SettingsError(f"{source}: {prefix}: objective belongs into {where}")
            if objective.needs_teacher:
                raise SettingsError(
                    f"{source}: {prefix}.objective: {', '.join(objective.losses)} take a teacher; use distill"
                )
        if made_from is None:
            pretrained, pretrain = _start(values, source=source, prefix=prefix)
            is_language_model = pretrain is not None and train is None and method is None
            if pretrain and pretrained and not is_language_model:
                raise SettingsError(
                    f"{source}: {prefix}: has a pretrain table and pretrained = {pretrained!r}; give one of them"
                )
            model = _new_model(values, method, train, is_language_model, source=source, prefix=prefix)
            if model.kind != "lstm" and (pretrain or pretrained):
                given = "pretrain" if pretrain else "pretrained"
                raise SettingsError(f'{source}: {prefix}: {given} is for kind "lstm"; leave it out')
            return ModelRecipe(model, None, train, method, compress, pretrain, pretrained, objective)
    except ModuleNotFoundError as error:
        raise missing_extra(error) from None
    if method in (None, "distill") or objective or values:
        given = next(iter(values), "distill" if method else "nothing")
        raise SettingsError(f"{source}: {prefix}: from goes with prune or quantize, and train, but has {given}")
    if not isinstance(made_from, str):
        raise SettingsError(f"{source}: {prefix}.from = {made_from!r}: give a model's name")
    return ModelRecipe(None, made_from, train, method, compress)


def _start(values: dict[str, Any], *, source: str, prefix: str) -> "tuple[str | None, PretrainSettings | None]":
    """Take out of a model's table what it starts with: another model's name, and a language model's settings."""
    pretrained, table = values.pop("pretrained", None), values.pop("pretrain", None)
    if pretrained is not None and not isinstance(pretrained, str):
        raise SettingsError(f"{source}: {prefix}.pretrained = {pretrained!r}: give a model's name")
    if table is None:
        return pretrained, None
    from plaudit.train.settings import PretrainSettings

    return pretrained, parse(PretrainSettings, table, source=source, prefix=f"{prefix}.pretrain")


def _new_model(
    values: dict[str, Any],
    method: str | None,
    train: "TrainSettings | None",
    is_language_model: bool,
    *,
    source: str,
    prefix: str,
) -> ModelSettings:
    if not isinstance(values.get("kind"), str):
        raise SettingsError(f'{source}: {prefix}.kind is missing or no name; for example kind = "bow"')
    if method not in (None, "distill"):
        raise SettingsError(f'{source}: {prefix}: {method} takes a trained model; name it by from = "NAME"')
    try:
        cls = model_class(values["kind"])
    except SettingsError as error:
        raise SettingsError(f"{source}: {prefix}.kind: {error}") from None
    model = parse(cls.Settings, values, source=source, prefix=prefix)
    from plaudit.train.checks import check_storage, check_train_table

    try:
        if not is_language_model:
            check_train_table(model, train)
        elif model.kind == "lstm":
            check_storage(model)
    except SettingsError as error:
        raise SettingsError(f"{source}: {prefix}: {error}") from None
    return model


def missing_extra(error: ModuleNotFoundError) -> MissingExtraError:
    """Return what to say of a missing optional dependency."""
    extra = "transformer" if error.name in ("transformers", "tokenizers") else "train"
    return MissingExtraError(f"this needs {error.name}: pip install 'plaudit[{extra}]'")
