"""Finds labels that are probably wrong, words that mislead a model, and training reviews similar to its mistakes.

Shapes: N reviews, M training reviews, C classes.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field
from rich.console import Console

from plaudit.console import needs_extra, progress
from plaudit.errors import DataError
from plaudit.evaluate.record import Record
from plaudit.explain.explanation import explanations, methods_of, model_of
from plaudit.models.base import Float32Array, Model
from plaudit.predictor import Predictor

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]
Labels = Sequence[int] | npt.NDArray[np.integer]

MAX_MISLEADING = 5
"""How many words of a mistake count as misleading: those that contribute most to the wrong label."""

MAX_EXPLAINED = 300
"""How many mistakes are explained, the most confident, if the model has no exact contributions."""


def label_noise(labels: Labels, probabilities: Float32Array) -> tuple[Int64Array, Float64Array]:
    """Return the rows whose labels are probably wrong, the most doubtful first, and the probability of each label.

    Confident learning (Northcutt et al. 2021): a label is doubtful if another is likelier than it usually is for its
    own reviews; how many such labels are wrong is estimated for each pair of labels. `labels` [N] are 0 … C - 1;
    `probabilities` float32 [N, C] must come from a model that did not learn from these labels. DataError if their
    numbers differ; MissingExtraError without cleanlab.
    """
    with needs_extra("explain", "finding label noise"):
        from cleanlab.filter import find_label_issues
    labels = np.asarray(labels, np.int64)
    if len(labels) != len(probabilities):
        raise DataError(
            f"{len(labels)} labels for the probabilities of {len(probabilities)} reviews; give one for each"
        )
    if len(np.unique(labels)) < 2:  # nothing to compare with
        return np.zeros(0, np.int64), np.zeros(0)
    wide = probabilities.astype(np.float64)
    wide /= wide.sum(axis=1, keepdims=True)
    rows = np.asarray(find_label_issues(labels, wide, return_indices_ranked_by="self_confidence", n_jobs=1), np.int64)
    return rows, wide[rows, labels[rows]]


class MisleadingWord(Record):
    """A word that misleads a model towards a label in `count` mistakes, by so many log-odds on average."""

    word: str
    towards: str
    count: int = Field(ge=1)
    mean_contribution: float


def misleading_words(
    source: Predictor | Model, texts: Sequence[str], labels: Labels, *, top: int, console: Console
) -> list[MisleadingWord]:
    """Return the words most often among those that contribute most to a wrong prediction.

    `labels` are the model's. A word counts once a review. Contributions are exact for a bag of n-grams; for other
    kinds, the best method explains the MAX_EXPLAINED most confident mistakes.
    """
    mistakes = most_confident_mistakes(labels, source.predict_proba(texts))
    if methods_of(model_of(source))[0] != "exact":
        mistakes = mistakes[:MAX_EXPLAINED]
    contributions: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    with progress(console, "Explaining mistakes", total=len(mistakes)) as move_to:
        explained = explanations(source, [texts[i] for i in mistakes], method=None, label=None)
        for number, explanation in enumerate(explained, start=1):
            sums: defaultdict[str, float] = defaultdict(float)
            for token in explanation.tokens:
                if len(token.text.split()) == 1:  # in a long text, occlusion leaves out whole sentences
                    sums[token.text.casefold()] += token.contribution
            for word in sorted(sums, key=lambda word: -sums[word])[:MAX_MISLEADING]:
                if sums[word] > 0:
                    contributions[word, explanation.predicted].append(sums[word])
            move_to(number)
    words = [
        MisleadingWord(word=word, towards=label, count=len(each), mean_contribution=round(float(np.mean(each)), 6))
        for (word, label), each in contributions.items()
    ]
    return sorted(words, key=lambda word: (-word.count, -word.mean_contribution, word.word))[:top]


def most_confident_mistakes(labels: Labels, probabilities: Float32Array) -> Int64Array:
    """Return the rows of misclassified reviews, the most confident prediction first."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != np.asarray(labels))
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]


def nearest_training_reviews(
    texts: Sequence[str], train_texts: Sequence[str], k: int
) -> tuple[Int64Array, Float64Array]:
    """Return the rows of the k training reviews most similar to each text, [N, k], and their similarity, [N, k].

    Similarity is the cosine of TF-IDF vectors of words. k is M at most. MissingExtraError without scikit-learn,
    DataError if no training review has a word.
    """
    with needs_extra("train", "finding similar reviews"):
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.neighbors import NearestNeighbors
    vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
    try:
        train = vectorizer.fit_transform(train_texts)
    except ValueError:
        raise DataError(f"none of the {len(train_texts)} training reviews has a word to compare texts by") from None
    k = min(k, len(train_texts))
    if not texts:
        return np.zeros((0, k), np.int64), np.zeros((0, k))
    neighbours = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(train)
    distances, rows = neighbours.kneighbors(vectorizer.transform(texts))
    return rows.astype(np.int64), 1 - distances.astype(np.float64)
