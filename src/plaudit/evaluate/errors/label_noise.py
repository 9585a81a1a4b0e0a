"""What a model's mistakes tell of the data: labels that are probably wrong, words that mislead, reviews that resemble.

Shapes: N reviews, M training reviews, C classes.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from plaudit.errors import DataError, MissingExtraError
from plaudit.evaluate.explain.explanation import explanations, methods_of, parts
from plaudit.models.base import Float32Array, Model
from plaudit.predictor import Predictor

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]

PUSHING = 5
"""A word drives an error if it is among so many that push hardest towards the wrong label."""

SLOW_LIMIT = 300
"""Of a model without exact contributions, only so many mistakes are explained: those it is surest of."""


def label_noise(
    labels: Sequence[int] | npt.NDArray[np.integer], probabilities: Float32Array
) -> tuple[Int64Array, Float64Array]:
    """Return which labels are probably wrong, the most doubtful first, and the probability of each given label.

    Confident learning (Northcutt et al. 2021): a label is in doubt where another one is likelier than it usually is
    for its own reviews; how many such labels are wrong is estimated for each pair of labels. `labels` [N] are
    0 … C - 1; `probabilities` float32 [N, C] must come from a model that did not learn from these labels. DataError if
    they do not agree in number; MissingExtraError without cleanlab.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        raise MissingExtraError("finding label noise needs: pip install 'plaudit[explain]'") from None
    given = np.asarray(labels, np.int64)
    if len(given) != len(probabilities):
        raise DataError(f"{len(given)} labels for the probabilities of {len(probabilities)} reviews; give one for each")
    wide = probabilities.astype(np.float64)
    wide /= wide.sum(axis=1, keepdims=True)
    nothing = np.zeros(0, np.int64)
    if len(np.unique(given)) < 2:  # what the usual confidence of other labels is, nobody knows
        return nothing, nothing.astype(np.float64)
    found = find_label_issues(given, wide, return_indices_ranked_by="self_confidence", n_jobs=1)
    indices = np.asarray(found, np.int64)
    return indices, wide[indices, given[indices]]


@dataclass(frozen=True)
class ErrorWord:
    """A word that drives errors towards a label: in how many mistakes, and by how many log-odds on average there."""

    word: str
    towards: str
    count: int
    mean_contribution: float


def error_words(
    source: Predictor | Model,
    texts: Sequence[str],
    labels: Sequence[int] | npt.NDArray[np.integer],
    *,
    top: int,
    console: Console,
) -> list[ErrorWord]:
    """Return the words that are most often among those that push a wrong verdict hardest; `labels` as the model's.

    Each word counts for the label it pushes to, once a review. Contributions are exact for a bag of n-grams; of other
    kinds, the best method explains the SLOW_LIMIT mistakes that the model is surest of.
    """
    model, predict_proba = parts(source)
    mistakes = most_confident_mistakes(labels, predict_proba(texts))
    if methods_of(model)[0] != "exact":
        mistakes = mistakes[:SLOW_LIMIT]
    wrong = explanations(source, [texts[i] for i in mistakes], method=None, label=None)
    pushes: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    progress = track(wrong, "Explaining mistakes", len(mistakes), console=console, transient=True)
    for explanation in progress if console.is_terminal else wrong:
        sums: defaultdict[str, float] = defaultdict(float)
        for token in explanation.tokens:
            if len(token.text.split()) == 1:  # occlusion leaves out whole sentences of a long text
                sums[token.text.casefold()] += token.contribution
        for word in sorted(sums, key=lambda word: -sums[word])[:PUSHING]:
            if sums[word] > 0:
                pushes[word, explanation.predicted].append(sums[word])
    words = [ErrorWord(word, label, len(each), float(np.mean(each))) for (word, label), each in pushes.items()]
    return sorted(words, key=lambda word: (-word.count, -word.mean_contribution, word.word))[:top]


def most_confident_mistakes(labels: Sequence[int] | npt.NDArray[np.integer], probabilities: Float32Array) -> Int64Array:
    """Return which reviews are judged wrongly, the verdict of highest probability first."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != np.asarray(labels))
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]


def nearest_training_reviews(
    texts: Sequence[str], train_texts: Sequence[str], k: int
) -> tuple[Int64Array, Float64Array]:
    """Return the places of the k training reviews nearest to each text, [N, k], and their cosine similarity, [N, k].

    Nearness is the cosine of TF-IDF vectors of words, 1 for the same words. k is M at most. MissingExtraError without
    scikit-learn, DataError if no training review holds a word.
    """
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.neighbors import NearestNeighbors
    except ImportError:
        raise MissingExtraError("finding similar reviews needs: pip install 'plaudit[train]'") from None
    vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
    try:
        train = vectorizer.fit_transform(train_texts)
    except ValueError:
        raise DataError(f"{len(train_texts)} training reviews hold no word to compare texts by") from None
    k = min(k, len(train_texts))
    if not texts:
        return np.zeros((0, k), np.int64), np.zeros((0, k))
    neighbours = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(train)
    distances, places = neighbours.kneighbors(vectorizer.transform(texts))
    return places.astype(np.int64), 1 - distances.astype(np.float64)
