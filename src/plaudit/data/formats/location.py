"""Where review files are: paths, globs, folders and URLs in, files that can be opened out, in order.

s3://, gs:// and hdfs:// go through Arrow's own file systems, any other URL (http://, https://, memory:// …) through
fsspec, whose drivers read the credentials that the environment holds.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, cast
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs

from plaudit.errors import DataError, MissingExtraError

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://")
_ARROW_SCHEMES = ("file", "s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")
_LOCAL = pa.fs.LocalFileSystem()


@dataclass(frozen=True)
class Location:
    """One file or folder, here or elsewhere; it reads as the address it was given by."""

    address: str
    filesystem: Any
    """Arrow's FileSystem that has it."""
    path: str
    """Its path there."""

    @classmethod
    def of(cls, address: str | Path) -> "Location":
        """Look an address up without touching what it names; DataError if there is no way to such a URL."""
        scheme = _SCHEME.match(address) if isinstance(address, str) else None
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
            raise DataError(f"{address}: cannot be reached ({_first_line(error)})") from None
        return cls(address, filesystem, path)

    def __str__(self) -> str:
        return self.address

    @property
    def is_local(self) -> bool:
        """Whether it is a file of this machine, which an ordinary path names."""
        return self.filesystem is _LOCAL or isinstance(self.filesystem, pa.fs.LocalFileSystem)

    @property
    def name(self) -> str:
        """The file's own name, which tells its format: without folders, and of a web address without its query."""
        path = urlsplit(self.path).path if self.path.startswith(("http://", "https://")) else self.path
        return PurePosixPath(path).name

    def open(self) -> IO[bytes]:
        """Open the file as it is, at its first byte."""
        if self.is_local:
            return Path(self.path).open("rb")
        return cast(IO[bytes], self.filesystem.open_input_file(self.path))


class Found(NamedTuple):
    """A file and what tells whether it has changed: its size and when it was modified, None where nobody knows."""

    location: Location
    size_bytes: int | None
    modified_ns: int | None


def find_files(addresses: Iterable[str], *, endings: tuple[str, ...]) -> list[Found]:
    """Return the files that paths, globs, folders and URLs name: in the order given, those of one address by path.

    Of a folder that is all files below it whose name ends in one of `endings`, less what is in a file or folder whose
    name begins with `.` or `_`. In a glob, `**` stands for any folders. DataError if an address names no file, or two
    name the same one.
    """
    found: dict[tuple[str, str], Found] = {}
    for address in addresses:
        try:
            files = list(_files_of(Location.of(address), endings))
        except (DataError, MissingExtraError):
            raise
        except Exception as error:  # each fsspec file system has errors of its own
            raise DataError(f"{address}: cannot be reached ({_first_line(error)})") from None
        for file in files:
            at = file.location
            key = (at.filesystem.type_name, str(Path(at.path).resolve()) if at.is_local else at.path)
            if key in found:
                raise DataError(f"{file.location}: is named twice; name each file once")
            found[key] = file
    return list(found.values())


def _files_of(location: Location, endings: tuple[str, ...]) -> Iterator[Found]:
    info = location.filesystem.get_file_info(location.path)
    if info.type == pa.fs.FileType.File:
        yield _found(location, info)
    elif info.type == pa.fs.FileType.Directory:
        base = info.path.rstrip("/")
        chosen = [
            each
            for each in _below(location, base, recursive=True)
            if each.path.lower().endswith(endings) and not re.search(r"(^|/)[._]", each.path[len(base) :])
        ]
        if not chosen:
            raise DataError(f"{location}: a folder without any review file; those end in {', '.join(endings)}")
        yield from (_found(_sibling(location, each.path), each) for each in chosen)
    elif re.search(r"[*?\[]", location.path):
        fixed = re.split(r"[*?\[]", location.path, maxsplit=1)[0]
        base = fixed.rpartition("/")[0] or ("/" if fixed.startswith("/") else ".")
        pattern = re.compile(_glob_pattern(location.path.removeprefix("./")))
        deep = "/" in location.path[len(fixed) :]
        listed = _below(location, base, recursive=deep)
        chosen = [each for each in listed if pattern.fullmatch(each.path.removeprefix("./"))]
        if not chosen:
            raise DataError(f"{location}: matches no file")
        yield from (_found(_sibling(location, each.path), each) for each in chosen)
    else:
        raise DataError(f"{location}: no such file")


def _below(location: Location, base: str, *, recursive: bool) -> list[Any]:
    """Return what Arrow tells of the files in a folder, or of all below it, by path."""
    selector = pa.fs.FileSelector(base, recursive=recursive, allow_not_found=True)
    listed = location.filesystem.get_file_info(selector)
    return sorted((each for each in listed if each.type == pa.fs.FileType.File), key=lambda each: each.path)


def _sibling(location: Location, path: str) -> Location:
    """Return another file of the same file system."""
    path = path.removeprefix("./")
    scheme = _SCHEME.match(location.address)
    if scheme is None:
        return Location(path, location.filesystem, path)
    before, itself, after = location.address.rpartition(location.path)
    query = after if after.startswith("?") else ""  # where S3 has its region or endpoint
    return Location(f"{before if itself else scheme[0]}{path}{query}", location.filesystem, path)


def _found(location: Location, info: Any) -> Found:  # noqa: ANN401  # Arrow has no types
    return Found(location, info.size, info.mtime_ns)


def _glob_pattern(glob: str) -> str:
    """Return the regular expression of a glob; a `*` or `?` matches no `/`, and `**/` any number of folders."""
    parts = re.split(r"(\*\*/|\*|\?|\[[^\]]+\])", glob)
    meanings = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        meanings.get(part) or (re.sub(r"^\[!", "[^", part) if i % 2 else re.escape(part))
        for i, part in enumerate(parts)
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
