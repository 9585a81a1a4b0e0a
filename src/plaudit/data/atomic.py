"""Files that appear whole or not at all."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plaudit.errors import OutputError

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
