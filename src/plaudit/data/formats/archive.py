"""Zip archives: the one file in them that holds the rows."""

import zipfile
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import IO

from plaudit.data.formats.location import Location
from plaudit.data.formats.read_options import naming
from plaudit.errors import DataError

MAGIC = b"PK\x03\x04"


def member_name(location: Location, file: IO[bytes], endings: Iterable[str], chosen: str | None) -> str:
    """Return the name of the only readable file in an archive, or the `chosen` one; DataError lists what there is."""
    names = [info.filename for info in _opened(location, file).infolist() if not info.is_dir()]
    endings = tuple(endings)
    if chosen is not None:
        if chosen not in names:
            raise DataError(f"{location}: holds no {chosen!r}; it holds {_listed(names)}")
        return chosen
    tables = [name for name in names if name.lower().endswith(endings) and not _is_hidden(name)]
    if not tables:
        raise DataError(f"{location}: holds no file that ends in {', '.join(endings)}, only {_listed(names)}")
    if len(tables) > 1:
        raise DataError(f"{location}: holds {_listed(tables)}; choose one ({naming('table')}) or unzip it")
    return tables[0]


def open_member(location: Location, file: IO[bytes], name: str) -> IO[bytes]:
    """Open a file of an archive; DataError if it is encrypted."""
    try:
        return _opened(location, file).open(name)
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or compressed in a way that Python lacks
        raise DataError(f"{location}: {error}; unzip it") from None


def _opened(location: Location, file: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise DataError(f"{location}: not a complete zip archive ({error}); compress or fetch it again") from None


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "_")) for part in PurePosixPath(name).parts)


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:10])) + (", …" if len(names) > 10 else "") if names else "nothing"
