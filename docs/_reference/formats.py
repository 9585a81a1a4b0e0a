"""Files: bundle.json and results.json by the classes that check them, as Markdown."""

import inspect
from typing import Any, get_args

from docs._reference.settings import meaning, named, python_class
from docs._reference.tables import cell, table
from pydantic import BaseModel


def formats() -> str:
    """Return a section for each file and each table in it."""
    from plaudit.bundle.folder import FORMAT as BUNDLE_FORMAT
    from plaudit.bundle.folder import FileDigest, Manifest
    from plaudit.evaluate.results import FORMAT, Hardware, Latency, Result, ResultsFile

    parts = [
        (f"## bundle.json, format {BUNDLE_FORMAT}", Manifest),
        ("### An entry of files", FileDigest),
        (f"## results.json, format {FORMAT}", ResultsFile),
        ("### An entry of results", Result),
        ("### latency_ms", Latency),
        ("### hardware", Hardware),
    ]
    return "\n\n".join(f"{title}\n\n{_described(cls)}" for title, cls in parts)


def _described(cls: type[BaseModel]) -> str:
    rows = [
        (f"`{name}`", _or_null(field.annotation), cell(meaning(cls, name))) for name, field in cls.model_fields.items()
    ]
    return f"{python_class(cls)}\n\n{inspect.getdoc(cls)}\n\n{table(('field', 'type', 'meaning'), rows)}"


def _or_null(annotation: Any) -> str:  # noqa: ANN401
    return named(annotation) + (" or `null`" if type(None) in get_args(annotation) else "")
