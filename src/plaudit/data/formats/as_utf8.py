"""A text file in any encoding, read as UTF-8."""

import codecs
import io
import re
from typing import IO, Any

from plaudit.data.formats.dialect import Dialect
from plaudit.data.formats.encoding import UTF8_LETTER, shown
from plaudit.data.formats.read_options import naming
from plaudit.errors import DataError


def as_utf8(file: IO[bytes], dialect: Dialect, *, name: str) -> io.BufferedReader:
    """Return a text file as UTF-8 without byte order mark, whatever its encoding and line ends.

    What cannot be decoded becomes the byte FF, which no UTF-8 holds, so that its row can be named. DataError, while
    reading, if a file that was taken for Windows-1252 holds letters of UTF-8.
    """
    return io.BufferedReader(_AsUtf8(file, dialect, name=name), 1 << 18)


class _AsUtf8(io.RawIOBase):
    def __init__(self, file: IO[bytes], dialect: Dialect, *, name: str) -> None:
        self._file = file
        errors = "surrogatepass" if dialect.encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
        self._decoder = codecs.getincrementaldecoder(dialect.encoding)(errors)
        self._dialect = dialect
        self._name = name
        self._waiting = memoryview(b"")
        self._last = b""
        self._is_start = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # collections.abc.Buffer takes Python 3.12
        while not self._waiting:
            stored = self._file.read(1 << 16)
            self._waiting = memoryview(self._converted(stored))
            if not stored:
                break
        size = min(len(buffer), len(self._waiting))
        buffer[:size] = self._waiting[:size]
        self._waiting = self._waiting[size:]
        return size

    def _converted(self, stored: bytes) -> bytes:
        if self._dialect.is_encoding_guessed and UTF8_LETTER.search(self._last + stored):
            raise DataError(
                f"{self._name}: begins as Windows-1252, but holds letters of UTF-8 further down; "
                f"name its encoding ({naming('encoding')})"
            )
        self._last = stored[-2:]
        try:
            text = self._decoder.decode(stored, final=not stored)
        except UnicodeDecodeError as error:
            raise DataError(f"{self._name}: is not {shown(error.encoding)} ({error.reason})") from None
        if self._is_start and text:
            text = text.removeprefix("\ufeff")
            self._is_start = False
        if self._dialect.ends_in_cr:
            text = text.replace("\r", "\n")
        try:
            return text.encode()
        except UnicodeEncodeError:
            return re.sub("[\ud800-\udfff]", "\udcff", text).encode("utf-8", "surrogateescape")

    def close(self) -> None:
        self._file.close()
        super().close()
