"""Find review files: paths, globs, folders and URLs in, files in order out."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.fs

from plaudit.data.formats.location import SCHEME, Location, first_line
from plaudit.data.formats.open import ENDINGS
from plaudit.errors import DataError, MissingExtraError


class InputFile(NamedTuple):
    """A file with its size and modification time, which show whether it has changed; None where unknown."""

    location: Location
    size_bytes: int | None
    modified_ns: int | None


def find_files(addresses: Iterable[str | Location]) -> list[InputFile]:
    """Return the files that paths, globs, folders and URLs name, in the order given and sorted by path within each.

    A folder stands for all files below it with a known ending, except where the name of a file or folder begins with
    `.` or `_`. In a glob, `**` stands for any folders. DataError if an address names no file, or two name the same one.
    """
    files: dict[tuple[str, str], InputFile] = {}
    for address in addresses:
        try:
            named = list(_files_at(address if isinstance(address, Location) else Location.of(address)))
        except (DataError, MissingExtraError):
            raise
        except Exception as error:  # each fsspec file system has errors of its own
            raise DataError(f"{address}: cannot be reached ({first_line(error)})") from None
        for file in named:
            at = file.location
            key = (at.filesystem.type_name, str(Path(at.path).resolve()) if at.is_local else at.path)
            if key in files:
                raise DataError(f"{file.location}: is named twice; name each file once")
            files[key] = file
    return list(files.values())


def _files_at(location: Location) -> Iterator[InputFile]:
    info = location.filesystem.get_file_info(location.path)
    if info.type == pyarrow.fs.FileType.File:
        yield InputFile(location, info.size, info.mtime_ns)
        return
    if info.type == pyarrow.fs.FileType.Directory:
        matches = _in_folder(location, info.path.rstrip("/"))
        problem = f"a folder without any review file; those end in {', '.join(ENDINGS)}; name a .txt itself"
    elif re.search(r"[*?\[]", location.path):
        matches = _matching_glob(location)
        problem = "matches no file"
    else:
        raise DataError(f"{location}: no such file")
    if not matches:
        raise DataError(f"{location}: {problem}")
    for match in matches:
        yield InputFile(_sibling(location, match.path), match.size, match.mtime_ns)


def _in_folder(location: Location, folder: str) -> list[Any]:
    def is_hidden(path: str) -> bool:
        return re.search(r"(^|/)[._]", path[len(folder) :]) is not None

    infos = _list_files(location, folder, recursive=True)
    return [info for info in infos if info.path.lower().endswith(ENDINGS) and not is_hidden(info.path)]


def _matching_glob(location: Location) -> list[Any]:
    fixed = re.split(r"[*?\[]", location.path, maxsplit=1)[0]
    folder = fixed.rpartition("/")[0] or ("/" if fixed.startswith("/") else ".")
    pattern = re.compile(_glob_pattern(location.path.removeprefix("./")))
    infos = _list_files(location, folder, recursive="/" in location.path[len(fixed) :])
    return [info for info in infos if pattern.fullmatch(info.path.removeprefix("./"))]


def _list_files(location: Location, folder: str, *, recursive: bool) -> list[Any]:
    """Return Arrow's FileInfo of each file in a folder, sorted by path."""
    selector = pyarrow.fs.FileSelector(folder, recursive=recursive, allow_not_found=True)
    infos = location.filesystem.get_file_info(selector)
    return sorted((info for info in infos if info.type == pyarrow.fs.FileType.File), key=lambda info: info.path)


def _sibling(location: Location, path: str) -> Location:
    """Return another file of the same file system."""
    path = path.removeprefix("./")
    scheme = SCHEME.match(location.address)
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
