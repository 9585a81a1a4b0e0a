"""Files that appear whole or not at all, and journals by which interrupted work resumes."""

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from plaudit.errors import DataError, OutputError

T = TypeVar("T")

_asking_umask = threading.Lock()
"""One can only be told the umask by changing it, which threads must not do at once."""


@contextmanager
def replacing(path: Path, *, hint: str) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which takes its place when the block ends without an error.

    Folders are made as needed. A full disk or an unwritable folder is an OutputError that ends in `hint`;
    whatever goes wrong, no half-written file is left.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}); {hint}") from None
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only their owner reads; a result gets the rights of any other new file.
        with _asking_umask:
            mask = os.umask(0)
            os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}); {hint}") from None
    finally:
        temporary.unlink(missing_ok=True)


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
        _write_lines(path, [json.dumps(head)])


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a journal that was begun; a kill leaves all of it or none."""
    _write_lines(path, [*path.read_text(encoding="utf-8").splitlines(), json.dumps(row)])


def _write_lines(path: Path, lines: list[str]) -> None:
    with replacing(path, hint=_HINT) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
