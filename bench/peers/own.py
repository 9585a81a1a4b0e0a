"""Models that people train on texts of their own, ours among them: what bench/own_texts.py compares.

They get raw texts and labels, str [N], of any number of classes, and choose settings by cross-validation or by a part
held out of what they are trained on.
"""

import math
import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from peers.bags import FastText, TfidfRegression
from peers.base import FittedPeer
from peers.embeddings import embeddings_in

OURS = "Plaudit"
NO_HEAD_START = "Plaudit, no head start"
MAJORITY = "majority class"
TFIDF = "TF-IDF words + LR"
MINILM = "MiniLM embeddings + LR"
AUTOTUNED = "fastText, autotuned"

FOLDS = 5
AUTOTUNE_BYTES = 8 * 2**30
"""What fastText's search may allocate beyond the present: it tries tables of 10 million rows, and skips what fails."""
AUTOTUNE_SEEDS = 5
"""What was found may fail in the end, when the search trains it beside the model of its trial: then it starts again."""


def own_peers(cache: Path) -> tuple[FittedPeer, ...]:
    """Return all of them, ours first; `cache` is a folder for embeddings."""
    words, characters = {"ngram_range": (1, 2)}, {"analyzer": "char_wb", "ngram_range": (2, 5)}
    fasttext = {"normalize": True, "wordNgrams": 2, "thread": 1}  # more threads are faster, each time another model
    return (
        PlauditDefault(OURS, {}),
        PlauditDefault(NO_HEAD_START, {"start": None}),
        Majority(MAJORITY, {}),
        TfidfRegression(TFIDF, {"C": 10.0, "vectorizer": words | {"sublinear_tf": True}}),
        WordsAndCharacters(
            "TF-IDF words + characters",
            {
                "counts": [words, characters],
                "candidates": [{"kind": "svm", "C": C} for C in (0.1, 0.3, 1.0, 3.0)],
            },
        ),
        OneVsRestNBSVM("NB-SVM bigrams", {"C": 1.0, "beta": 0.25, "alpha": 1.0, "vectorizer": words}),
        BestFastText(
            "fastText, best of three",
            {
                "held_out": 0.2,
                "candidates": [
                    fasttext | {"dim": 10, "lr": 0.5, "epoch": 10},
                    fasttext | {"dim": 10, "lr": 1.0, "epoch": 25},
                    fasttext | {"dim": 50, "lr": 0.5, "epoch": 25, "minn": 2, "maxn": 5},
                ],
            },
        ),
        AutotunedFastText(
            AUTOTUNED,
            {"held_out": 0.2, "seconds": 60, "normalize": True, "thread": 1},
        ),
        EmbeddingRegression(
            MINILM,
            {"max_tokens": 256, "candidates": [{"kind": "softmax", "C": C} for C in (1.0, 3.0, 10.0, 30.0, 100.0)]},
            cache=cache,
        ),
    )


class PlauditDefault(FittedPeer):
    """What `plaudit train FILE` does, from Python."""

    ours = True

    def fit(self, texts, labels):
        """Let it choose everything that settings leave open."""
        from plaudit import Classifier

        self.classifier = Classifier(**self.settings).fit(texts, labels)
        recipe = self.classifier.bundle_.provenance.recipe
        self.chosen = None if recipe is None else recipe.models

    def predict(self, texts):
        """Return what it says."""
        return self.classifier.predict(texts)


class Majority(FittedPeer):
    """The most frequent class of train, whatever the text."""

    def fit(self, texts, labels):
        """Count."""
        classes, counts = np.unique(labels, return_counts=True)
        self.label = classes[counts.argmax()]

    def predict(self, texts):
        """Return that class."""
        return np.full(len(texts), self.label)


