"""What `plaudit tune` may change: the `[tune]` tables of a recipe in, checked ranges of one model's settings out.

    [tune.lstm]                                                    for the model lstm
    "train.max_learning_rate" = { low = 1e-4, high = 1e-2, log = true }
    hidden_size = { choices = [32, 64] }
    [tune]                                                         for whichever model is tuned
    output_dropout = { low = 0.1, high = 0.6 }

Every end and every choice is tried on the recipe before anything is trained, so that a misspelt name costs nothing.
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
_MARKS = {"low", "high", "log", "step", "choices"}


class Range(Settings):
    """The values of one setting: those from low to high, or some choices."""

    low: int | float | None = None
    """Least value."""
    high: int | float | None = None
    """Greatest value."""
    log: bool = False
    """Draw by orders of magnitude, as suits rates and strengths."""
    step: int | float | None = None
    """Distance between neighbours, from low on."""
    choices: tuple[Any, ...] | None = None
    """Values in the place of a range."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log or self.step is not None:
                raise ValueError("choices go without low, high, log and step")
            if len(self.choices) < 2:
                raise ValueError("give two choices or more")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if self.low >= self.high:
            raise ValueError("low must be less than high")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs low > 0 and goes without step")
        if self.step is not None and not (self.step > 0 and _is_multiple(self.high - self.low, self.step)):
            raise ValueError("step must be more than 0 and lead from low to high")
        return self

    def ends(self) -> tuple[Value, ...]:
        """Return the values to try a recipe with."""
        return self.choices if self.choices is not None else (self.low, self.high)


Space = dict[str, Range]

DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "bow": {
        "inverse_regularization": {"low": 0.02, "high": 2.0, "log": True},
        "min_count": {"low": 2, "high": 12, "log": True},
        "max_order": {"low": 1, "high": 4},
        "smoothing": {"low": 0.1, "high": 10.0, "log": True},
    },
    "docvec": {
        "embedding_size": {"choices": [128, 256, 512]},
        "sharpness": {"low": 3.0, "high": 12.0, "log": True},
        "min_count": {"low": 5, "high": 40, "log": True},
        "inverse_regularization": {"low": 0.1, "high": 10.0, "log": True},
    },
    "lstm": {
        "train.max_learning_rate": {"low": 5e-4, "high": 2e-2, "log": True},
        "train.weight_decay": {"low": 1e-3, "high": 1.0, "log": True},
        "embedding_dropout": {"low": 0.1, "high": 0.7},
        "output_dropout": {"low": 0.1, "high": 0.7},
    },
    "transformer": {
        "train.max_learning_rate": {"low": 1e-5, "high": 2e-4, "log": True},
        "train.weight_decay": {"low": 1e-3, "high": 0.3, "log": True},
        "output_dropout": {"low": 0.0, "high": 0.4},
    },
}
"""Where a recipe has no `[tune]` table for a model: what a kind's accuracy depends on most."""


def read_space(
    tables: Mapping[str, Any], name: str, models: Mapping[str, Mapping[str, Any]], *, source: str
) -> tuple[Space, frozenset[str]]:
    """Return the ranges of a model's settings and which of them are whole numbers; SettingsError says what is wrong.

    `models` are the recipe's model tables as written. Ends and choices must each be valid for the model, with its
    other settings as the recipe has them or all at one end of their ranges.
    """
    leaves = dict(_leaves(tables, "", source=source))
    of_models = tuple(f"{model}." for model in models)
    given = {path: values for path, values in leaves.items() if not path.startswith(of_models)}
    given |= {path.removeprefix(f"{name}."): values for path, values in leaves.items() if path.startswith(f"{name}.")}
    if not given:
        given = dict(DEFAULTS.get(str(models[name].get("kind")), {}))
        if not given:
            raise SettingsError(
                f"{source}: has no [tune.{name}] table; give one, such as setting = {{ low = 1, high = 4 }}"
            )
    space = {path: parse(Range, values, source=source, prefix=f"tune.{path}") for path, values in given.items()}
    for path, values in space.items():
        if path in ("kind", "from", "refit", "calibrate"):
            raise SettingsError(f"{source}: tune.{path}: is no setting to search; compare models by plaudit select")
        for value in values.ends():
            _check(path, value, space, name, models[name], source=source)
    whole = {path for path, values in space.items() if _is_whole(path, values, name, models[name], source=source)}
    return space, frozenset(whole)


