"""Read the Large Movie Review Dataset (Maas et al. 2011) from its archive or from an unpacked folder.

Layout: `aclImdb/{train,test}/{pos,neg}/ID_RATING.txt`, `aclImdb/train/unsup/ID_0.txt`, and next to these folders
`urls_{pos,neg,unsup}.txt`, whose line ID is the page of that review's movie. The original archive also holds a README,
a vocabulary and bags of words, which are skipped. An archive is read once, as a stream, and never unpacked to disk.
"""

import gzip
import hashlib
import io
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa

from plaudit.data.table import SCHEMA, Dataset
from plaudit.errors import DataError

LABELS = ("negative", "positive")
MAX_REVIEW_BYTES = 1 << 20
MAX_MEMBER_BYTES = 64 << 20  # the original's largest member, unsupBow.feat, has 41 MB
MAX_ARCHIVE_BYTES = 1 << 30  # unpacked; the original has about a third of it

# In the order of the table's rows: folder, label, split.
FOLDERS: dict[str, tuple[int | None, str]] = {
    "train/neg": (0, "train"),
    "train/pos": (1, "train"),
    "test/neg": (0, "test"),
    "test/pos": (1, "test"),
    "train/unsup": (None, "unsup"),
}
UNLABELLED = "train/unsup"
"""May be missing: tutorials remove it, and most uses do not read it."""

_REVIEW = re.compile(r"(?:^|/)((?:train|test)/(?:pos|neg|unsup))/(\d+)_(\d+)\.txt$")
_URLS = re.compile(r"(?:^|/)(train|test)/urls_(pos|neg|unsup)\.txt$")
_TITLE = re.compile(r"tt\d+")


def read_archive(path: Path) -> Dataset:
    """Read an archive (.tar.gz) or a folder that is or holds aclImdb; rows are sorted by folder, then by number.

    The digest is taken over ids, texts and movies, so the same reviews have the same digest in an archive and in a
    folder. DataError names the file that is unsafe, unreadable or missing.
    """
    files = _folder_files(path) if path.is_dir() else _archive_files(path)
    reviews: dict[str, dict[int, tuple[int, str]]] = {folder: {} for folder in FOLDERS}
    movies: dict[str, list[str | None]] = {}
    for name, content in files:
        if review := _REVIEW.search(name):
            folder, number, rating = review.groups()
            if folder in reviews:
                reviews[folder][int(number)] = (int(rating), _decode(path, name, content))
        elif urls := _URLS.search(name):
            movies["/".join(urls.groups())] = [_title(line) for line in _decode(path, name, content).splitlines()]
    return _dataset(path, reviews, movies)


def review_folders(path: Path) -> list[Path]:
    """Return the files and folders whose change means that an unpacked folder has changed."""
    root = _root(path)
    urls = [root / folder.replace("/", "/urls_") for folder in FOLDERS]
    folders = [root / folder for folder in FOLDERS]
    return [folder for folder in folders if folder != root / UNLABELLED or folder.exists()] + [
        url for u in urls if (url := u.with_suffix(".txt")).exists()
    ]


def _dataset(
    path: Path, reviews: dict[str, dict[int, tuple[int, str]]], movies: dict[str, list[str | None]]
) -> Dataset:
    digest = hashlib.sha256()
    tables = []
    for folder, (label, split) in FOLDERS.items():
        numbers = sorted(reviews[folder])
        if not numbers and folder == UNLABELLED:
            continue
        _check_complete(path, folder, numbers)
        ratings, texts = zip(*(reviews[folder][number] for number in numbers), strict=True)
        ids = [f"{folder}/{number}_{rating}" for number, rating in zip(numbers, ratings, strict=True)]
        titles = movies.get(folder, [])
        groups = [titles[number] if number < len(titles) else None for number in numbers]
        for row in zip(ids, texts, groups, strict=True):
            digest.update("\0".join(field or "" for field in row).encode() + b"\0")
        columns = {
            "id": ids,
            "text": texts,
            "label": [label] * len(ids),
            "split": [split] * len(ids),
            "group": groups,
            "rating": [None] * len(ids) if label is None else ratings,
        }
        tables.append(pa.table(columns, schema=SCHEMA))
    return Dataset("imdb", LABELS, pa.concat_tables(tables).combine_chunks(), digest.hexdigest())


