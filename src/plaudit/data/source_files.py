"""The files of your own data set: one file or pipe, a folder of files of rows, or a folder of texts for each label.

In a folder, the names of files or of folders in it may say the split: `train-00000-of-00001.parquet`, `test/pos/1.txt`.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

from plaudit.data.formats.compressed import named_errors, read_whole
from plaudit.data.formats.location import Location
from plaudit.data.formats.open import ENDINGS, column_names, find_format, open_batches
from plaudit.data.formats.pipe import copied_pipes
from plaudit.data.formats.read_options import ReadOptions
from plaudit.errors import DataError, SettingsError

_SPLIT_NAMES = {
    "train": "train training",
    "validation": "validation valid val dev",
    "test": "test",
    "unsup": "unsup unsupervised unlabelled",
}
SPLITS = {name: split for split, names in _SPLIT_NAMES.items() for name in names.split()}
"""What a split may be called."""
_SPLIT_OF_FILE = re.compile(rf"({'|'.join(sorted(SPLITS, key=len, reverse=True))})(?=[-_.]|$)")


@dataclass(frozen=True)
class SourceFiles:
    """Where the rows are, and what the names of files and folders say about them."""

    path: Path
    files: tuple[Location, ...]
    names: tuple[str, ...]
    """The path of each file in the folder, without its ending."""
    splits: tuple[str | None, ...]
    """The split that each name says, None if it says none."""
    labels: tuple[str | None, ...] | None
    """The label that each file's folder says, if each file is a text."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.path.is_dir()

    def describe(self, options: ReadOptions) -> str | None:
        """Say what the files are and how they are written, in a few words; None if there is nothing to tell."""
        if not self.is_folder:
            found = find_format(self.files[0], options)
            return None if found.is_standard else found.describe()
        count = (
            f"{len(self.files):,} texts, labelled by folder" if self.labels else f"{len(self.files):,} files of rows"
        )
        splits = ", ".join(dict.fromkeys(split for split in self.splits if split))
        return count + (f", split by name into {splits}" if splits else "")

    def digest(self, options: ReadOptions) -> str:
        """Return the SHA-256 of the file or, for a folder, of all its names and contents; and of options, if any."""
        digests = []
        for file in self.files:
            with named_errors(file), file.open() as content:
                digest = hashlib.sha256()
                while block := content.read(1 << 20):
                    digest.update(block)
                digests.append(digest.hexdigest())
        content_digest = (
            digests[0] if not self.is_folder else _sha256(repr(list(zip(self.names, digests, strict=True))))
        )
        return _sha256(f"{content_digest} {options.model_dump_json()}") if options.given() else content_digest

    def column_names(self, options: ReadOptions) -> list[str]:
        """Return the columns that `read` can give: those of the first file, and what names of files say."""
        names = column_names(self.files[0], options) if self.labels is None else ["text", "label"]
        return [*names, *(name for name in self._by_name() if name not in names)]

    def read(self, columns: Sequence[str], options: ReadOptions) -> "SourceRows":
        """Read these columns of all files, as strings; SettingsError if options have no effect on texts."""
        if self.labels is not None and (without_effect := set(options.given()) - {"encoding"}):
            raise SettingsError(f"{min(without_effect)} has no effect on {self.path}, a folder of texts; leave it out")
        schema = pa.schema([(name, pa.string()) for name in columns])
        tables = [self._read_file(i, schema, options) for i in range(len(self.files))]
        starts = np.cumsum([0, *map(len, tables)])
        return SourceRows(pa.concat_tables(tables), self.files, tuple(starts.tolist()))

    def _by_name(self) -> list[str]:
        by_name = ["id"] if self.is_folder else []
        return by_name + (["split"] if any(self.splits) else [])

    def _read_file(self, i: int, schema: pa.Schema, options: ReadOptions) -> pa.Table:
        if self.labels is not None:
            text = read_whole(self.files[i], options)
            row = {"id": self.names[i], "text": text, "label": self.labels[i], "split": self.splits[i]}
            return pa.Table.from_pylist([row], schema=schema)
        given = set(self._by_name()) & set(schema.names)
        if given:
            given -= set(column_names(self.files[i], options))
        in_file = [name for name in schema.names if name not in given]
        batches = open_batches(self.files[i], in_file, options)
        table = pa.Table.from_batches(batches, schema=pa.schema([schema.field(name) for name in in_file]))
        values = {"split": [self.splits[i]] * len(table), "id": [f"{self.names[i]}/{n + 1}" for n in range(len(table))]}
        for name in given:
            table = table.append_column(name, pa.array(values[name], pa.string()))
        return table.select(schema.names)


