"""Fits a bag of n-grams: which n-grams count, how each is scaled, and the logistic regression.

Follows Wang & Manning 2012 ("Baselines and Bigrams"): a text's row says which n-grams it has, each scaled by its
naive-Bayes log-count ratio. Scale and coefficient are multiplied into one weight per n-gram.

A text counts for each label by its share: 1 for its label and 0 for the others, or a teacher's probabilities.

Shapes: N texts, C classes, F n-grams.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from rich.console import Console

from plaudit.console import needs_extra
from plaudit.models.base import Float32Array, softmax
from plaudit.models.bow.model import BowModel, StoredWeights, logits_of_problems, nearest_int8, positive_labels
from plaudit.models.bow.ngrams import Presence, frequent_ngrams
from plaudit.models.bow.settings import BowSettings
from plaudit.threads import map_threads

if TYPE_CHECKING:
    from scipy import sparse

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """Scores of K binary problems: weights float64 [F, K], bias [K], and the weights of S further features, [S, K]."""

    weights: Float64Array
    bias: Float64Array
    of_features: Float64Array


def fit_bow(
    settings: BowSettings,
    texts: Sequence[str],
    label_ids: npt.NDArray[np.int64],
    labels: tuple[str, ...],
    *,
    weight: Float64Array | None = None,
    console: Console,
) -> BowModel:
    """Fit a model to texts with label ids 0 … C - 1; needs the extra `train`. Deterministic: it takes no seed.

    `weight`, [N], is what each text counts; all count 1 without it.
    """
    settings = settings.model_copy(update={"cleaning": settings.cleaning.resolved()})
    with console.status("counting n-grams"):
        presence = distinct_ngrams(settings, texts, label_ids, len(labels))
    with console.status(f"fitting {len(labels)} labels on {len(presence.keys):,} n-grams"):
        fitted = fit_scores(settings, presence.matrix, label_ids, labels, weight=weight)
    return bow_of(settings, labels, presence.keys, fitted)


def distinct_ngrams(
    settings: BowSettings, texts: Sequence[str], label_ids: npt.NDArray[np.int64], num_classes: int
) -> Presence:
    """Return the texts' frequent n-grams, one for each slot of the table."""
    return one_ngram_per_slot(frequent_ngrams(texts, settings), np.eye(num_classes)[label_ids], settings.slot_bits)


def fit_scores(
    settings: BowSettings,
    matrix: "sparse.csr_matrix",
    label_ids: npt.NDArray[np.int64],
    labels: Sequence[str],
    *,
    features: Float32Array | None = None,
    weight: Float64Array | None = None,
    is_learned: npt.NDArray[np.bool_] | None = None,
    tolerance: float = 1e-3,
) -> Fitted:
    """Fit one logistic regression for each binary problem, given which text has which n-gram, [N, F] of 0 and 1.

    `features`, [N, S], are given further columns, which are not scaled. Where `is_learned`, [F], is False, an n-gram
    only counts towards the length of its row. `weight`, [N], is what each text counts. The scores are divided by the
    settings' temperature. More than two labels are fitted up to `tolerance`, relative to the first gradient.
    """
    with needs_extra("train", "training"):
        from scipy import sparse
        from sklearn.linear_model import LogisticRegression
    rows, length = scaled_rows(matrix, settings.norm)
    learned = np.arange(matrix.shape[1]) if is_learned is None else np.flatnonzero(is_learned)
    known = matrix if is_learned is None else matrix[:, learned]
    rows = rows if is_learned is None else rows[:, learned]
    given = np.zeros((len(label_ids), 0), np.float32) if features is None else features
    rarity = inverse_document_frequency(known) if settings.scale == "idf" else None

    # The dual solver is quicker, but draws random numbers, which threads would share: no two fits would be the same.
    is_single = len(labels) == 2

    def fit_problem(positive: int) -> tuple[Float64Array, float, Float64Array]:
        is_positive = label_ids == positive
        num_positive = int(is_positive.sum())
        if num_positive in (0, len(label_ids)) or rows.shape[1] + given.shape[1] == 0:
            # Nothing to learn from: predict how often the label occurs.
            odds = (num_positive + settings.smoothing) / (len(label_ids) - num_positive + settings.smoothing)
            return np.zeros(len(learned)), float(np.log(odds)), np.zeros(given.shape[1])
        scale = rarity
        if scale is None:
            scale = log_count_ratio(known, is_positive.astype(np.float64), settings.smoothing, weight)
        regression = LogisticRegression(
            C=settings.inverse_regularization,
            solver="liblinear",
            dual=is_single,
            tol=1e-4 if is_single else tolerance,
            random_state=0,
            max_iter=1000,
            class_weight=None if settings.class_weight == "none" else settings.class_weight,
        )
        columns = rows @ sparse.diags(scale)
        regression.fit(sparse.hstack([columns, given]).tocsr() if given.shape[1] else columns, is_positive, weight)
        coefficients = regression.coef_[0]
        weights = scale * coefficients[: len(learned)]
        return weights, float(regression.intercept_[0]), coefficients[len(learned) :]

    problems = map_threads(fit_problem, positive_labels(labels))
    weights = np.zeros((matrix.shape[1], len(problems)))
    weights[learned] = length * np.stack([weights for weights, _, _ in problems], axis=1)
    bias = np.array([bias for _, bias, _ in problems])
    of_features = np.stack([own for _, _, own in problems], axis=1)
    return Fitted(*(part / settings.temperature for part in (weights, bias, of_features)))


def bow_of(settings: BowSettings, labels: tuple[str, ...], keys: npt.NDArray[np.uint32], fitted: Fitted) -> BowModel:
    """Return the model of fitted scores, stored as the settings say."""
    stored: tuple[StoredWeights, Float32Array | None] = fitted.weights.astype(np.float16), None
    if settings.storage == "int8":
        stored = nearest_int8(fitted.weights)
    bias = fitted.bias.astype(np.float32)
    return BowModel(settings, labels, keys=keys, weights=stored[0], bias=bias, scale=stored[1])


SURE = 0.9
"""Probability from which on a text without label is taken to have the label that a first fit gives it."""


def sure_labels(scores: Float64Array, probabilities: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the most probable label of each text, [N], and whether it is sure enough to learn from (self-training)."""
    shares = softmax(logits_of_problems(scores.astype(np.float32), probabilities))
    return shares.argmax(axis=1), shares.max(axis=1) >= SURE


def inverse_document_frequency(matrix: "sparse.csr_matrix") -> Float64Array:
    """Return the log of how rare each n-gram is, float64 [F], 1 on average over all occurrences."""
    counts = np.asarray(matrix.sum(axis=0), np.float64).ravel()
    rarity = np.log((1 + matrix.shape[0]) / (1 + counts)) + 1
    return np.asarray(rarity * (counts.sum() / max(1.0, counts @ rarity)))


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
    fitted = Fitted(np.stack(columns, axis=1), np.array(biases), np.zeros((0, len(biases))))
    return bow_of(settings, labels, presence.keys, fitted)


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


def log_count_ratio(
    matrix: "sparse.csr_matrix", share: Float64Array, smoothing: float, weight: Float64Array | None = None
) -> Float64Array:
    """Return the log of each n-gram's frequency for a label over its frequency for the others, float64 [F].

    `share`, [N], is how much of each text counts for the label, and `weight`, [N], how much it counts at all.
    """
    counted = np.ones(len(share)) if weight is None else weight
    positive = matrix.T @ (counted * share) + smoothing
    negative = matrix.T @ (counted * (1 - share)) + smoothing
    ratio: Float64Array = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    return ratio
