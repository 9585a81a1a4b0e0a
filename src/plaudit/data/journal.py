"""Work that goes on where it was cut short: a file of JSON lines, first its head, what was begun, then a row each."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from plaudit.data.atomic import replacing
from plaudit.errors import DataError

T = TypeVar("T")
_HINT = "give a folder with room as --out"


def read_journal(path: Path, row: Callable[..., T], *, head: Mapping[str, Any], of: str) -> tuple[list[T], str | None]:
    """Return the rows of a journal, none of one that is not there, and what of its head differs, None if nothing does.

    `of` says of what it is. DataError if it is damaged or another file.
    """
    if not path.exists():
        return [], None
    try:
        first, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        rows = [row(**line) for line in lines]
        now = json.loads(json.dumps(head))
        changed = next((name for name in now if first.get(name) != now[name]), None if first == now else "content")
    except (ValueError, TypeError, AttributeError):
        raise DataError(f"{path}: not the rows of a {of}; give another --out") from None
    return rows, changed


def begin_journal(path: Path, head: Mapping[str, Any]) -> None:
    """Write the head of a journal that is not there yet."""
    if not path.exists():
        _write(path, [json.dumps(head)])


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a journal that was begun; a kill leaves all of it or none."""
    _write(path, [*path.read_text(encoding="utf-8").splitlines(), json.dumps(row)])


def _write(path: Path, lines: list[str]) -> None:
    with replacing(path, hint=_HINT) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
