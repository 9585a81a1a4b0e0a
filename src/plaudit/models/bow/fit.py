"""Fits a bag of n-grams: which n-grams count, how each is scaled, and the logistic regression.

Follows Wang & Manning 2012 ("Baselines and Bigrams"): a text's row says which n-grams it has, each scaled by its
naive-Bayes log-count ratio. Scale and coefficient are multiplied into one weight per n-gram.

A text counts for each label by its share: 1 for its label and 0 for the others, or a teacher's probabilities.

Shapes: N texts, C classes, F n-grams.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rich.console import Console

from plaudit.console import needs_extra
from plaudit.models.base import Float32Array
from plaudit.models.bow.model import BowModel, StoredWeights, nearest_int8, positive_labels
from plaudit.models.bow.ngrams import Presence, frequent_ngrams
from plaudit.models.bow.settings import BowSettings

if TYPE_CHECKING:
    from scipy import sparse

Float64Array = npt.NDArray[np.float64]


def fit_bow(
    settings: BowSettings,
    texts: Sequence[str],
    label_ids: npt.NDArray[np.int64],
    labels: tuple[str, ...],
    *,
    console: Console,
) -> BowModel:
    """Fit a model to texts with label ids 0 … C - 1; needs the extra `train`. Deterministic: it takes no seed."""
    with needs_extra("train", "training"):
        from scipy import sparse
        from sklearn.linear_model import LogisticRegression
    settings = settings.model_copy(update={"cleaning": settings.cleaning.resolved()})
    with console.status("counting n-grams"):
        presence = one_ngram_per_slot(
            frequent_ngrams(texts, settings), np.eye(len(labels))[label_ids], settings.slot_bits
        )

    def fit_problem(rows: "sparse.csr_matrix", positive: int) -> tuple[Float64Array, float]:
        is_positive = label_ids == positive
        if rows.shape[1] == 0:  # no n-gram is frequent enough: predict how often the label occurs
            counts = np.bincount(is_positive, minlength=2) + settings.smoothing
            return np.zeros(0), float(np.log(counts[1] / counts[0]))
        ratio = log_count_ratio(presence.matrix, is_positive.astype(np.float64), settings.smoothing)
        regression = LogisticRegression(
            C=settings.inverse_regularization, solver="liblinear", dual=True, random_state=0, max_iter=1000
        )
        regression.fit(rows @ sparse.diags(ratio), is_positive)
        return ratio * regression.coef_[0], float(regression.intercept_[0])

    return fit_problems(settings, presence, labels, fit_problem, console=console)


def fit_problems(
    settings: BowSettings,
    presence: Presence,
    labels: tuple[str, ...],
    fit_problem: "Callable[[sparse.csr_matrix, int], tuple[Float64Array, float]]",
    *,
    console: Console,
) -> BowModel:
    """Return a model of one or more binary problems.

    `fit_problem` takes the texts' rows, [N, F], and the positive label, and returns each n-gram's weight, float64 [F],
    and the bias.
    """
    rows, length = scaled_rows(presence.matrix, settings.norm)
    columns, biases = [], []
    for positive in positive_labels(labels):
        with console.status(f"fitting {labels[positive]} against the rest on {len(presence.keys):,} n-grams"):
            weights, bias = fit_problem(rows, positive)
        columns.append(length * weights)
        biases.append(bias)
    weights = np.stack(columns, axis=1)
    stored: tuple[StoredWeights, Float32Array | None] = weights.astype(np.float16), None
    if settings.storage == "int8":
        stored = nearest_int8(weights)
    bias_array = np.array(biases, np.float32)
    return BowModel(settings, labels, keys=presence.keys, weights=stored[0], bias=bias_array, scale=stored[1])


def one_ngram_per_slot(presence: Presence, shares: Float64Array, slot_bits: int) -> Presence:
    """Keep one n-gram per slot: the one whose presence says most about a label; shares are [N, C]."""
    num_texts = np.asarray(presence.matrix.sum(axis=0), np.float64).ravel()
    evidence = np.zeros(len(presence.keys))
    for share in shares.T:
        excess = np.abs(presence.matrix.T @ share - share.mean() * num_texts)
        evidence = np.maximum(evidence, excess / np.sqrt(num_texts))
    slots = presence.keys >> np.uint32(32 - slot_bits)
    by_evidence = np.lexsort((-evidence, slots))
    is_best = np.append(True, np.diff(slots[by_evidence]) > 0)[: len(evidence)]
    return presence.select(np.sort(by_evidence[is_best]))


def scaled_rows(matrix: "sparse.csr_matrix", norm: str) -> "tuple[sparse.csr_matrix, float]":
    """Return the rows to fit on, given rows of 0 and 1, and the factor to multiply the fitted weights by.

    With norm "l2" every row is as long as a row of the mean number of n-grams, so that C means the same either way.
    """
    from scipy import sparse

    num_ngrams = np.diff(matrix.indptr)
    if norm == "none" or matrix.nnz == 0:
        return matrix, 1.0
    length = np.sqrt(num_ngrams.mean())
    values = np.repeat(length / np.sqrt(np.maximum(num_ngrams, 1)), num_ngrams).astype(np.float32)
    return sparse.csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape), float(length)


def log_count_ratio(matrix: "sparse.csr_matrix", share: Float64Array, smoothing: float) -> Float64Array:
    """Return the log of each n-gram's frequency for a label over its frequency for the others, float64 [F].

    `share`, [N], is how much of each text counts for the label.
    """
    positive = matrix.T @ share + smoothing
    negative = matrix.T @ (1 - share) + smoothing
    ratio: Float64Array = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    return ratio