@dataclass(frozen=True)
class SourceRows:
    """The rows of all files."""

    table: pa.Table
    files: tuple[Location, ...]
    starts: tuple[int, ...]
    """How many rows stand before each file."""

    def place(self, number: int) -> str:
        """Return the file of the row with this number, counted from 1 over all files, and its number there."""
        i = int(np.searchsorted(self.starts, number, "left")) - 1
        return f"{self.files[i]}: row {number - self.starts[i]}"


def printable(name: str) -> str:
    r"""Return the name of a file as text, with a byte that is not UTF-8 as in `caf\xe9`."""
    return os.fsencode(name).decode(errors="backslashreplace")


@contextmanager
def find_source(path: Path) -> Iterator[SourceFiles]:
    """Yield the files that a path names, a pipe as a copy that exists until the end.

    DataError if a folder holds no reviews, or both files of rows and texts, or names only some of the splits.
    """
    if path.is_dir():
        yield _in_folder(path)
        return
    with copied_pipes([str(path)]) as locations:
        yield SourceFiles(path, tuple(locations), (printable(Path(locations[0].path).stem),), (None,), None)


def _in_folder(path: Path) -> SourceFiles:
    files = [PurePosixPath(file.relative_to(path).as_posix()) for file in sorted(path.rglob("*")) if file.is_file()]
    files = [file for file in files if not any(part.startswith((".", "_")) for part in file.parts)]
    tables = [file for file in files if file.name.lower().endswith(ENDINGS)]
    texts = [file for file in files if file.suffix.lower() == ".txt" and _label(file) is not None]
    if tables and texts:
        raise DataError(
            f"{path}: holds files of rows ({tables[0]}) and texts in folders ({texts[0]}); name one of them"
        )
    if not tables and not texts:
        raise DataError(
            f"{path}: a folder without reviews; it needs files of rows, such as .csv, .jsonl or .parquet, "
            "or a folder of .txt files for each label"
        )
    chosen = tables or texts
    splits = tuple(_split(file) for file in chosen)
    if any(splits) and not all(splits):
        named = next(file for file, split in zip(chosen, splits, strict=True) if split)
        other = next(file for file, split in zip(chosen, splits, strict=True) if not split)
        raise DataError(f"{path}: {named} names its split, but {other} does not; rename or move one of them")
    return SourceFiles(
        path,
        tuple(Location.of(path / file) for file in chosen),
        tuple(printable(str(file.with_suffix(""))) for file in chosen),
        splits,
        None if tables else tuple(printable(_label(file) or "") for file in chosen),
    )


def _label(file: PurePosixPath) -> str | None:
    """Return the folder of a text, which is its label; None if it is in no folder, or in that of a split."""
    folder = file.parent.name
    return folder if folder and SPLITS.get(folder.lower(), "unsup") == "unsup" else None


def _split(file: PurePosixPath) -> str | None:
    """Return the split that a folder of a file says, the innermost first, or the name of a file of rows."""
    for folder in reversed(file.parent.parts):
        if folder.lower() in SPLITS:
            return SPLITS[folder.lower()]
    match = _SPLIT_OF_FILE.match(file.name.lower()) if file.suffix.lower() != ".txt" else None
    return SPLITS[match[1]] if match else None


def _sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