class WordsAndCharacters(FittedPeer):
    """TF-IDF of words and of characters, and a linear SVM with C by cross-validation on train."""

    def fit(self, texts, labels):
        """Count once, weigh and cross-validate, and fit the best to all."""
        from sklearn.feature_extraction.text import CountVectorizer

        labels = np.asarray(labels)
        self.vectorizers = [CountVectorizer(**counts) for counts in self.settings["counts"]]
        counts = [vectorizer.fit_transform(texts) for vectorizer in self.vectorizers]

        self.chosen = by_cross_validation(
            self.settings["candidates"], labels, lambda learned, held_out: fold_features(counts, learned, held_out)
        )
        self.weights, features = _weighed(counts)
        self.classifier = linear(self.chosen).fit(features, labels)

    def predict(self, texts):
        """Return the most probable class."""
        counts = [vectorizer.transform(texts) for vectorizer in self.vectorizers]
        return self.classifier.predict(_apply(self.weights, counts))


def fold_features(counts, learned, held_out):
    """Return the TF-IDF of the rows to learn from and of those held out, as if the latter had never been counted."""
    known = [np.flatnonzero(part[learned].getnnz(axis=0)) for part in counts]
    first, second = (
        [part[rows][:, columns] for part, columns in zip(counts, known, strict=True)] for rows in (learned, held_out)
    )
    weights, features = _weighed(first)
    return features, _apply(weights, second)


def _weighed(counts):
    from sklearn.feature_extraction.text import TfidfTransformer

    weights = [TfidfTransformer(sublinear_tf=True).fit(part) for part in counts]
    return weights, _apply(weights, counts)


def _apply(weights, counts):
    from scipy import sparse

    return sparse.hstack([one.transform(part) for one, part in zip(weights, counts, strict=True)], format="csr")


class OneVsRestNBSVM(FittedPeer):
    """Wang & Manning 2012 as published, each class against the rest.

    N-grams present, times their naive-Bayes log-count ratio, into a linear SVM; the model is `beta` times that and, for
    the rest, naive Bayes of the same magnitude.
    """

    def fit(self, texts, labels):
        """Fold ratio and weight of each class into one number for each n-gram."""
        from scipy import sparse
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.svm import LinearSVC

        labels = np.asarray(labels)
        self.vectorizer = CountVectorizer(binary=True, **self.settings["vectorizer"])
        present = self.vectorizer.fit_transform(texts)
        self.classes = np.unique(labels)
        weights, biases = [], []
        for label in self.classes:
            ours, others = (
                self.settings["alpha"] + np.asarray(present[mask].sum(axis=0)).ravel()
                for mask in (labels == label, labels != label)
            )
            ratio = np.log(ours / ours.sum()) - np.log(others / others.sum())
            svm = LinearSVC(C=self.settings["C"], random_state=0).fit(present @ sparse.diags(ratio), labels == label)
            magnitude, beta = np.abs(svm.coef_[0]).mean(), self.settings["beta"]
            weights.append(ratio * ((1 - beta) * magnitude + beta * svm.coef_[0]))
            odds = np.log((labels == label).sum() / (labels != label).sum())
            biases.append((1 - beta) * magnitude * odds + beta * svm.intercept_[0])
        self.weights, self.biases = np.array(weights, np.float32).T, np.array(biases)

    def predict(self, texts):
        """Return the class with the largest margin."""
        return self.classes[(self.vectorizer.transform(texts) @ self.weights + self.biases).argmax(axis=1)]


class BestFastText(FittedPeer):
    """fastText with the settings that are best on a part held out of train, fitted again to all of it."""

    def fit(self, texts, labels):
        """Choose, and fit."""
        self.classes, ids = np.unique(labels, return_inverse=True)
        self.chosen = self.choose(texts, ids)
        self.model = FastText(self.name, self.chosen)
        self.model.fit(texts, ids)

    def choose(self, texts, ids) -> dict[str, Any]:
        """Return the settings of the best candidate, the first of equals."""
        learned, held_out = held_out_part(ids, self.settings["held_out"])
        accuracies = []
        for candidate in self.settings["candidates"]:
            model = FastText(self.name, candidate)
            model.fit([texts[i] for i in learned], ids[learned])
            accuracies.append(np.mean(model.predict([texts[i] for i in held_out]) == ids[held_out]))
        return self.settings["candidates"][int(np.argmax(accuracies))]

    def predict(self, texts):
        """Return the most probable class."""
        return self.classes[self.model.predict(texts)]


