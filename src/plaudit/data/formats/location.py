"""Where a review file is, on this machine or elsewhere, and how to open it.

s3://, gs:// and hdfs:// go through Arrow's own file systems, any other URL (http://, https://, memory:// …) through
fsspec, whose drivers take credentials from the environment.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs

from plaudit.errors import DataError, MissingExtraError

SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://")
_ARROW_SCHEMES = ("file", "s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")
_LOCAL = pa.fs.LocalFileSystem()


@dataclass(frozen=True)
class Location:
    """A local or remote file or folder; as a string, it is the address that the user gave."""

    address: str
    filesystem: Any
    """Arrow's FileSystem that holds it."""
    path: str
    """Its path there."""

    @classmethod
    def of(cls, address: str | Path) -> "Location":
        """Resolve an address without touching the file; DataError if URLs like this cannot be reached."""
        scheme = SCHEME.match(address) if isinstance(address, str) else None
        if scheme is None:
            return cls(str(address), _LOCAL, str(address))
        assert isinstance(address, str)
        uri = address if scheme[1].lower() in _ARROW_SCHEMES else f"fsspec+{address}"
        try:
            filesystem, path = pa.fs.FileSystem.from_uri(uri)
        except ImportError as error:
            missing = "plaudit[remote]" if "fsspec" in str(error) else str(error)
            raise MissingExtraError(f"{address}: URLs like this need: pip install '{missing}'") from None
        except (ValueError, OSError, NotImplementedError) as error:
            raise DataError(f"{address}: cannot be reached ({first_line(error)})") from None
        return cls(address, filesystem, path)

    def __str__(self) -> str:
        return self.address

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine, under an ordinary path."""
        return self.filesystem is _LOCAL or isinstance(self.filesystem, pa.fs.LocalFileSystem)

    @property
    def name(self) -> str:
        """The file's name, which ends in its format: no folders, and no query of a web address."""
        path = urlsplit(self.path).path if self.path.startswith(("http://", "https://")) else self.path
        return PurePosixPath(path).name

    def open(self) -> IO[bytes]:
        """Open the file as it is, at its first byte."""
        if self.is_local:
            return Path(self.path).open("rb")
        return cast(IO[bytes], self.filesystem.open_input_file(self.path))


def first_line(error: BaseException) -> str:
    """Return the first line of a message, cut after 200 characters."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
