"""Finds which n-grams each text has, as a sparse matrix: the input of a bag of n-grams and of document vectors.

Shapes: N texts, F n-grams.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from plaudit.text.cleaning import CleaningSettings

if TYPE_CHECKING:
    from scipy import sparse


@dataclass(frozen=True)
class Presence:
    """Which text has which n-gram: sorted keys, uint32 [F], and a matrix of 0 and 1, float32 [N, F]."""

    keys: npt.NDArray[np.uint32]
    matrix: "sparse.csr_matrix"

    def select(self, columns: npt.NDArray[np.int64]) -> "Presence":
        """Return the presence of the n-grams in these columns, in order."""
        return Presence(self.keys[columns], self.matrix[:, columns])


class NgramSettings(Protocol):
    """Which n-grams a text has, and how often one must occur to count."""

    @property
    def cleaning(self) -> CleaningSettings:
        """How texts become tokens."""

    @property
    def max_order(self) -> int:
        """Longest n-gram, in tokens."""

    @property
    def characters(self) -> int:
        """Longest n-gram of characters."""

    @property
    def min_count(self) -> int:
        """Rarer n-grams do not count."""


def frequent_ngrams(texts: Sequence[str], settings: NgramSettings) -> Presence:
    """Find the n-grams that occur at least `min_count` times."""
    occurrences, ends = _ngram_keys(texts, settings)
    # Sorted runs rather than np.unique, whose hash table took 39 of 50 s for the 21 million n-grams of IMDB train.
    ordered = np.append(np.sort(occurrences), np.uint32(0))
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    keys = ordered[starts[:-1][np.diff(starts) >= settings.min_count]]
    return _presence(occurrences, ends, keys)


def find_ngrams(texts: Sequence[str], settings: NgramSettings, keys: npt.NDArray[np.uint32]) -> Presence:
    """Find the n-grams of these sorted keys."""
    return _presence(*_ngram_keys(texts, settings), keys)


def _ngram_keys(texts: Sequence[str], settings: NgramSettings) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Return the key of every n-gram of every text, and int64 [N + 1] offsets into them."""
    from plaudit.text import kernel

    data, offsets = kernel.join_utf8(texts)
    tables = kernel.cleaning_tables(settings.cleaning)
    keys, ends = kernel.ngram_keys(data, offsets, tables, settings.max_order, settings.characters)
    return keys, ends


def _presence(
    occurrences: npt.NDArray[np.uint32], ends: npt.NDArray[np.int64], keys: npt.NDArray[np.uint32]
) -> Presence:
    from scipy import sparse

    columns = np.searchsorted(keys, occurrences).astype(np.int32)
    is_known = np.append(keys, np.uint32(0))[columns] == occurrences
    row_offsets = np.append(0, np.cumsum(is_known))[ends]
    shape = (len(ends) - 1, len(keys))
    ones = np.ones(row_offsets[-1], np.float32)
    matrix = sparse.csr_matrix((ones, columns[is_known], row_offsets), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return Presence(keys, matrix)