def _leaves(tables: Mapping[str, Any], prefix: str, *, source: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each range by its dotted path, whether its dots were written within quotes or as tables."""
    for key, values in tables.items():
        path = f"{prefix}{key}"
        if not isinstance(values, Mapping):
            raise SettingsError(
                f"{source}: tune.{path} = {values!r}: give a range, such as {{ low = 0.1, high = 0.6 }}, "
                "or { choices = [32, 64] }"
            )
        if _MARKS & values.keys() or not values:
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
    """Return the model of a trial; SettingsError if its settings do not go together."""
    return model_recipe(name, with_values(table, values), source=source)


def _check(path: str, value: Value, space: Space, name: str, table: Mapping[str, Any], *, source: str) -> None:
    """Raise SettingsError if a model cannot have this value, whichever end the other settings are at."""
    others = [{}, *({other: ranges.ends()[end] for other, ranges in space.items()} for end in (0, -1))]
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


def _is_whole(path: str, values: Range, name: str, table: Mapping[str, Any], *, source: str) -> bool:
    """Say whether a range is of whole numbers: its ends are, and the setting takes nothing between them."""
    if not isinstance(values.low, int) or not isinstance(values.high, int):
        return False
    try:
        entry_with(table, {path: values.low + 0.5}, name, source=source)
    except SettingsError:
        return True
    return False


def distributions(space: Space, whole: frozenset[str]) -> "dict[str, BaseDistribution]":
    """Return the ranges as Optuna has them; a choice that is a list or a table stands there as JSON."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for path, values in space.items():
        if values.choices is not None:
            found[path] = CategoricalDistribution([_stored(value) for value in values.choices])
        elif path in whole:
            assert values.low is not None and values.high is not None
            found[path] = IntDistribution(int(values.low), int(values.high), log=values.log, step=int(values.step or 1))
        else:
            assert values.low is not None and values.high is not None
            found[path] = FloatDistribution(float(values.low), float(values.high), log=values.log, step=values.step)
    return found


def decoded(params: Mapping[str, Any], space: Space) -> dict[str, Value]:
    """Return settings as a recipe has them, given Optuna's parameters; fractions are cut to four digits."""
    values = {}
    for path, value in params.items():
        ranges = space[path]
        if ranges.choices is not None:
            values[path] = next(choice for choice in ranges.choices if _stored(choice) == value)
        elif isinstance(value, float):
            assert ranges.low is not None and ranges.high is not None
            values[path] = min(max(float(f"{value:.4g}"), float(ranges.low)), float(ranges.high))
        else:
            values[path] = value
    return values


def start_of(entry: ModelRecipe, space: Space) -> dict[str, Any]:
    """Return the recipe's own settings as Optuna's parameters, as far as they lie within the ranges."""
    found = {}
    for path, ranges in space.items():
        value: Any = entry.resolved()
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if _holds(ranges, value):
            found[path] = _stored(value)
    return found


def _holds(ranges: Range, value: Value) -> bool:
    if ranges.choices is not None:
        return _stored(value) in [_stored(choice) for choice in ranges.choices]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    assert ranges.low is not None and ranges.high is not None
    return ranges.low <= value <= ranges.high and (ranges.step is None or _is_multiple(value - ranges.low, ranges.step))


def _is_multiple(distance: float, step: float) -> bool:
    return abs(distance / step - round(distance / step)) < 1e-9


def _stored(value: Value) -> Value:
    return value if value is None or isinstance(value, str | int | float | bool) else json.dumps(value)