def _check_complete(path: Path, folder: str, numbers: list[int]) -> None:
    """Reviews are numbered from 0 without a gap, so a gap shows that a review is missing."""
    if not numbers:
        raise DataError(f"{path}: holds no aclImdb/{folder}/ID_RATING.txt; give the whole archive or folder")
    if numbers[-1] != len(numbers) - 1:
        missing = next(i for i, number in enumerate(numbers) if i != number)
        raise DataError(f"{path}: review {missing} of {folder} is missing; the archive is incomplete, fetch it again")


def _decode(path: Path, name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: {name} is not UTF-8 (byte {error.start}); fetch the archive again") from None


def _title(url: str) -> str | None:
    title = _TITLE.search(url)
    return title[0] if title else None


def _is_needed(name: str) -> bool:
    return bool(_REVIEW.search(name) or _URLS.search(name))


def _archive_files(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=_Bounded(stream, path), mode="r|") as archive:
            for member in archive:
                _check_member(path, member)
                if member.isfile() and _is_needed(member.name):
                    content = archive.extractfile(member)
                    assert content is not None, member.name
                    yield member.name, content.read()
            while stream.read(1 << 20):  # gzip checks its sum at the end
                pass
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; give the archive aclImdb_v1.tar.gz or the folder aclImdb") from None
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise DataError(f"{path}: not a whole .tar.gz archive ({reason}); fetch it again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from None


class _Bounded(io.RawIOBase):
    """A stream that stops at MAX_ARCHIVE_BYTES, so that neither data nor headers can be a decompression bomb."""

    def __init__(self, stream: gzip.GzipFile, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._left = MAX_ARCHIVE_BYTES

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise DataError(f"{self._path}: unpacks to more than {MAX_ARCHIVE_BYTES >> 20} MiB; not the review archive")
        return data


def _check_member(path: Path, member: tarfile.TarInfo) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise DataError(f"{path}: member {member.name!r} points outside the archive; fetch the archive again")
    if not (member.isfile() or member.isdir()):
        raise DataError(f"{path}: member {member.name!r} is a link or a device, not a file; fetch the archive again")
    _check_size(path, member.name, member.size)


def _check_size(path: Path, name: str, size: int) -> None:
    limit = MAX_REVIEW_BYTES if _REVIEW.search(name) else MAX_MEMBER_BYTES
    if size > limit:
        raise DataError(f"{path}: {name!r} has {size:,} bytes, more than the {limit:,} that such a file may have")


def _root(path: Path) -> Path:
    for root in (path, path / "aclImdb"):
        if (root / "train").is_dir() and (root / "test").is_dir():
            return root
    raise DataError(f"{path}: no folder aclImdb with train and test in it; give the folder that the archive unpacks to")


def _folder_files(path: Path) -> Iterator[tuple[str, bytes]]:
    root = _root(path)
    folders = [root / "train", root / "test"] + [root / folder for folder in FOLDERS if (root / folder).is_dir()]
    try:
        for folder in folders:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = f"{folder.relative_to(root).as_posix()}/{entry.name}"
                    if _is_needed(name):
                        yield name, _read(path, name, entry)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from None


def _read(path: Path, name: str, entry: "os.DirEntry[str]") -> bytes:
    if not entry.is_file(follow_symlinks=False):
        raise DataError(f"{path}: {name!r} is a link or a device, not a file; unpack the archive again")
    _check_size(path, name, entry.stat().st_size)
    return Path(entry.path).read_bytes()
