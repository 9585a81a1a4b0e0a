"""Text files, local or remote, compressed or not: opened as a stream of bytes, with errors that name the file."""

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from plaudit.data.formats.archive import MAGIC, open_member
from plaudit.data.formats.as_utf8 import as_utf8
from plaudit.data.formats.dialect import Dialect, Start
from plaudit.data.formats.encoding import find_encoding
from plaudit.data.formats.location import Location
from plaudit.data.formats.read_options import ReadOptions
from plaudit.data.formats.rows import UTF8_HINT, ReadLog, not_encoded
from plaudit.errors import DataError, PlauditError

DECOMPRESSORS: dict[str, Callable[[Any], Any]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": lambda file: pa.CompressedInputStream(file, "zstd"),
    ".lz4": lambda file: pa.CompressedInputStream(file, "lz4"),
}
START_BYTES = 1 << 18
"""What is looked at to find out how a file is written."""


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

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


def open_text(location: Location, log: ReadLog, dialect: Dialect) -> IO[bytes]:
    """Open a text file, decompressed and as UTF-8 without byte order mark."""
    file = _open_stored(location, log, dialect.member)
    if dialect.encoding != "utf-8" or dialect.ends_in_cr:
        return as_utf8(file, dialect, name=str(location))
    if file.peek(3)[:3] == codecs.BOM_UTF8:
        file.read(3)
    return file


def read_start(location: Location, member: str | None, options: ReadOptions) -> Start:
    """Return the first 256 KiB of a text file and its encoding; DataError if it is not text."""
    with _open_stored(location, ReadLog(), member) as file:
        start = file.read(START_BYTES)
    is_whole = len(start) < START_BYTES
    if not start.strip():
        raise DataError(f"{location}: the file is empty; it needs a header and at least one row")
    if start.startswith(b"\x1f\x8b"):
        raise DataError(f"{location}: this is a gzip file; let its name end in .gz")
    if start.startswith(MAGIC):
        raise DataError(f"{location}: this is a zip archive or a spreadsheet; let its name end in .zip or .xlsx")
    encoding = options.encoding or find_encoding(start)
    if encoding is None:
        raise DataError(f"{location}: this is a binary file, or in UTF-16 without a byte order mark; {UTF8_HINT}")
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    text = decoder.decode(start).removeprefix("\ufeff")
    if not text.strip():
        raise DataError(f"{location}: the file is empty; it needs a header and at least one row")
    is_guess = options.encoding is None and encoding == "cp1252"
    return Start(text, is_whole, encoding, is_encoding_guessed=is_guess, member=member)


def read_whole(location: Location, options: ReadOptions) -> str:
    """Return the text of a file that is one text; DataError if its encoding is not known."""
    with named_errors(location), location.open() as file:
        content = file.read()
    encoding = options.encoding or find_encoding(content)
    if encoding is None:
        raise DataError(f"{location}: this is a binary file, or in UTF-16 without a byte order mark; {UTF8_HINT}")
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise DataError(f"{location}: {not_encoded(encoding)}") from None


def _open_stored(location: Location, log: ReadLog, member: str | None) -> "_Stream":
    """Open a file, decompressed."""
    raw = _Counted(location.open(), log)
    try:
        if member is not None:
            return _Stream(open_member(location, io.BufferedReader(raw, 1 << 18), member), raw)
        decompress = DECOMPRESSORS.get(Path(location.name.lower()).suffix)
        return _Stream(decompress(io.BufferedReader(raw, 1 << 18)) if decompress else raw, raw)
    except BaseException:
        raw.close()
        raise


class _Stream(io.BufferedReader):
    """What a decompressor reads from a file, which it does not close itself."""

    def __init__(self, content: Any, stored: _Counted) -> None:  # noqa: ANN401  # any of DECOMPRESSORS
        super().__init__(content, 1 << 18)
        self._stored = stored

    def close(self) -> None:
        super().close()
        self._stored.close()


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
