"""Frozen, closed settings: TOML tables and `a.b=value` overrides in, validated objects out.

Each stage declares its own settings next to its code by deriving from `Settings`; this module only knows how to
read them and how to say in one line what is wrong with them.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from plaudit.errors import SettingsError


class Settings(BaseModel):
    """Base of all settings: immutable, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=Settings)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; SettingsError if it is missing or malformed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such recipe; give the path of a .toml file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: not readable as TOML: {error}") from None


def override(values: dict[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return `values` with each `a.b=v` assignment applied; v is read as TOML, or taken as a bare string."""
    result = _copy_tables(values)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not all(name.split(".")):
            raise SettingsError(f"--set {assignment}: write it as name=value, for example models.lstm.hidden_size=64")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        *tables, last = name.split(".")
        table = result
        for key in tables:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise SettingsError(f"--set {assignment}: {key} is a value, not a table of settings")
        table[last] = value
    return result


def _copy_tables(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy_tables(value) if isinstance(value, dict) else value for key, value in values.items()}


def parse(cls: type[S], values: Mapping[str, Any], *, source: str, prefix: str = "") -> S:
    """Validate `values` as `cls`; SettingsError says `source: prefix.name …` and suggests the nearest name."""
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise SettingsError(f"{source}: {_explain(cls, error.errors()[0], prefix)}") from None


def unknown_name(given: str, known: Iterable[str]) -> str:
    """Say that a name is unknown, with the nearest known one if it is near and all known ones otherwise."""
    known = sorted(known)
    near = difflib.get_close_matches(given, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return f"is unknown; {hint}"


def _explain(cls: type[Settings], problem: ErrorDetails, prefix: str) -> str:
    names, owner = _locate(cls, problem["loc"])
    path = ".".join(filter(None, [prefix, *names]))
    if problem["type"] == "extra_forbidden":
        fields = {} if owner is None else owner.model_fields
        return f"{path} {unknown_name(names[-1], (field.alias or name for name, field in fields.items()))}"
    if problem["type"] == "missing":
        return f"{path} is missing; give it a value"
    if problem["type"] in ("model_type", "dict_type"):
        return f"{path} = {problem['input']!r}: this is the name of a table of settings, not a value"
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if isinstance(problem["input"], Mapping | BaseModel):
        return f"{path}: {message}" if path else message
    return f"{path} = {problem['input']!r}: {message}"


def _locate(cls: type[BaseModel], location: Sequence[int | str]) -> tuple[list[str], type[BaseModel] | None]:
    """Return the names that lead to a setting, and the class of the table that it is in, None if that is no class.

    Where a setting may have several types, pydantic names the one it tried; a recipe does not.
    """
    names: list[str] = []
    owner: type[BaseModel] | None = None
    inner: type[BaseModel] | None = cls
    rest = list(location)
    while rest:
        name, owner = str(rest.pop(0)), inner
        names.append(name)
        fields = {} if owner is None else {field.alias or key: field for key, field in owner.model_fields.items()}
        annotation = fields[name].annotation if name in fields else None
        is_union = get_origin(annotation) in (Union, UnionType)
        types = [each for each in (get_args(annotation) if is_union else (annotation,)) if each is not NoneType]
        tables = [each for each in types if isinstance(each, type) and issubclass(each, BaseModel)]
        if len(types) > 1 and rest:
            tag = rest.pop(0)
            tables = [each for each in tables if getattr(each.model_fields.get("kind"), "default", None) == tag]
        inner = tables[0] if tables else None
    return names, owner
