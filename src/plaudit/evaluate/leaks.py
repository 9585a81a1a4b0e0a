"""Near-duplicates between splits, and what they are worth: accuracy with and without them.

Two texts are as alike as the share of word 5-grams that they have in common (Broder 1997, "On the resemblance and
containment of documents"). A sparse matrix product finds all pairs exactly; 5-grams that more than a hundred texts of a
split share, such as "one of the best films", tell nothing and are left out.

Shapes: N texts of one split, M texts of another, F 5-grams.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from plaudit.data.splits import Splits, text_keys
from plaudit.errors import DataError
from plaudit.evaluate.predictions import read_predictions
from plaudit.text.cleaning import CleaningSettings

if TYPE_CHECKING:
    from scipy import sparse

ORDER = 5
MAX_TEXTS = 100
"""Texts of one split that may share a 5-gram which still counts."""
NEAR = 0.5
"""Resemblance from which on two texts are near-duplicates."""
_CHUNK = 4_096
_COLUMNS = 1 << 24
"""Of 24 bits of a hash: that two different texts seem to share a 5-gram by chance happens to one pair in 300."""

PAIRS = (("test", "train"), ("test", "unlabelled"), ("validation", "train"), ("validation", "unlabelled"))
"""Held-out splits, and those that may be learned from."""


@dataclass(frozen=True)
class Overlap:
    """How many texts of a held-out split repeat one that may be learned from: as a whole, or nearly."""

    split: str
    other: str
    texts: int
    repeated: int
    near: int
    rows: tuple[int, ...]
    """Those texts of `split`, repeated or near."""


@dataclass(frozen=True)
class Worth:
    """A model's accuracy on all reviews, and on those that resemble nothing that may be learned from."""

    model: str
    n: int
    accuracy: float
    n_without: int
    accuracy_without: float


def overlaps(splits: Splits) -> list[Overlap]:
    """Compare held-out splits with those that may be learned from."""
    texts = {name: getattr(splits, name)["text"] for name in ("train", "validation", "test", "unlabelled")}
    shingles = {name: _shingles(column.to_pylist()) for name, column in texts.items()}
    found = []
    for split, other in PAIRS:
        repeated = _repeated(texts[split], texts[other])
        near = greatest_resemblance(shingles[split], shingles[other]) >= NEAR
        rows = tuple(np.flatnonzero(repeated | near).tolist())
        found.append(Overlap(split, other, len(texts[split]), int(repeated.sum()), int((near & ~repeated).sum()), rows))
    return found


def worth(predictions: Path, splits: Splits, found: Sequence[Overlap]) -> Worth:
    """Return accuracy with and without the test reviews that overlap; DataError if the file is not of this test split.

    `predictions` is a Parquet file that a run left behind: id, label and probabilities of each test review.
    """
    judged = read_predictions(predictions)
    if judged.ids != splits.test["id"].to_pylist():
        raise DataError(f"{predictions}: is of other reviews than the test split of {splits.name}")
    is_right = judged.is_right
    is_clean = np.ones(len(is_right), np.bool_)
    for overlap in found:
        if overlap.split == "test":
            is_clean[list(overlap.rows)] = False
    clean = is_right[is_clean]
    return Worth(predictions.stem, len(is_right), float(is_right.mean()), len(clean), float(clean.mean()))


def greatest_resemblance(shingles: "sparse.csr_matrix", others: "sparse.csr_matrix") -> npt.NDArray[np.float64]:
    """Return how much each of N texts resembles the most alike of M others, 0 … 1, float64 [N]; both are [·, F]."""
    sizes, other_sizes = (np.asarray(m.sum(axis=1), np.float64).ravel() for m in (shingles, others))
    by_shingle = others.T.tocsr()
    greatest = np.zeros(shingles.shape[0])
    for start in range(0, shingles.shape[0], _CHUNK):
        common = (shingles[start : start + _CHUNK] @ by_shingle).tocoo()
        rows, columns = common.row + start, common.col
        union = sizes[rows] + other_sizes[columns] - common.data
        np.maximum.at(greatest, rows, common.data / union)
    return greatest


def _shingles(texts: Sequence[str]) -> "sparse.csr_matrix":
    """Return which text has which 5-gram, by 24 bits of its hash: float32 of 0 and 1, [N, F]."""
    from scipy import sparse

    from plaudit.text import kernel

    data, offsets = kernel.join_utf8(texts)
    keys, ends = kernel.ngram_keys(data, offsets, kernel.cleaning_tables(CleaningSettings().resolved()), ORDER)
    # Orders follow one another: n tokens have n + (n - 1) + … n-grams, of which the last n - 4 are wanted.
    sums, of_shorter_text = np.diff(ends), ORDER * (ORDER - 1) // 2
    wanted = np.where(sums > of_shorter_text, (sums + of_shorter_text) // ORDER - (ORDER - 1), 0)
    rows = np.repeat(np.arange(len(texts)), wanted)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(wanted) - ends[1:], wanted)
    matrix = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, keys[places] >> 8)), shape=(len(texts), _COLUMNS)
    )
    matrix.data[:] = 1
    frequent = np.bincount(matrix.indices, minlength=_COLUMNS) > MAX_TEXTS
    matrix.data[frequent[matrix.indices]] = 0
    matrix.eliminate_zeros()
    return matrix


def _repeated(texts: pa.ChunkedArray, others: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    keys = text_keys(pa.chunked_array([*texts.chunks, *others.chunks]))
    return np.isin(keys[: len(texts)], keys[len(texts) :])


def render(found: Sequence[Overlap], judged: Sequence[Worth], console: Console) -> None:
    """Print both as tables."""
    table = Table("held out", "learned from", box=SIMPLE_HEAD)
    for column in ("texts", "repeated", "nearly"):
        table.add_column(column, justify="right")
    for overlap in found:
        counts = (overlap.texts, overlap.repeated, overlap.near)
        table.add_row(overlap.split, overlap.other, *(f"{count:,}" for count in counts))
    console.print(table)
    if judged:
        table = Table("model", box=SIMPLE_HEAD)
        for column in ("reviews", "accuracy %", "without the overlap", "accuracy %"):
            table.add_column(column, justify="right")
        for one in judged:
            accuracies = (f"{100 * one.accuracy:.2f}", f"{one.n_without:,}", f"{100 * one.accuracy_without:.2f}")
            table.add_row(one.model, f"{one.n:,}", *accuracies)
        console.print(table)
