"""Peers that count words: a lexicon, linear models of n-grams, fastText."""

import io
import random
import shutil
import tempfile
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np

from peers.base import FittedPeer, Peer
from plaudit.evaluate.machine import num_cores


class Vader(Peer):
    """A lexicon with rules (Hutto & Gilbert 2014), which no review is needed for."""

    def train(self, texts, labels):
        """Do nothing, which takes no time."""
        return 0.0

    def save(self, folder):
        """Copy the two lexicons."""
        import vaderSentiment

        for lexicon in Path(vaderSentiment.__file__).parent.glob("*_lexicon.txt"):
            shutil.copy(lexicon, folder)

    def load(self, folder):
        """Read the lexicons, from the package itself."""
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self.analyzer = SentimentIntensityAnalyzer()

    def predict(self, texts):
        """Call a text positive if its compound score is above zero."""
        return np.array([self.analyzer.polarity_scores(text)["compound"] > 0 for text in texts])


class TfidfRegression(FittedPeer):
    """TF-IDF and logistic regression."""

    def fit(self, texts, labels):
        """Fit both."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        self.pipeline = make_pipeline(
            TfidfVectorizer(**self.settings["vectorizer"]), LogisticRegression(C=self.settings["C"], max_iter=1000)
        )
        self.pipeline.fit(texts, labels)

    def predict(self, texts):
        """Return what the regression says."""
        return self.pipeline.predict(texts)


class NBSVM(FittedPeer):
    """Wang & Manning 2012: n-grams present, times their naive-Bayes log-count ratio, into a linear classifier.

    As in the usual code for IMDB, the classifier is logistic regression, and punctuation counts. The paper's
    interpolation of each weight with their mean made it worse on validation, and is left out.
    """

    def fit(self, texts, labels):
        """Fit, and fold ratio and weight into one number for each n-gram."""
        from scipy import sparse
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression

        self.vectorizer = CountVectorizer(binary=True, **self.settings["vectorizer"])
        present = self.vectorizer.fit_transform(texts)
        positive, negative = (1 + np.asarray(present[labels == label].sum(axis=0)).ravel() for label in (1, 0))
        ratio = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
        regression = LogisticRegression(solver="liblinear", dual=True, max_iter=1000, C=self.settings["C"])
        regression.fit(present @ sparse.diags(ratio), labels)
        self.weights = (ratio * regression.coef_[0]).astype(np.float32)
        self.bias = regression.intercept_[0]

    def predict(self, texts):
        """Return the sign of the summed weights."""
        return self.vectorizer.transform(texts) @ self.weights + self.bias > 0


class FastText(FittedPeer):
    """Joulin et al. 2016; `normalize` as its tutorial does, the other settings are those of train_supervised."""

    def fit(self, texts, labels):
        """Train, on every core unless settings say otherwise."""
        import fasttext

        settings = {name: value for name, value in self.settings.items() if name != "normalize"}
        settings = {"thread": num_cores(), "verbose": 0} | settings
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "train.txt"
            self.write(texts, labels, path)
            self.model = fasttext.train_supervised(str(path), **settings)

    def write(self, texts, labels, path):
        """Write lines of text and label, shuffled, to a file."""
        lines = [f"__label__{label} {line}" for label, line in zip(labels, self._lines(texts), strict=True)]
        random.Random(0).shuffle(lines)
        path.write_text("".join(lines), encoding="utf-8")

    def save(self, folder):
        """Write fastText's own file."""
        self.model.save_model(str(folder / "model.bin"))

    def load(self, folder):
        """Read fastText's own file."""
        import fasttext

        with redirect_stderr(io.StringIO()):  # it warns each time that the class was renamed in 2019
            self.model = fasttext.load_model(str(folder / "model.bin"))

    def predict(self, texts):
        """Return the most probable label."""
        # model.predict itself fails under numpy 2, in np.array(copy=False), after it has called this.
        labels, _ = self.model.f.multilinePredict(self._lines(texts), 1, 0.0, "strict")
        return np.array([int(label.removeprefix("__label__")) for (label,) in labels])

    def _lines(self, texts):
        """One line a text."""
        if not self.settings["normalize"]:
            return [text.replace("\n", " ") + "\n" for text in texts]
        lines = []
        for text in texts:
            for mark in ".!?,'/()":  # four times as fast as the regular expression that says the same
                text = text.replace(mark, f" {mark} ")
            lines.append(text.replace("\n", " ").lower() + "\n")
        return lines
