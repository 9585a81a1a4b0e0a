"""Text files, local or remote, compressed or not: opened as a stream of bytes, with errors that name the file."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

from plaudit.data.formats.location import Location
from plaudit.data.formats.rows import UTF8_HINT, ReadLog
from plaudit.errors import DataError, PlauditError

DECOMPRESSORS: dict[str, Callable[[Any], Any]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": lambda file: pa.CompressedInputStream(file, "zstd"),
    ".lz4": lambda file: pa.CompressedInputStream(file, "lz4"),
}


class _Counted(io.RawIOBase):
    """A file that logs how much of it has been read."""

    def __init__(self, file: IO[bytes], log: ReadLog) -> None:
        self._file = file
        self._log = log

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # collections.abc.Buffer takes Python 3.12
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        self._log.bytes_read += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_text(location: Location, log: ReadLog) -> IO[bytes]:
    """Open a text file, decompressed, after its byte order mark if it has one; DataError if it is not text."""
    decompress = DECOMPRESSORS.get(Path(location.name.lower()).suffix)
    raw = _Counted(location.open(), log)
    try:
        stored = io.BufferedReader(raw, 1 << 18)
        file = stored if decompress is None else io.BufferedReader(cast(Any, decompress(stored)), 1 << 18)
        start = file.peek(4096)[:4096]
        if problem := _not_text(start):
            raise DataError(f"{location}: {problem}")
        if start.startswith(b"\xef\xbb\xbf"):
            file.read(3)
    except BaseException:
        raw.close()
        raise
    return file


def _not_text(start: bytes) -> str | None:
    """Return why the beginning of a file is not text, None if it is."""
    if not start.strip():
        return "the file is empty; it needs a header and at least one row"
    if start.startswith(b"PK\x03\x04"):
        return "this is a zip archive (or a spreadsheet); unzip it, or save it as CSV"
    if start.startswith(b"\x1f\x8b"):
        return "this is a gzip file; let its name end in .gz"
    if b"\0" in start:
        return f"this is a binary or UTF-16 file, not UTF-8 text; {UTF8_HINT}"
    return None


@contextmanager
def named_errors(location: Location) -> Iterator[None]:
    """Turn what readers raise into a DataError that names the file."""
    name = location.name.lower()
    compression = Path(name).suffix if Path(name).suffix in DECOMPRESSORS else ""
    suffix = Path(name.removesuffix(compression)).suffix
    try:
        yield
    except PlauditError:
        raise
    except FileNotFoundError:
        raise DataError(f"{location}: no such file") from None
    except (gzip.BadGzipFile, zlib.error, EOFError, lzma.LZMAError) as error:
        raise _truncated(location, compression, error) from None
    except pa.ArrowException as error:
        message = str(error).splitlines()[0]
        raise DataError(f"{location}: not readable as {suffix}: {message}") from None
    except OSError as error:
        if compression and error.errno is None:
            raise _truncated(location, compression, error) from None
        raise DataError(f"{location}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # each fsspec file system has errors of its own
        if location.is_local:
            raise
        raise DataError(f"{location}: cannot be read ({str(error) or type(error).__name__})") from None


def _truncated(location: Location, compression: str, error: BaseException) -> DataError:
    kind = {".gz": "gzip", ".zst": "Zstandard"}.get(compression, compression.removeprefix("."))
    return DataError(f"{location}: not a complete {kind} file ({error}); compress or fetch it again")
