"""Files that are written completely or not at all, and journals that let interrupted work resume."""

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

HINT = "give a folder with room that can be written to"

_umask_lock = threading.Lock()
"""Reading the umask means changing it for a moment, which two threads must not do at once."""


@contextmanager
def replacing(path: Path, *, hint: str = HINT) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed to `path` when the block ends without an error.

    Missing folders are created. A full disk or a read-only folder is an OutputError that ends in `hint`. Whatever goes
    wrong, no half-written file is left.
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
        # mkstemp creates files that only their owner can read; a result gets the permissions of any other new file.
        with _umask_lock:
            mask = os.umask(0)
            os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}); {hint}") from None
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, hint: str = HINT) -> None:
    """Write a UTF-8 file completely or not at all, as `replacing` does."""
    with replacing(path, hint=hint) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_journal(path: Path, row: Callable[..., T], *, head: Mapping[str, Any], of: str) -> tuple[list[T], str | None]:
    """Return a journal's rows, and the first name in its head that differs from `head`, None if all agree.

    A journal that does not exist has no rows. `of` names its content in the DataError for a damaged or foreign file.
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
    """Create a journal with this head unless it exists."""
    if not path.exists():
        _write_lines(path, [json.dumps(head)])


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a journal; if the process is killed, the row is there completely or not at all."""
    _write_lines(path, [*path.read_text(encoding="utf-8").splitlines(), json.dumps(row)])


def _write_lines(path: Path, lines: list[str]) -> None:
    write_text(path, "\n".join(lines) + "\n")
