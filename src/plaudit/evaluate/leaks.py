"""Find near-duplicates between splits, and measure accuracy with and without them.

The resemblance of two texts is the share of word 5-grams that they have in common (Broder 1997, "On the resemblance and
containment of documents"). A sparse matrix product finds all pairs exactly; 5-grams that more than a hundred texts of a
split share, such as "one of the best films", are no evidence of copying and are left out.

Shapes: N texts of one split, M texts of another, F 5-grams.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.console import Console

from plaudit.console import table
from plaudit.data.splits import Splits, text_keys
from plaudit.errors import DataError
from plaudit.evaluate.predictions import read_predictions
from plaudit.text.cleaning import CleaningSettings

if TYPE_CHECKING:
    from scipy import sparse

ORDER = 5
MAX_TEXTS = 100
"""A 5-gram that more texts of one split share is left out."""
NEAR = 0.5
"""Texts of at least this resemblance are near-duplicates."""
_CHUNK = 4_096
_COLUMNS = 1 << 24
"""24 bits of a hash: one pair of different texts in 300 seems to share a 5-gram by chance."""

PAIRS = (("test", "train"), ("test", "unlabelled"), ("validation", "train"), ("validation", "unlabelled"))
"""Held-out splits, and the splits that models learn from."""


@dataclass(frozen=True)
class Overlap:
    """How many texts of a held-out split repeat, entirely or nearly, a text of a split that models learn from."""

    split: str
    other: str
    texts: int
    repeated: int
    near: int
    rows: tuple[int, ...]
    """The texts of `split` that are repeated, entirely or nearly."""


@dataclass(frozen=True)
class CleanAccuracy:
    """A model's accuracy on all test reviews, and on those that repeat nothing it may have learned from."""

    model: str
    n: int
    accuracy: float
    n_without: int
    accuracy_without: float


def find_overlaps(splits: Splits) -> list[Overlap]:
    """Compare held-out splits with the splits that models learn from."""
    texts = {name: getattr(splits, name)["text"] for name in ("train", "validation", "test", "unlabelled")}
    shingles = {name: _shingles(column.to_pylist()) for name, column in texts.items()}
    result = []
    for split, other in PAIRS:
        repeated = _repeated(texts[split], texts[other])
        near = greatest_resemblance(shingles[split], shingles[other]) >= NEAR
        rows = tuple(np.flatnonzero(repeated | near).tolist())
        num_near = int((near & ~repeated).sum())
        result.append(Overlap(split, other, len(texts[split]), int(repeated.sum()), num_near, rows))
    return result


def clean_accuracy(predictions: Path, splits: Splits, overlaps: Sequence[Overlap]) -> CleanAccuracy:
    """Return accuracy with and without the test reviews that overlap with other splits.

    `predictions` is a Parquet file written by a run: id, label and probabilities of each test review. DataError if its
    reviews are not this test split.
    """
    predicted = read_predictions(predictions)
    if predicted.ids != splits.test["id"].to_pylist():
        raise DataError(f"{predictions}: its reviews are not the test split of {splits.name}")
    is_right = predicted.is_right
    is_clean = np.ones(len(is_right), np.bool_)
    for overlap in overlaps:
        if overlap.split == "test":
            is_clean[list(overlap.rows)] = False
    clean = is_right[is_clean]
    return CleanAccuracy(predictions.stem, len(is_right), float(is_right.mean()), len(clean), float(clean.mean()))


def greatest_resemblance(shingles: "sparse.csr_matrix", others: "sparse.csr_matrix") -> npt.NDArray[np.float64]:
    """Return the resemblance of each of N texts to the most similar of M others, 0 … 1, float64 [N].

    The arguments are [N, F] and [M, F].
    """
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
    """Return which text has which 5-gram, float32 of 0 and 1, [N, F]; a 5-gram is 24 bits of its hash."""
    from scipy import sparse

    from plaudit.text import kernel

    data, offsets = kernel.join_utf8(texts)
    keys, ends = kernel.ngram_keys(data, offsets, kernel.cleaning_tables(CleaningSettings().resolved()), ORDER, 0)
    # A text of n tokens has n + (n - 1) + … n-grams of orders 1, 2, … one after the other; its last n - 4 are 5-grams.
    num_ngrams, lost = np.diff(ends), ORDER * (ORDER - 1) // 2
    num_5grams = np.where(num_ngrams > lost, (num_ngrams + lost) // ORDER - (ORDER - 1), 0)
    rows = np.repeat(np.arange(len(texts)), num_5grams)
    positions = np.arange(len(rows)) - np.repeat(np.cumsum(num_5grams) - ends[1:], num_5grams)
    matrix = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, keys[positions] >> 8)), shape=(len(texts), _COLUMNS)
    )
    matrix.data[:] = 1
    frequent = np.bincount(matrix.indices, minlength=_COLUMNS) > MAX_TEXTS
    matrix.data[frequent[matrix.indices]] = 0
    matrix.eliminate_zeros()
    return matrix


def _repeated(texts: pa.ChunkedArray, others: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    keys = text_keys(pa.chunked_array([*texts.chunks, *others.chunks]))
    return np.isin(keys[: len(texts)], keys[len(texts) :])


def print_overlaps(overlaps: Sequence[Overlap], accuracies: Sequence[CleanAccuracy], console: Console) -> None:
    """Print the overlaps, and the accuracies if there are any, as tables."""
    shown = table("held out", "learned from", "#texts", "#repeated", "#nearly")
    for overlap in overlaps:
        counts = (overlap.texts, overlap.repeated, overlap.near)
        shown.add_row(overlap.split, overlap.other, *(f"{count:,}" for count in counts))
    console.print(shown)
    if accuracies:
        shown = table("model", "#reviews", "#accuracy %", "#without the overlap", "#accuracy %")
        for one in accuracies:
            percents = (f"{100 * one.accuracy:.2f}", f"{one.n_without:,}", f"{100 * one.accuracy_without:.2f}")
            shown.add_row(one.model, f"{one.n:,}", *percents)
        console.print(shown)
