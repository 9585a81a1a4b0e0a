"""Files that are written completely or not at all, and journals that let interrupted work resume."""

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from plaudit.errors import DataError, OutputError, SettingsError

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
    """Write a UTF-8 file completely or not at all, as `replacing` does; OutputError if the text cannot be UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        name = ascii(text[max(0, error.start - 20) : error.end])
        raise OutputError(f"{path}: cannot be written: a name in it is not UTF-8 ({name}); rename that file") from None
    with replacing(path, hint=hint) as temporary:
        temporary.write_text(text, encoding="utf-8")


def has_begun(out: Path, marker: str, *, of: str, resume: bool, ignored: Set[str] = frozenset()) -> bool:
    """Say whether a folder holds begun work, by its file `marker`; `of` names the work in messages.

    SettingsError if it holds anything else, apart from the files `ignored`, or work that is not to be resumed.
    """
    names = {entry.name for entry in out.iterdir() if not entry.name.startswith(".")} if out.is_dir() else set()
    if names <= ignored:
        return False
    if marker not in names:
        raise SettingsError(f"{out}: is not empty and holds no {of}; give a new folder as --out")
    if not resume:
        raise SettingsError(f"{out}: holds a {of} already; resume it with --resume, or give another --out")
    return True


def refuse_change(out: Path, before: Any, now: Any, *, of: str) -> None:  # noqa: ANN401  # what JSON can hold
    """Raise SettingsError if work in a folder is to be resumed with other settings than it began with."""
    changed = _first_difference(before, json.loads(json.dumps(now)))
    if changed is not None:
        raise SettingsError(f"{out}: its {of} began with another {changed}; undo that, or give another --out")


def _first_difference(before: Any, now: Any, path: str = "") -> str | None:  # noqa: ANN401
    if isinstance(before, dict) and isinstance(now, dict):
        for name in [*before, *(name for name in now if name not in before)]:
            difference = _first_difference(before.get(name), now.get(name), f"{path}.{name}" if path else name)
            if difference is not None:
                return difference
        return None
    return None if before == now else f"{path} ({before!r}, now {now!r})"


def read_journal(path: Path, row: Callable[..., T], *, head: Mapping[str, Any], of: str) -> list[T]:
    """Return a journal's rows, none if it does not exist; `of` names its content in messages.

    SettingsError if it began with another head; DataError if it is damaged or another file.
    """
    if not path.exists():
        return []
    try:
        before, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        rows = [row(**line) for line in lines]
        if not isinstance(before, dict):
            raise TypeError
    except (ValueError, TypeError):
        raise DataError(f"{path}: not the rows of a {of}; give another --out") from None
    refuse_change(path.parent, before, head, of=of)
    return rows


def begin_journal(path: Path, head: Mapping[str, Any]) -> None:
    """Create a journal with this head unless it exists."""
    if not path.exists():
        _write_lines(path, [json.dumps(head)])


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a journal; if the process is killed, the row is there completely or not at all."""
    _write_lines(path, [*path.read_text(encoding="utf-8").splitlines(), json.dumps(row)])


def _write_lines(path: Path, lines: list[str]) -> None:
    write_text(path, "\n".join(lines) + "\n")
