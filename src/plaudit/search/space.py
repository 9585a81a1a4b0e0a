"""What `plaudit tune` may change: read from the `[tune]` tables of a recipe, and checked.

    [tune.lstm]                                                    for the model lstm
    "train.max_learning_rate" = { low = 1e-4, high = 1e-2, log = true }
    hidden_size = { choices = [32, 64] }
    [tune]                                                         for whichever model is tuned
    output_dropout = { low = 0.1, high = 0.6 }

Both ends of every range and every choice are tried on the recipe before anything is trained, so a misspelt name costs
nothing.
"""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import model_validator

from plaudit.errors import SettingsError
from plaudit.pipeline.recipe import ModelRecipe, model_recipe
from plaudit.settings import Settings, parse

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


Value = Any
"""A setting's value, of any type that a recipe can hold."""


class Range(Settings):
    """The values of one setting: those from low to high, or some choices."""

    low: int | float | None = None
    """Smallest value."""
    high: int | float | None = None
    """Largest value."""
    log: bool = False
    """Draw by orders of magnitude, as suits rates and strengths."""
    choices: tuple[Value, ...] | None = None
    """Values instead of a range."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("choices cannot be combined with low, high or log")
            if len(self.choices) < 2:
                raise ValueError("give two choices or more")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if self.low >= self.high:
            raise ValueError("low must be less than high")
        if self.log and self.low <= 0:
            raise ValueError("log needs low > 0")
        return self

    @property
    def examples(self) -> tuple[Value, ...]:
        """Values to try a recipe with: both ends, or all choices."""
        return self.choices if self.choices is not None else (self.low, self.high)

    def contains(self, value: Value) -> bool:
        """Say whether a setting's value is one of these."""
        if self.choices is not None:
            return _encoded(value) in [_encoded(choice) for choice in self.choices]
        assert self.low is not None and self.high is not None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high


Space = dict[str, Range]
"""Ranges of a model's settings, by their dotted paths."""

DEFAULTS: dict[str, Space] = {
    "bow": {
        "inverse_regularization": Range(low=0.02, high=2.0, log=True),
        "min_count": Range(low=2, high=12, log=True),
        "max_order": Range(low=1, high=4),
        "smoothing": Range(low=0.1, high=10.0, log=True),
    },
    "docvec": {
        "embedding_size": Range(choices=(128, 256, 512)),
        "sharpness": Range(low=3.0, high=12.0, log=True),
        "min_count": Range(low=5, high=40, log=True),
        "inverse_regularization": Range(low=0.1, high=10.0, log=True),
    },
    "lstm": {
        "train.max_learning_rate": Range(low=5e-4, high=2e-2, log=True),
        "train.weight_decay": Range(low=1e-3, high=1.0, log=True),
        "embedding_dropout": Range(low=0.1, high=0.7),
        "output_dropout": Range(low=0.1, high=0.7),
    },
    "transformer": {
        "train.max_learning_rate": Range(low=1e-5, high=2e-4, log=True),
        "train.weight_decay": Range(low=1e-3, high=0.3, log=True),
        "output_dropout": Range(low=0.0, high=0.4),
    },
}
"""What a kind's accuracy depends on most, for recipes without a `[tune]` table."""


def read_space(tables: Mapping[str, Any], name: str, models: Mapping[str, Mapping[str, Any]], *, source: str) -> Space:
    """Return the ranges of a model's settings; SettingsError says what is wrong.

    `models` are the recipe's model tables as written. Ends and choices must each be valid for the model, with its
    other settings as the recipe has them or all at one end of their ranges. A range has whole numbers as its ends only
    if the setting takes nothing between them.
    """
    space = _written_space(tables, name, models, source=source) or DEFAULTS.get(str(models[name].get("kind")))
    if not space:
        raise SettingsError(
            f"{source}: has no [tune.{name}] table; give one, such as setting = {{ low = 1, high = 4 }}"
        )
    for path, values in space.items():
        if path in ("kind", "from", "refit", "calibrate"):
            raise SettingsError(f"{source}: tune.{path}: cannot be searched; compare models with plaudit select")
        for value in values.examples:
            _check(path, value, space, name, models[name], source=source)
    return {path: _with_fractions(path, values, name, models[name], source=source) for path, values in space.items()}


