"""What a model has to beat: the largest class, and TF-IDF with logistic regression, scored on the same split."""

import re
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit.bundle.trained import Provenance
from plaudit.console import needs_extra
from plaudit.data.containers import Values, as_texts
from plaudit.data.splits import Splits
from plaudit.evaluate.results import BASELINE
from plaudit.models.base import Float32Array
from plaudit.predictor import Predictor
from plaudit.train.labels import labels_of

_WORD = re.compile(r"\w")

BASELINES = ("largest class", "TF-IDF + logistic regression")


class BaselinePredictor(Predictor):
    """Predicts as a model does, but cannot be saved: it is there to be compared with."""

    def __init__(self, estimator: Any, labels: tuple[str, ...], seconds: float, num_parameters: int) -> None:  # noqa: ANN401  # scikit-learn has no types
        self._estimator = estimator
        self.labels = labels
        self.kind = BASELINE
        self.provenance = Provenance(train_seconds=seconds)
        self.size_bytes = num_parameters * 8
        self.num_parameters = num_parameters
        self.trained_on = None
        self.digest = None  # type: ignore[assignment]  # there is no bundle
        self.abstain_below = 0.0
        self._calibration = None

    def predict_proba(self, texts: Values) -> Float32Array:
        """Return the probability of each label, float32 [N, C]."""
        known = self._estimator.predict_proba(list(as_texts(texts)))
        probabilities = np.zeros((len(known), len(self.labels)), np.float32)
        probabilities[:, self._estimator.classes_] = known
        return probabilities


def fit_baseline(name: str, splits: Splits) -> BaselinePredictor:
    """Fit one of BASELINES to train and validation, as the models are."""
    with needs_extra("train", "a baseline"):
        from sklearn.dummy import DummyClassifier
    began = time.perf_counter()
    texts: Sequence[str] = [*splits.train["text"].to_pylist(), *splits.validation["text"].to_pylist()]
    labels = np.concatenate([labels_of(splits.train), labels_of(splits.validation)])
    # TF-IDF has no vocabulary where texts are all marks and emoji, so that the largest class is all it could say.
    if name == BASELINES[0] or not any(map(_WORD.search, texts)):
        estimator = DummyClassifier(strategy="prior").fit(texts, labels)
        num_parameters = len(splits.labels)
    else:
        estimator = tfidf_regression().fit(texts, labels)
        num_parameters = int(estimator[-1].coef_.size)
    return BaselinePredictor(estimator, splits.labels, time.perf_counter() - began, num_parameters)


def tfidf_regression() -> Any:  # noqa: ANN401  # scikit-learn has no types
    """Return TF-IDF with logistic regression as it is usually set: pairs of words, counts on a log scale, C = 10."""
    with needs_extra("train", "a baseline"):
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
    return make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b"),
        LogisticRegression(C=10, max_iter=1000),
    )
