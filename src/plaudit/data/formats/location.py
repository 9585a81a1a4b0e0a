"""Find review files: paths, globs, folders and URLs in, files that can be opened out, in order.

s3://, gs:// and hdfs:// go through Arrow's own file systems, any other URL (http://, https://, memory:// …) through
fsspec, whose drivers take credentials from the environment.
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
    """A local or remote file or folder; as a string, it is the address that the user gave."""

    address: str
    filesystem: Any
    """Arrow's FileSystem that holds it."""
    path: str
    """Its path there."""

    @classmethod
    def of(cls, address: str | Path) -> "Location":
        """Resolve an address without touching the file; DataError if URLs like this cannot be reached."""
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


class InputFile(NamedTuple):
    """A file with its size and modification time, which show whether it has changed; None where unknown."""

    location: Location
    size_bytes: int | None
    modified_ns: int | None


def find_files(addresses: Iterable[str], *, endings: tuple[str, ...]) -> list[InputFile]:
    """Return the files that paths, globs, folders and URLs name, in the order given and sorted by path within each.

    A folder stands for all files below it whose name ends in one of `endings`, except those in a file or folder whose
    name begins with `.` or `_`. In a glob, `**` stands for any folders. DataError if an address names no file, or two
    name the same one.
    """
    files: dict[tuple[str, str], InputFile] = {}
    for address in addresses:
        try:
            named = list(_files_at(Location.of(address), endings))
        except (DataError, MissingExtraError):
            raise
        except Exception as error:  # each fsspec file system has errors of its own
            raise DataError(f"{address}: cannot be reached ({_first_line(error)})") from None
        for file in named:
            at = file.location
            key = (at.filesystem.type_name, str(Path(at.path).resolve()) if at.is_local else at.path)
            if key in files:
                raise DataError(f"{file.location}: is named twice; name each file once")
            files[key] = file
    return list(files.values())


def _files_at(location: Location, endings: tuple[str, ...]) -> Iterator[InputFile]:
    info = location.filesystem.get_file_info(location.path)
    if info.type == pa.fs.FileType.File:
        yield InputFile(location, info.size, info.mtime_ns)
        return
    if info.type == pa.fs.FileType.Directory:
        matches = _in_folder(location, info.path.rstrip("/"), endings)
        problem = f"a folder without any review file; those end in {', '.join(endings)}"
    elif re.search(r"[*?\[]", location.path):
        matches = _matching_glob(location)
        problem = "matches no file"
    else:
        raise DataError(f"{location}: no such file")
    if not matches:
        raise DataError(f"{location}: {problem}")
    for match in matches:
        yield InputFile(_sibling(location, match.path), match.size, match.mtime_ns)


def _in_folder(location: Location, folder: str, endings: tuple[str, ...]) -> list[Any]:
    def is_hidden(path: str) -> bool:
        return re.search(r"(^|/)[._]", path[len(folder) :]) is not None

    infos = _list_files(location, folder, recursive=True)
    return [info for info in infos if info.path.lower().endswith(endings) and not is_hidden(info.path)]


def _matching_glob(location: Location) -> list[Any]:
    fixed = re.split(r"[*?\[]", location.path, maxsplit=1)[0]
    folder = fixed.rpartition("/")[0] or ("/" if fixed.startswith("/") else ".")
    pattern = re.compile(_glob_pattern(location.path.removeprefix("./")))
    infos = _list_files(location, folder, recursive="/" in location.path[len(fixed) :])
    return [info for info in infos if pattern.fullmatch(info.path.removeprefix("./"))]


def _list_files(location: Location, folder: str, *, recursive: bool) -> list[Any]:
    """Return Arrow's FileInfo of each file in a folder, sorted by path."""
    selector = pa.fs.FileSelector(folder, recursive=recursive, allow_not_found=True)
    infos = location.filesystem.get_file_info(selector)
    return sorted((info for info in infos if info.type == pa.fs.FileType.File), key=lambda info: info.path)


def _sibling(location: Location, path: str) -> Location:
    """Return another file of the same file system."""
    path = path.removeprefix("./")
    scheme = _SCHEME.match(location.address)
    if scheme is None:
        return Location(path, location.filesystem, path)
    before, itself, after = location.address.rpartition(location.path)
    query = after if after.startswith("?") else ""  # where S3 has its region or endpoint
    return Location(f"{before if itself else scheme[0]}{path}{query}", location.filesystem, path)


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
