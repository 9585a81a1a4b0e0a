"""Bag of n-grams: NB-weighted logistic regression, folded into one weight for each n-gram.

Training follows Wang & Manning 2012 ("Baselines and Bigrams"): which n-grams of order 1 … 3 a text has, each scaled
by its naive-Bayes log-count ratio, go into a logistic regression. Scale and coefficient are then one number, so
predicting is a sum of weights over the distinct n-grams of a text. N-grams are known by 32 bits of their hash. There
is one binary problem for two classes and one against the rest for each of more.

Shapes: N texts, C classes, K binary problems (1 for two classes, else C), F n-grams.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field
from rich.console import Console

from undertone.errors import BundleError, MissingExtraError
from undertone.models.base import Float32Array, Model, ModelSettings, ModelState
from undertone.text import reference
from undertone.text.cleaning import CleaningSettings

if TYPE_CHECKING:
    from scipy import sparse

    from undertone.text import kernel

_REFERENCE_CHARACTERS = 100_000
"""Plain Python serves a model's first characters: it takes 0.1 s for them, importing the compiler 0.4 s and more."""


class BowSettings(ModelSettings):
    """Settings of the bag of n-grams; the defaults were chosen by cross-validation on IMDB train, by movie."""

    kind: Literal["bow"] = "bow"
    cleaning: CleaningSettings = CleaningSettings(punctuation="keep")
    max_order: int = Field(3, ge=1, le=8)
    """Longest n-gram, in tokens."""
    min_count: int = Field(5, ge=1)
    """An n-gram counts if it occurs this often in the training reviews."""
    slot_bits: int = Field(19, ge=16, le=24)
    """The table has 2 ** slot_bits slots; of the n-grams that want a slot, the most telling gets it."""
    smoothing: float = Field(1.0, gt=0)
    """Added to each count before the log-count ratio is taken."""
    inverse_regularization: float = Field(0.2, gt=0)
    """C of the logistic regression."""


class BowModel(Model):
    """keys uint32 [F], sorted; weights float16 [F, K]; bias float32 [K]."""

    Settings: ClassVar[type[ModelSettings]] = BowSettings
    settings: BowSettings

    def __init__(
        self,
        settings: BowSettings,
        labels: tuple[str, ...],
        *,
        keys: npt.NDArray[np.uint32],
        weights: npt.NDArray[np.float16],
        bias: npt.NDArray[np.float32],
    ) -> None:
        super().__init__(settings, labels)
        self.keys = keys
        self.weights = weights
        self.bias = bias
        self._characters_left = _REFERENCE_CHARACTERS

    def logits(self, texts: Sequence[str]) -> Float32Array:
        """Return float32 [N, C]; plain Python and the compiled kernel agree to the rounding of a float32 sum."""
        self._characters_left -= sum(map(len, texts))
        scores = self._reference_scores(texts) if self._characters_left > 0 else self._kernel_scores(texts)
        scores += self.bias
        if len(self.labels) == 2:
            return np.concatenate([-scores / 2, scores / 2], axis=1)
        # The softmax of log-sigmoids is the normalized probability of one-against-the-rest classifiers.
        return -np.logaddexp(np.float32(0), -scores)

    def _reference_scores(self, texts: Sequence[str]) -> Float32Array:
        scores = np.zeros((len(texts), len(self.bias)), np.float32)
        for i, text in enumerate(texts):
            hashes = reference.ngram_hashes(text, self.settings.cleaning, self.settings.max_order)
            keys = np.unique(np.array([value >> 32 for value in hashes], np.uint32))
            places = np.searchsorted(self.keys, keys)
            inside = places < len(self.keys)
            places, keys = places[inside], keys[inside]
            scores[i] = self.weights[places[self.keys[places] == keys]].astype(np.float32).sum(axis=0)
        return scores

    def _kernel_scores(self, texts: Sequence[str]) -> Float32Array:
        from undertone.text import kernel

        tables, tags, weights = self._tables
        parts = [
            kernel.ngram_scores(*kernel.join_utf8(chunk), tables, self.settings.max_order, tags, weights)
            for chunk in kernel.chunks(texts)
        ]
        return np.concatenate([np.zeros((0, len(self.bias)), np.float32), *parts])

    @cached_property
    def _tables(self) -> "tuple[kernel.CleaningTables, npt.NDArray[np.uint16], Float32Array]":
        from undertone.text import kernel

        bits = self.settings.slot_bits
        slots = self.keys >> np.uint32(32 - bits)
        tags = np.zeros(1 << bits, np.uint16)
        weights = np.zeros((1 << bits, len(self.bias)), np.float32)
        tags[slots] = self.keys & np.uint32((1 << (32 - bits)) - 1)
        weights[slots] = self.weights
        return kernel.cleaning_tables(self.settings.cleaning), tags, weights

    def state(self) -> ModelState:
        """Return keys, weights and bias."""
        return ModelState({"keys": self.keys, "weights": self.weights, "bias": self.bias})

    @classmethod
    def from_state(cls, settings: ModelSettings, labels: tuple[str, ...], state: ModelState) -> Self:
        """Rebuild a model; BundleError if a tensor is missing or shapes do not agree."""
        assert isinstance(settings, BowSettings)
        num_problems = 1 if len(labels) == 2 else len(labels)
        tensors: dict[str, Any] = state.tensors
        num_ngrams = tensors["keys"].size if "keys" in tensors else 0
        expected = {
            "keys": ("uint32", (num_ngrams,)),
            "weights": ("float16", (num_ngrams, num_problems)),
            "bias": ("float32", (num_problems,)),
        }
        found = {name: (str(tensor.dtype), tensor.shape) for name, tensor in tensors.items()}
        if found != expected:
            raise BundleError(f"a bow model of {len(labels)} labels holds tensors {expected}, not {found}")
        return cls(settings, labels, keys=tensors["keys"], weights=tensors["weights"], bias=tensors["bias"])

    @classmethod
    def fit(
        cls,
        settings: BowSettings,
        texts: Sequence[str],
        label_ids: npt.NDArray[np.int64],
        labels: tuple[str, ...],
        *,
        console: Console,
    ) -> Self:
        """Train on texts with label ids 0 … C - 1; needs the extra `train`. Deterministic: there is no seed to set."""
        try:
            import sklearn.linear_model  # noqa: F401
        except ImportError:
            raise MissingExtraError("training needs: pip install 'undertone[train]'") from None
        settings = settings.model_copy(update={"cleaning": settings.cleaning.resolved()})
        with console.status("counting n-grams"):
            keys, presence = _frequent_ngrams(texts, settings)
            keys, presence = _one_ngram_a_slot(keys, presence, label_ids, settings.slot_bits)
        weights, bias = [], []
        for positive in range(len(labels)) if len(labels) > 2 else [1]:
            with console.status(f"fitting {labels[positive]} against the rest on {len(keys):,} n-grams"):
                weight, intercept = _fit_problem(presence, label_ids == positive, settings)
            weights.append(weight)
            bias.append(intercept)
        return cls(
            settings,
            labels,
            keys=keys,
            weights=np.stack(weights, axis=1).astype(np.float16),
            bias=np.array(bias, np.float32),
        )