def _written_space(tables: Mapping[str, Any], name: str, models: Mapping[str, Any], *, source: str) -> Space:
    """Return the ranges of the recipe's `[tune]` tables that are for all models, or for this one."""
    ranges = dict(_leaves(tables, "", source=source))
    of_models = tuple(f"{model}." for model in models)
    chosen = {path: values for path, values in ranges.items() if not path.startswith(of_models)}
    chosen |= {path.removeprefix(f"{name}."): values for path, values in ranges.items() if path.startswith(f"{name}.")}
    return {path: parse(Range, values, source=source, prefix=f"tune.{path}") for path, values in chosen.items()}


def _leaves(tables: Mapping[str, Any], prefix: str, *, source: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each range by its dotted path, whether its dots were written within quotes or as tables."""
    for key, values in tables.items():
        path = f"{prefix}{key}"
        if not isinstance(values, Mapping):
            raise SettingsError(
                f"{source}: tune.{path} = {values!r}: give a range, such as {{ low = 0.1, high = 0.6 }}, "
                "or { choices = [32, 64] }"
            )
        if Range.model_fields.keys() & values.keys() or not values:
            yield path, values
        else:
            yield from _leaves(values, f"{path}.", source=source)


def with_values(table: Mapping[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """Return a model's table with some settings, named by dotted paths, set; SettingsError if a path is no table."""
    changed: dict[str, Any] = {**table}
    for path, value in values.items():
        *parents, last = path.split(".")
        inner = changed
        for parent in parents:
            below = inner.get(parent, {})
            if not isinstance(below, Mapping):
                raise SettingsError(f"{path}: {parent} is a value, not a table of settings")
            inner[parent] = {**below}
            inner = inner[parent]
        inner[last] = list(value) if isinstance(value, tuple) else value
    return changed


def entry_with(table: Mapping[str, Any], values: Mapping[str, Value], name: str, *, source: str) -> ModelRecipe:
    """Return the model with some settings changed; SettingsError if they do not go together."""
    return model_recipe(name, with_values(table, values), source=source)


def _check(path: str, value: Value, space: Space, name: str, table: Mapping[str, Any], *, source: str) -> None:
    """Raise SettingsError if a model cannot have this value, whichever end the other settings are at."""
    others = [{}, *({other: ranges.examples[end] for other, ranges in space.items()} for end in (0, -1))]
    problem: SettingsError | None = None
    for each in others:
        try:
            entry_with(table, {**each, path: value}, name, source=source)
        except SettingsError as error:
            problem = problem or error
        else:
            return
    assert problem is not None
    raise SettingsError(f"{problem} (searched by tune.{path})")


def _with_fractions(path: str, values: Range, name: str, table: Mapping[str, Any], *, source: str) -> Range:
    """Return a range whose ends are floats if the setting takes values between whole numbers."""
    if not isinstance(values.low, int) or not isinstance(values.high, int):
        return values
    try:
        entry_with(table, {path: values.low + 0.5}, name, source=source)
    except SettingsError:
        return values
    return values.model_copy(update={"low": float(values.low), "high": float(values.high)})


def distributions(space: Space) -> "dict[str, BaseDistribution]":
    """Return the ranges as Optuna's distributions; a choice that is a list or a table becomes JSON there."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    result: dict[str, BaseDistribution] = {}
    for path, values in space.items():
        if values.choices is not None:
            result[path] = CategoricalDistribution([_encoded(value) for value in values.choices])
        elif isinstance(values.low, int) and isinstance(values.high, int):
            result[path] = IntDistribution(values.low, values.high, log=values.log)
        else:
            assert values.low is not None and values.high is not None
            result[path] = FloatDistribution(values.low, values.high, log=values.log)
    return result


def decoded(params: Mapping[str, Any], space: Space) -> dict[str, Value]:
    """Return Optuna's parameters as settings of a recipe; fractions are rounded to four digits."""
    values = {}
    for path, value in params.items():
        ranges = space[path]
        if ranges.choices is not None:
            values[path] = next(choice for choice in ranges.choices if _encoded(choice) == value)
        elif isinstance(value, float):
            assert ranges.low is not None and ranges.high is not None
            values[path] = min(max(float(f"{value:.4g}"), float(ranges.low)), float(ranges.high))
        else:
            values[path] = value
    return values


def recipe_params(entry: ModelRecipe, space: Space) -> dict[str, Any]:
    """Return the recipe's own settings as Optuna's parameters, those of them that lie within the ranges."""
    params = {}
    for path, ranges in space.items():
        value: Value = entry.resolved()
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if ranges.contains(value):
            params[path] = _encoded(value)
    return params


def _encoded(value: Value) -> Value:
    return value if value is None or isinstance(value, str | int | float | bool) else json.dumps(value)
