"""A recipe says which data to read, which models to make and how, and what to report; it is checked as a whole.

A table of `[models]` is one of four, by what it contains:

    LanguageModel    kind = "lstm" and a pretrain table alone: a language model, for others to start from
    NewModel         kind = "bow", "docvec", "lstm" or "transformer": trained on labels, or by distillation
    Ensemble         kind = "ensemble": several models, blended
    SmallerModel     from = "NAME", and a prune or quantize table

A table with a kind holds the settings of that kind as well. `from`, `pretrained`, `members`, `teachers` and `beside`
name models further up in the file, shipped models or model folders; `start` names one of the latter two.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from plaudit.compress.settings import DistillSettings, PruneSettings, QuantizeSettings
from plaudit.data.load import DataSettings
from plaudit.errors import SettingsError
from plaudit.models.base import ModelSettings
from plaudit.models.bow.settings import BowSettings
from plaudit.models.calibration import Method
from plaudit.models.ensemble import EnsembleSettings
from plaudit.models.kinds import settings_class
from plaudit.models.lstm.settings import LSTMSettings
from plaudit.pipeline.shipped import find_recipe
from plaudit.settings import Settings, override, parse, read_toml, unknown_name
from plaudit.train.checks import check_storage, check_train_table
from plaudit.train.settings import ObjectiveSettings, PretrainSettings, TrainSettings


class ModelRecipe(Settings):
    """One model of a recipe."""

    noun: ClassVar[str]
    """What messages call such a model."""

    @property
    def is_language_model(self) -> bool:
        """Whether it learns no labels."""
        return isinstance(self, LanguageModel)

    @property
    def made_of(self) -> tuple[str, ...]:
        """Names of the models that this one is made from."""
        return ()

    def resolved(self) -> dict[str, Any]:
        """Return the table with every setting, defaults included."""
        values = self.model_dump(mode="json", by_alias=True)
        if values.get("start") is None:
            values.pop("start_strength", None)
        if not values.get("self_training"):
            values.pop("self_training", None)
        return {**values.pop("model", {}), **{key: value for key, value in values.items() if value is not None}}


def _check(check: Callable[..., None], *arguments: object) -> None:
    """Let pydantic say where a SettingsError of a check belongs."""
    try:
        check(*arguments)
    except SettingsError as error:
        raise ValueError(str(error)) from None


class LanguageModel(ModelRecipe):
    """An LSTM that learns which words follow one another, for others to start from."""

    noun = "a language model, which learns no labels"

    model: LSTMSettings
    """Settings of its kind, in the same table."""
    pretrained: str | None = None
    """The language model that it continues from."""
    pretrain: PretrainSettings
    """How it learns."""

    @model_validator(mode="after")
    def _trains_in_fp32(self) -> Self:
        _check(check_storage, self.model)
        return self

    @property
    def made_of(self) -> tuple[str, ...]:
        """Return the model that it continues from."""
        return () if self.pretrained is None else (self.pretrained,)


class NewModel(ModelRecipe):
    """A bag of n-grams, document vectors, an LSTM or a transformer that learns from labels, teachers or both."""

    noun = "a new model"

    model: SerializeAsAny[ModelSettings]
    """Settings of its kind, in the same table."""
    pretrained: str | None = None
    """The model whose vocabulary, embedding and layers an LSTM starts with."""
    pretrain: PretrainSettings | None = None
    """How an LSTM first learns as a language model."""
    objective: ObjectiveSettings | None = None
    """What training minimizes; the cross-entropy with the labels if not given."""
    train: TrainSettings | None = None
    """How an LSTM or a transformer is trained."""
    distill: DistillSettings | None = None
    """Which teachers it learns from, and how."""
    start: str | None = None
    """The model whose predictions a bag of n-grams starts from, a shipped one or a folder, with any labels; it learns
    what that model lacks."""
    start_strength: float = Field(default=0.5, gt=0)
    """How strongly to trust it from the outset."""
    self_training: float = Field(default=0.0, ge=0)
    """A bag is fitted again with the unlabelled texts that a first fit is sure of, each counting so much; 0: not."""
    calibrate: Method | None = None
    """How its probabilities are corrected on validation once it is made."""

    @model_validator(mode="after")
    def _only_a_bag_trains_itself(self) -> Self:
        if self.self_training and (not isinstance(self.model, BowSettings) or self.distill is not None):
            raise ValueError('self_training is for kind = "bow" without a distill table; leave it out')
        return self

    @model_validator(mode="after")
    def _only_a_bag_has_a_head_start(self) -> Self:
        if self.start is None:
            if "start_strength" in self.model_fields_set:
                raise ValueError("start_strength has no effect without start; name a model to start from")
        elif not isinstance(self.model, BowSettings):
            raise ValueError('start is for kind = "bow"; an LSTM starts from pretrained = "NAME"')
        elif self.distill is not None:
            raise ValueError("start has no effect on a student; leave it or the distill table out")
        return self

    @model_validator(mode="after")
    def _starts_with_one_thing(self) -> Self:
        for name in ("pretrained", "pretrain"):
            if getattr(self, name) is not None and not isinstance(self.model, LSTMSettings):
                raise ValueError(f'{name} is for kind = "lstm"; leave it out')
        if self.pretrain is not None and self.pretrained is not None:
            raise ValueError(f"has a pretrain table and pretrained = {self.pretrained!r}; give one of them")
        return self

    @model_validator(mode="after")
    def _networks_train(self) -> Self:
        _check(check_train_table, self.model, self.train)
        return self

    @field_validator("objective")
    @classmethod
    def _objective_needs_no_teacher(cls, objective: ObjectiveSettings | None) -> ObjectiveSettings | None:
        if objective is not None and objective.needs_teacher:
            raise ValueError(f"{', '.join(objective.losses)}: needs a teacher; use distill")
        return objective

    @model_validator(mode="after")
    def _objective_has_a_train_table(self) -> Self:
        if self.objective is not None:
            if self.distill is not None:
                raise ValueError("objective: put it into the distill table")
            if self.train is None:
                raise ValueError("objective is for a model with a train table; leave it out")
        return self

    @model_validator(mode="after")
    def _calibrates_on_unseen_reviews(self) -> Self:
        if self.calibrate is not None and self.distill is None and getattr(self.model, "refit", False):
            raise ValueError("calibrate needs reviews that the model was not fitted on; set refit = false")
        return self

    @property
    def made_of(self) -> tuple[str, ...]:
        """Return what it starts with, what it is combined with and its teachers."""
        beside, teachers = (None, ()) if self.distill is None else (self.distill.beside, self.distill.teachers)
        return (*filter(None, (self.pretrained, self.start, beside)), *teachers)


class Ensemble(ModelRecipe):
    """Several models, whose logits are weighted and added."""

    noun = "an ensemble"

    model: EnsembleSettings
    """Settings of its kind, in the same table."""
    calibrate: Method | None = None
    """How its probabilities are corrected on validation once it is made."""

    @property
    def made_of(self) -> tuple[str, ...]:
        """Return its members."""
        return self.model.members


class SmallerModel(ModelRecipe):
    """A trained model, made smaller."""

    noun = "a model made from another"

    source: str = Field(alias="from")
    """The trained model."""
    train: TrainSettings | None = None
    """How pruning trains it again; as it was trained before if not given."""
    prune: PruneSettings | None = None
    """What to leave out of it."""
    quantize: QuantizeSettings | None = None
    """How to store its weights in fewer bits."""
    calibrate: Method | None = None
    """How its probabilities are corrected on validation once it is made."""

    @model_validator(mode="after")
    def _one_method(self) -> Self:
        if (self.prune is None) == (self.quantize is None):
            raise ValueError("from needs one prune or quantize table; make a model for each step")
        if self.quantize is not None and self.train is not None:
            raise ValueError("quantize trains nothing; leave the train table out")
        return self

    @property
    def method(self) -> tuple[str, Settings]:
        """The method's name, and its settings."""
        return next((name, value) for name in ("prune", "quantize") if (value := getattr(self, name)) is not None)

    @property
    def made_of(self) -> tuple[str, ...]:
        """Return the model that it is made from."""
        return (self.source,)