def _frequent_ngrams(texts: Sequence[str], settings: BowSettings) -> tuple[npt.NDArray[np.uint32], "sparse.csr_matrix"]:
    """Return the sorted keys of the n-grams that occur often enough, and which text has which: 0 or 1, [N, F]."""
    from scipy import sparse

    from undertone.text import kernel

    data, offsets = kernel.join_utf8(texts)
    found, ends = kernel.ngram_keys(data, offsets, kernel.cleaning_tables(settings.cleaning), settings.max_order)
    # Sorted runs rather than np.unique, whose hash table took 39 of 50 s for the 21 million n-grams of IMDB train.
    ordered = np.append(np.sort(found), np.uint32(0))
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    keys = ordered[starts[:-1][np.diff(starts) >= settings.min_count]]
    columns = np.searchsorted(keys, found).astype(np.int32)
    known = np.append(keys, np.uint32(0))[columns] == found
    rows = np.append(0, np.cumsum(known))[ends]
    presence = sparse.csr_matrix((np.ones(rows[-1], np.float32), columns[known], rows), shape=(len(texts), len(keys)))
    presence.sum_duplicates()
    presence.data[:] = 1
    return keys, presence


def _one_ngram_a_slot(
    keys: npt.NDArray[np.uint32], presence: "sparse.csr_matrix", label_ids: npt.NDArray[np.int64], slot_bits: int
) -> tuple[npt.NDArray[np.uint32], "sparse.csr_matrix"]:
    """Keep, of the n-grams that share a slot, the one whose presence says most about a label."""
    num_texts = np.asarray(presence.sum(axis=0)).ravel()
    evidence = np.zeros(len(keys))
    for label in np.unique(label_ids):
        share = np.mean(label_ids == label)
        with_label = np.asarray(presence[label_ids == label].sum(axis=0)).ravel()
        evidence = np.maximum(evidence, np.abs(with_label - share * num_texts) / np.sqrt(num_texts))
    slots = keys >> np.uint32(32 - slot_bits)
    by_evidence = np.lexsort((-evidence, slots))
    is_best = np.append(True, np.diff(slots[by_evidence]) > 0)[: len(keys)]
    kept = np.sort(by_evidence[is_best])
    return keys[kept], presence[:, kept]


def _fit_problem(
    presence: "sparse.csr_matrix", is_positive: npt.NDArray[np.bool_], settings: BowSettings
) -> tuple[npt.NDArray[np.float64], float]:
    """Return the weight of each n-gram, float64 [F], and the bias of one binary problem."""
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression

    if presence.shape[1] == 0:  # no n-gram is frequent enough, which leaves how often the label occurs
        num_positive = np.count_nonzero(is_positive)
        smoothing = settings.smoothing
        return np.zeros(0), float(np.log((num_positive + smoothing) / (len(is_positive) - num_positive + smoothing)))
    ratio = _log_count_ratio(presence, is_positive, settings.smoothing)
    regression = LogisticRegression(
        C=settings.inverse_regularization, solver="liblinear", dual=True, random_state=0, max_iter=1000
    )
    regression.fit(presence @ sparse.diags(ratio), is_positive)
    return ratio * regression.coef_[0], float(regression.intercept_[0])


def _log_count_ratio(
    presence: "sparse.csr_matrix", is_positive: npt.NDArray[np.bool_], smoothing: float
) -> npt.NDArray[np.float64]:
    """Return for each n-gram the log of its share among positive over its share among other texts, float64 [F]."""
    positive = np.asarray(presence[is_positive].sum(axis=0)).ravel() + smoothing
    negative = np.asarray(presence[~is_positive].sum(axis=0)).ravel() + smoothing
    ratio: npt.NDArray[np.float64] = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    return ratio
