"""The bytes of a text file, here or elsewhere, packed or not: unpacked, counted, and known to be text."""

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
from plaudit.data.formats.rows import UTF8_HINT, Reading
from plaudit.errors import DataError, PlauditError

UNPACKERS: dict[str, Callable[[Any], Any]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": lambda file: pa.CompressedInputStream(file, "zstd"),
    ".lz4": lambda file: pa.CompressedInputStream(file, "lz4"),
}


class _Counted(io.RawIOBase):
    """A file that counts what has been read of it."""

    def __init__(self, file: IO[bytes], reading: Reading) -> None:
        self._file = file
        self._reading = reading

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # collections.abc.Buffer takes Python 3.12
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        self._reading.bytes_read += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_text(location: Location, reading: Reading) -> IO[bytes]:
    """Open a text file, unpacked, at its first byte after a byte order mark; DataError if it is not text."""
    unpacker = UNPACKERS.get(Path(location.name.lower()).suffix)
    raw = _Counted(location.open(), reading)
    try:
        packed = io.BufferedReader(raw, 1 << 18)
        file = packed if unpacker is None else io.BufferedReader(cast(Any, unpacker(packed)), 1 << 18)
        head = file.peek(4096)[:4096]
        if not head.strip():
            raise DataError(f"{location}: the file is empty; it needs a header and at least one row")
        if head.startswith(b"PK\x03\x04"):
            raise DataError(f"{location}: this is a zip archive (or a spreadsheet); unpack it, or save it as CSV")
        if head.startswith(b"\x1f\x8b"):
            raise DataError(f"{location}: this is a gzip file; let its name end in .gz")
        if b"\0" in head:
            raise DataError(f"{location}: this is a binary or UTF-16 file, not UTF-8 text; {UTF8_HINT}")
        if head.startswith(b"\xef\xbb\xbf"):
            file.read(3)
    except BaseException:
        raw.close()
        raise
    return file


@contextmanager
def naming(location: Location) -> Iterator[None]:
    """Turn what readers raise into a DataError that names the file."""
    packed = Path(location.name.lower()).suffix
    suffix = Path(location.name.lower().removesuffix(packed)).suffix if packed in UNPACKERS else packed
    try:
        yield
    except PlauditError:
        raise
    except FileNotFoundError:
        raise DataError(f"{location}: no such file") from None
    except (gzip.BadGzipFile, zlib.error, EOFError, lzma.LZMAError) as error:
        raise _not_whole(location, packed, error) from None
    except pa.ArrowException as error:
        message = str(error).splitlines()[0]
        raise DataError(f"{location}: not readable as {suffix}: {message}") from None
    except OSError as error:
        if packed in UNPACKERS and error.errno is None:
            raise _not_whole(location, packed, error) from None
        raise DataError(f"{location}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # each fsspec file system has errors of its own
        if location.is_local:
            raise
        raise DataError(f"{location}: cannot be read ({str(error) or type(error).__name__})") from None


def _not_whole(location: Location, packed: str, error: BaseException) -> DataError:
    kind = {".gz": "gzip", ".zst": "Zstandard"}.get(packed, packed.removeprefix("."))
    return DataError(f"{location}: not a whole {kind} file ({error}); pack or fetch it again")
