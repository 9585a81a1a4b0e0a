"""Recipes: every class of settings with its fields, defaults and docstrings, as Markdown."""

import inspect
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from docs._reference.tables import cell, table
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.pycode import ModuleAnalyzer

_BOUNDS = (("ge", "≥ {:g}"), ("gt", "> {:g}"), ("le", "≤ {:g}"), ("lt", "< {:g}"), ("min_length", "at least {}"))
_PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path", Any: "anything"}


def sections() -> list[tuple[str, type[BaseModel]]]:
    """Return the tables of a recipe, in the order of the page, and the class that checks each."""
    from plaudit.compress.methods import COMPRESSORS
    from plaudit.compress.settings import TransferSettings
    from plaudit.data.load import DataSettings
    from plaudit.distributed.exchange.settings import ExchangeSettings
    from plaudit.models.kinds import SETTINGS, settings_class
    from plaudit.pipeline.recipe import Ensemble, LanguageModel, NewModel, ReportSettings, SmallerModel
    from plaudit.search.space import Range
    from plaudit.text.cleaning import CleaningSettings
    from plaudit.train.settings import ObjectiveSettings, PretrainSettings, TrainSettings

    return [
        ("[data]", DataSettings),
        ("[models.NAME], a language model", LanguageModel),
        ("[models.NAME], a new model", NewModel),
        ("[models.NAME], an ensemble", Ensemble),
        ("[models.NAME], a model made from another", SmallerModel),
        *((f'[models.NAME], kind = "{kind}"', settings_class(kind)) for kind in SETTINGS),
        ("[models.NAME.cleaning]", CleaningSettings),
        ("[models.NAME.train]", TrainSettings),
        *(
            (f'[models.NAME.train.exchange], kind = "{_kind(each)}"', each)
            for each in get_args(get_args(ExchangeSettings)[0])
        ),
        ("[models.NAME.pretrain]", PretrainSettings),
        ("[models.NAME.objective]", ObjectiveSettings),
        *((f"[models.NAME.{method}]", cls) for method, cls in COMPRESSORS.items()),
        ("[models.NAME.distill.transfer]", TransferSettings),
        ("[report]", ReportSettings),
        ("[tune.NAME]", Range),
    ]


def recipes() -> str:
    """Return a section for each table of a recipe."""
    return "\n\n".join(f"## {title}\n\n{described(cls)}" for title, cls in sections())


def described(cls: type[BaseModel]) -> str:
    """Return what a class of settings says of itself, and a table of the fields that no other table has."""
    rows = [
        (f"`{field.alias or name}`", _type(field), _default(field), cell(meaning(cls, name)))
        for name, field in cls.model_fields.items()
        if name not in ("kind", "model") and not _is_of_another_table(cls, name)
    ]
    about = f"{python_class(cls)}\n\n{inspect.getdoc(cls) or ''}"
    return f"{about}\n\n{table(('setting', 'type', 'default', 'meaning'), rows)}" if rows else about


def python_class(cls: type[BaseModel]) -> str:
    """Return the directive that shows a class's name and lets signatures link to it."""
    return f"```{{py:class}} {cls.__name__}\n:module: {cls.__module__}\n:no-contents-entry:\n```"


def _is_of_another_table(cls: type[BaseModel], name: str) -> bool:
    from plaudit.train.settings import PretrainSettings, TrainSettings

    return cls is PretrainSettings and name in TrainSettings.model_fields


def _kind(cls: type[BaseModel]) -> str:
    return str(cls.model_fields["kind"].default)


def meaning(cls: type[BaseModel], name: str) -> str:
    """Return the docstring under a field, which may be that of a base class, or else that of the table it holds."""
    said = ""
    for owner in cls.__mro__:
        if name in getattr(owner, "__annotations__", {}):
            documented = ModuleAnalyzer.for_module(owner.__module__).find_attr_docs()
            said = " ".join(documented.get((owner.__name__, name), []))
            break
    inner = cls.model_fields[name].annotation
    if not said and inspect.isclass(inner) and issubclass(inner, BaseModel):
        return (inspect.getdoc(inner) or "").partition("\n\n")[0]
    return said


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return "none"
    if isinstance(value, BaseModel):
        return f'`kind = "{_kind(type(value))}"`' if "kind" in type(value).model_fields else "its own defaults"
    return f"`{_toml(value)}`"


def _toml(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, int):
        return f"{value:_}" if value >= 10_000 else str(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(each)}' for key, each in value.items())} }}" if value else "{}"
    return str(value)


def _type(field: FieldInfo) -> str:
    bounds = [
        text.format(getattr(mark, name))
        for mark in field.metadata
        for name, text in _BOUNDS
        if getattr(mark, name, None) is not None
    ]
    return cell(", ".join([named(field.annotation), *bounds]))


def _either(names: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def named(annotation: Any) -> str:  # noqa: ANN401
    """Return what a reader calls a type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return named(arguments[0])
    if origin is Literal:
        return _either([f"`{_toml(value)}`" for value in arguments])
    if origin in (Union, types.UnionType):
        members = [each for each in arguments if each is not type(None)]
        alternatives = list(dict.fromkeys(map(named, members)))
        if alternatives == ["whole number", "number"]:
            return "number"
        return _either(alternatives)
    if origin in (tuple, list):
        inner = [each for each in arguments if each is not ...]
        return f"list of {named(inner[0])}" if len(set(inner)) == 1 else "list"
    if origin is dict:
        return f"table of {named(arguments[1])}"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return "table"
    return _PLAIN.get(annotation, getattr(annotation, "__name__", str(annotation)))