class ReportSettings(Settings):
    """Settings of the report page."""

    excerpt_characters: int = Field(default=300, ge=0)
    """How many characters of a misclassified review the page shows; 0 leaves the texts out."""
    robustness: tuple[str, ...] = ()
    """Models that are also tested for robustness."""
    baselines: bool = False
    """Also score the share of the largest class, and TF-IDF with logistic regression, on the same split."""
    errors: str | None = None
    """The model whose mistakes are analysed: doubtful labels, misleading words, similar training reviews."""


class Recipe(Settings):
    """A whole recipe; `recipe.json` of a run has it with every setting."""

    name: str
    seed: int = 0
    data: DataSettings
    models: dict[str, SerializeAsAny[ModelRecipe]]
    report: ReportSettings = ReportSettings()
    tune: dict[str, Any] = Field(default_factory=dict)
    """What `plaudit tune` may change, as written; no other verb reads it, and no bundle records it."""

    @model_validator(mode="after")
    def _parts_come_first(self) -> Self:
        known: set[str] = set()
        for name, entry in self.models.items():
            for other in entry.made_of:
                if other in self.models and other not in known:
                    raise ValueError(f"models.{name} is made from {other}, which comes later; put {other} first")
            known.add(name)
        return self

    @model_validator(mode="after")
    def _starts_know_other_reviews(self) -> Self:
        for name, entry in self.models.items():
            start = getattr(entry, "start", None)
            if start in self.models:
                raise ValueError(
                    f"models.{name}.start = {start!r} learns from the same reviews, which it would know too well; "
                    "name a shipped model or a folder, or join the two in an ensemble"
                )
        return self

    @model_validator(mode="after")
    def _report_names_classifiers(self) -> Self:
        for name in (*self.report.robustness, *filter(None, [self.report.errors])):
            if name not in self.models or self.models[name].is_language_model:
                raise ValueError(f"report names {name}, which is not a model of this recipe that learns labels")
        return self

    def language_models(self) -> tuple[str, ...]:
        """Return the names of the models that learn no labels; SettingsError if there is none."""
        names = tuple(name for name, entry in self.models.items() if entry.is_language_model)
        if not names:
            raise SettingsError(f"{self.name}: has no language model: a model with a pretrain table and no train table")
        return names

    def resolved(self) -> dict[str, Any]:
        """Return every setting, defaults included, as it stands in recipe.json."""
        values = self.model_dump(mode="json", exclude={"tune"})
        return {**values, "models": {name: entry.resolved() for name, entry in self.models.items()}}


