"""Pipes and standard input: copied to a file first, since how it is written is found out before it is read."""

import io
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow.fs

from plaudit.data.formats.compressed import DECOMPRESSORS
from plaudit.data.formats.fasttext import PREFIX
from plaudit.data.formats.location import SCHEME, Location
from plaudit.data.formats.open import has_known_ending
from plaudit.errors import DataError

_COMPRESSED = {
    ".gz": b"\x1f\x8b",
    ".bz2": b"BZh",
    ".xz": b"\xfd7zXZ",
    ".zst": b"\x28\xb5\x2f\xfd",
    ".lz4": b"\x04\x22\x4d\x18",
}
_START_BYTES = 1 << 16


@contextmanager
def copied_pipes(addresses: Sequence[str]) -> Iterator[list[Location]]:
    """Yield the place of each address, that of a temporary copy for a pipe; `-` is standard input.

    DataError if a pipe cannot be copied.
    """
    with tempfile.TemporaryDirectory(prefix="plaudit-") as folder:
        yield [
            _copied(each, Path(folder) / str(i)) if is_pipe(each) else Location.of(each)
            for i, each in enumerate(addresses)
        ]


def is_pipe(address: str) -> bool:
    """Whether this is standard input, or a file that can be read only once."""
    if address in ("-", "/dev/stdin") or address.startswith(("/dev/fd/", "/proc/self/fd/")):
        return True
    path = Path(address)
    return not SCHEME.match(address) and path.exists() and not path.is_file() and not path.is_dir()


def _copied(address: str, folder: Path) -> Location:
    name = "stdin" if address == "-" else Path(address).name
    try:
        folder.mkdir()
        with nullcontext(sys.stdin.buffer) if address == "-" else Path(address).open("rb") as pipe:
            start = pipe.read(_START_BYTES)
            path = folder / (name if has_known_ending(name) else name + _ending(start))
            with path.open("wb") as copy:
                copy.write(start)
                shutil.copyfileobj(pipe, copy, 1 << 20)
    except OSError as error:
        raise DataError(f"{address}: cannot be copied to {folder} ({error.strerror or error})") from None
    return Location(address, pyarrow.fs.LocalFileSystem(), str(path))


def _ending(start: bytes) -> str:
    """Return the ending of a file that begins so."""
    for suffix, magic in _COMPRESSED.items():
        if start.startswith(magic):
            try:
                inner: Any = DECOMPRESSORS[suffix](io.BytesIO(start))
                return _ending(inner.read(512)) + suffix
            except (OSError, EOFError):  # the first block is longer than the start
                return f".csv{suffix}"
    if start.startswith(b"PAR1"):
        return ".parquet"
    if start.startswith(b"PK\x03\x04"):
        return ".ods" if b"opendocument.spreadsheet" in start[:200] else ".xlsx" if b"xl/" in start else ".zip"
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        return ".xls"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return ".jsonl" if text.startswith(b"{") else ".txt" if text.startswith(PREFIX.encode()) else ".csv"
