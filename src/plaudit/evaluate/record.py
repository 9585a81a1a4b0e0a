"""Reads and writes files of results: immutable records, validated strictly."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from plaudit.errors import DataError
from plaudit.storage import write_text


class Record(BaseModel):
    """Base of the records in files of results; the record of a whole file has a field `format`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


R = TypeVar("R", bound=Record)


def read_record(cls: type[R], path: Path, *, name: str, writer: str) -> R:
    """Read a file of results; `name` is what it contains, `writer` the command that writes it.

    DataError if it is missing, damaged, not written by Plaudit, of another format, or contradicts itself.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such {name} file; `{writer}` writes one") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a valid {name} file: it is not JSON ({error}); `{writer}` writes one") from None
    if not isinstance(content, dict) or "format" not in content:
        raise DataError(f"{path}: not a valid {name} file: it has no format; `{writer}` writes one")
    ours = cls.model_fields["format"].default
    if content["format"] != ours:
        raise DataError(
            f"{path}: {name} of format {content['format']!r}, but this version of Plaudit reads {ours}; "
            f"upgrade plaudit or write it again with `{writer}`"
        )
    try:
        return cls.model_validate(content)
    except ValidationError as error:
        raise DataError(f"{path}: damaged {name}: {describe_problem(error)}") from None


def describe_problem(error: ValidationError) -> str:
    """Return in one line which field of a record is wrong, and why."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def write_record(path: Path, record: Record, *, digits: int | None = None) -> None:
    """Write a file completely or not at all, rounded to `digits` decimals; OutputError if it cannot be written."""
    content = _rounded(record.model_dump(mode="json"), digits)
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _rounded(value: object, digits: int | None) -> object:
    if isinstance(value, float) and digits is not None:
        return round(value, digits)
    if isinstance(value, dict):
        return {key: _rounded(part, digits) for key, part in value.items()}
    return [_rounded(part, digits) for part in value] if isinstance(value, list) else value