def read_recipe(recipe: str | Path, assignments: Iterable[str] = ()) -> Recipe:
    """Read a TOML recipe, a file or one that ships, and apply `a.b=value` assignments.

    SettingsError names file and setting.
    """
    path = find_recipe(recipe)
    source, values = str(recipe), override(read_toml(path), assignments)
    tables = _table(values.get("models", {}), source=source, name="models")
    if not tables:
        raise SettingsError(f'{source}: has no model; add a table such as [models.bow] with kind = "bow"')
    models = {name: model_recipe(name, table, source=source) for name, table in tables.items()}
    return parse(Recipe, {"name": path.stem, **values, "models": models}, source=source)


_SHAPES: tuple[type[ModelRecipe], ...] = (LanguageModel, NewModel, Ensemble, SmallerModel)


def _keys(shape: type[ModelRecipe]) -> set[str]:
    """Return what a model's table may hold in addition to the settings of its kind."""
    return {field.alias or name for name, field in shape.model_fields.items()} - {"model"}


_ALL_KEYS = {"kind"}.union(*map(_keys, _SHAPES))


def model_recipe(name: str, table: object, *, source: str) -> ModelRecipe:
    """Check the table of one model; SettingsError says `source: models.name.setting …`."""
    prefix = f"models.{name}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise SettingsError(f"{source}: {prefix}: a model's name may contain letters, digits, '.', '-' and '_'")
    table = _table(table, source=source, name=prefix)
    kind = None if "from" in table else _settings_class(table, source=source, prefix=prefix)
    shape = _shape(table, kind)
    known = _keys(shape) | (set() if kind is None else kind.model_fields.keys())
    for key in table:
        if key in _ALL_KEYS - known:
            hint = 'name a trained model by from = "NAME"' if key in ("prune", "quantize") else "leave it out"
            raise SettingsError(f"{source}: {prefix}.{key} is not for {shape.noun}; {hint}")
        if key not in known:
            raise SettingsError(f"{source}: {prefix}.{key} {unknown_name(key, known)}")
    values = {key: value for key, value in table.items() if key in _keys(shape)}
    if kind is not None:
        of_kind = {key: value for key, value in table.items() if key in kind.model_fields}
        values["model"] = parse(kind, of_kind, source=source, prefix=prefix)
    return parse(shape, values, source=source, prefix=prefix)


def _table(value: object, *, source: str, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingsError(f"{source}: {name} = {value!r}: this is the name of a table of settings, not a value")
    return value


def _settings_class(table: Mapping[str, Any], *, source: str, prefix: str) -> type[ModelSettings]:
    kind = table.get("kind")
    if not isinstance(kind, str):
        raise SettingsError(f'{source}: {prefix}.kind is missing or not a name; for example kind = "bow"')
    try:
        return settings_class(kind)
    except SettingsError as error:
        raise SettingsError(f"{source}: {prefix}.kind: {error}") from None


def _shape(table: Mapping[str, Any], kind: type[ModelSettings] | None) -> type[ModelRecipe]:
    if kind is None:
        return SmallerModel
    if kind is EnsembleSettings:
        return Ensemble
    is_language_model = "pretrain" in table and not {"train", "distill"} & table.keys()
    return LanguageModel if kind is LSTMSettings and is_language_model else NewModel
