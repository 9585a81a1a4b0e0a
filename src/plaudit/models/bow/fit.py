"""How a bag of n-grams is fitted: which n-grams count, how each is scaled, and the logistic regression.

Follows Wang & Manning 2012 ("Baselines and Bigrams"). A text counts for each label by its share, which is 1 for its
label and 0 for others, or what a teacher says.

Shapes: N texts, C classes, F n-grams.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from plaudit.models.bow.settings import BowSettings
from plaudit.text.cleaning import CleaningSettings

if TYPE_CHECKING:
    from scipy import sparse

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Presence:
    """Which text has which n-gram: sorted keys, uint32 [F], and a matrix of 0 and 1, float32 [N, F]."""

    keys: npt.NDArray[np.uint32]
    matrix: "sparse.csr_matrix"

    def only(self, places: npt.NDArray[np.int64]) -> "Presence":
        """Return the same of the n-grams at these places, in order."""
        return Presence(self.keys[places], self.matrix[:, places])


class NgramSettings(Protocol):
    """Which n-grams a text has, and which of them count."""

    cleaning: CleaningSettings
    max_order: int
    min_count: int


def frequent_ngrams(texts: Sequence[str], settings: NgramSettings) -> Presence:
    """Find the n-grams that occur often enough."""
    found, ends = _ngram_keys(texts, settings)
    # Sorted runs rather than np.unique, whose hash table took 39 of 50 s for the 21 million n-grams of IMDB train.
    ordered = np.append(np.sort(found), np.uint32(0))
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    keys = ordered[starts[:-1][np.diff(starts) >= settings.min_count]]
    return _presence(found, ends, keys)


def find_ngrams(texts: Sequence[str], settings: NgramSettings, keys: npt.NDArray[np.uint32]) -> Presence:
    """Find these n-grams; their keys are sorted."""
    return _presence(*_ngram_keys(texts, settings), keys)


def _ngram_keys(texts: Sequence[str], settings: NgramSettings) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Return the key of every n-gram of every text, and int64 [N + 1] offsets into them."""
    from plaudit.text import kernel

    data, offsets = kernel.join_utf8(texts)
    keys, ends = kernel.ngram_keys(data, offsets, kernel.cleaning_tables(settings.cleaning), settings.max_order)
    return keys, ends


def _presence(found: npt.NDArray[np.uint32], ends: npt.NDArray[np.int64], keys: npt.NDArray[np.uint32]) -> Presence:
    from scipy import sparse

    columns = np.searchsorted(keys, found).astype(np.int32)
    known = np.append(keys, np.uint32(0))[columns] == found
    rows = np.append(0, np.cumsum(known))[ends]
    shape = (len(ends) - 1, len(keys))
    matrix = sparse.csr_matrix((np.ones(rows[-1], np.float32), columns[known], rows), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return Presence(keys, matrix)


def one_ngram_a_slot(presence: Presence, shares: Float64Array, slot_bits: int) -> Presence:
    """Keep, of the n-grams that share a slot, the one whose presence says most about a label; shares are [N, C]."""
    num_texts = np.asarray(presence.matrix.sum(axis=0), np.float64).ravel()
    evidence = np.zeros(len(presence.keys))
    for share in shares.T:
        excess = np.abs(presence.matrix.T @ share - share.mean() * num_texts)
        evidence = np.maximum(evidence, excess / np.sqrt(num_texts))
    slots = presence.keys >> np.uint32(32 - slot_bits)
    by_evidence = np.lexsort((-evidence, slots))
    is_best = np.append(True, np.diff(slots[by_evidence]) > 0)[: len(evidence)]
    return presence.only(np.sort(by_evidence[is_best]))


def rows_of(matrix: "sparse.csr_matrix", norm: str) -> "tuple[sparse.csr_matrix, float]":
    """Return the rows that are fitted, given those of 0 and 1, and what to multiply the weights by afterwards.

    Rows of one length are as long as a row of the mean number of n-grams, so that C means the same either way.
    """
    from scipy import sparse

    num_ngrams = np.diff(matrix.indptr)
    if norm == "none" or matrix.nnz == 0:
        return matrix, 1.0
    length = np.sqrt(num_ngrams.mean())
    values = np.repeat(length / np.sqrt(np.maximum(num_ngrams, 1)), num_ngrams).astype(np.float32)
    return sparse.csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape), float(length)


def fit_problem(
    matrix: "sparse.csr_matrix", rows: "sparse.csr_matrix", is_positive: npt.NDArray[np.bool_], settings: BowSettings
) -> tuple[Float64Array, float]:
    """Return the weight of each n-gram, float64 [F], and the bias of one binary problem; `rows` as of `rows_of`."""
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression

    if matrix.shape[1] == 0:  # no n-gram is frequent enough, which leaves how often the label occurs
        num_positive = np.count_nonzero(is_positive)
        smoothing = settings.smoothing
        return np.zeros(0), float(np.log((num_positive + smoothing) / (len(is_positive) - num_positive + smoothing)))
    ratio = log_count_ratio(matrix, is_positive.astype(np.float64), settings.smoothing)
    regression = LogisticRegression(
        C=settings.inverse_regularization, solver="liblinear", dual=True, random_state=0, max_iter=1000
    )
    regression.fit(rows @ sparse.diags(ratio), is_positive)
    return ratio * regression.coef_[0], float(regression.intercept_[0])


def log_count_ratio(matrix: "sparse.csr_matrix", share: Float64Array, smoothing: float) -> Float64Array:
    """Return for each n-gram the log of how frequent it is for a label over how frequent it is for others, float64 [F].

    `share`, [N], says how much of each text counts for the label.
    """
    positive = matrix.T @ share + smoothing
    negative = matrix.T @ (1 - share) + smoothing
    ratio: Float64Array = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    return ratio