class AutotunedFastText(BestFastText):
    """fastText with the settings that its own search finds on the part held out."""

    def choose(self, texts, ids) -> dict[str, Any]:
        """Search for so many seconds."""
        import fasttext

        fixed = {name: self.settings[name] for name in ("normalize", "thread")}
        writer = FastText(self.name, fixed)
        with tempfile.TemporaryDirectory() as folder:
            paths = [str(Path(folder) / name) for name in ("learned.txt", "held_out.txt")]
            for path, rows in zip(paths, held_out_part(ids, self.settings["held_out"]), strict=True):
                writer.write([texts[i] for i in rows], ids[rows], Path(path))
            for seed in range(AUTOTUNE_SEEDS):
                with _limited_memory(AUTOTUNE_BYTES), suppress(MemoryError):
                    model = fasttext.train_supervised(
                        paths[0],
                        autotuneValidationFile=paths[1],
                        autotuneDuration=self.settings["seconds"],
                        thread=fixed["thread"],
                        seed=seed,
                        verbose=0,
                    )
                    break
            else:
                raise MemoryError(f"fastText's search asked for over {AUTOTUNE_BYTES:,} bytes {AUTOTUNE_SEEDS} times")
        found = model.f.getArgs()
        names = ("lr", "dim", "ws", "epoch", "minCount", "minn", "maxn", "wordNgrams", "bucket")
        return fixed | {name: getattr(found, name) for name in names}


@contextmanager
def _limited_memory(num_bytes: int) -> Iterator[None]:
    """Have this process fail to allocate more than so many bytes beyond what it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + num_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@dataclass
class EmbeddingRegression(FittedPeer):
    """Embeddings of the MiniLM that a package carries, and logistic regression with C by cross-validation on train."""

    cache: Path = Path("runs")

    def fit(self, texts, labels):
        """Embed, choose C and fit."""
        labels, vectors = np.asarray(labels), self._embedded(texts)
        self.chosen = by_cross_validation(
            self.settings["candidates"], labels, lambda learned, held_out: (vectors[learned], vectors[held_out])
        )
        self.classifier = linear(self.chosen).fit(vectors, labels)

    def predict(self, texts):
        """Return the most probable class."""
        return self.classifier.predict(self._embedded(texts))

    def _embedded(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 [N, 384], and note how long the cached ones took when they were computed."""
        vectors, self.cached_seconds = embeddings_in(self.cache, self.settings["max_tokens"]).of(texts)
        return vectors


def linear(candidate: dict[str, Any]) -> Any:
    """Return an unfitted linear SVM, each class against the rest, or a softmax classifier."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    settings = {name: value for name, value in candidate.items() if name != "kind"}
    if candidate["kind"] == "svm":
        return LinearSVC(random_state=0, **settings)
    return LogisticRegression(max_iter=1000, **settings)


def by_cross_validation(
    candidates: Sequence[dict[str, Any]],
    labels: np.ndarray,
    features_of: Callable[[np.ndarray, np.ndarray], tuple[Any, Any]],
) -> dict[str, Any]:
    """Return the candidate of the best mean accuracy over folds, the first of equals.

    `features_of` gets the rows to learn from and those held out, and returns the features of both.
    """
    from sklearn.model_selection import StratifiedKFold

    correct = np.zeros(len(candidates))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for learned, held_out in folds.split(np.zeros(len(labels)), labels):
        first, second = features_of(learned, held_out)
        for i, candidate in enumerate(candidates):
            classifier = linear(candidate).fit(first, labels[learned])
            correct[i] += np.mean(classifier.predict(second) == labels[held_out])
    return candidates[int(correct.argmax())]


def held_out_part(ids: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to learn from and those held out, of each class its share but never all."""
    rng = np.random.default_rng(0)
    held_out = []
    for label in np.unique(ids):
        rows = rng.permutation(np.flatnonzero(ids == label))
        held_out.extend(rows[: min(math.ceil(fraction * len(rows)), len(rows) - 1)])
    return np.setdiff1d(np.arange(len(ids)), held_out), np.sort(np.array(held_out, np.int64))
