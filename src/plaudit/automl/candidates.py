"""Candidates for a bag of n-grams, and the texts as they all share them: counted once, scored by the start models once.

Shapes: N texts, C classes, C' classes of a model to start from, F n-grams, K binary problems.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from plaudit.bundle.folder import load_bundle
from plaudit.bundle.locate import model_folder
from plaudit.models.base import Float32Array, Model
from plaudit.models.bow.fit import fit_scores, sure_labels
from plaudit.models.bow.head_start import JoinedNgrams, join_ngrams, settings_for_start, table_scores
from plaudit.models.bow.model import BowModel
from plaudit.models.bow.ngrams import Presence, frequent_ngrams
from plaudit.models.bow.settings import BowSettings
from plaudit.models.ensemble import centred

if TYPE_CHECKING:
    from scipy import sparse

_TOLERANCE = 0.1
"""Half the time of an exact fit, and next to the same accuracy: enough to compare by."""

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Candidate:
    """One way to fit a bag of n-grams."""

    settings: BowSettings
    start: str | None = None
    strength: float = 0.5
    self_training: float = 0.0
    """What a text without label counts that a first fit is sure of; 0 leaves them out."""

    def described(self) -> str:
        """Return the candidate in a few words, as progress and reports show it."""
        parts = [f"n-grams of up to {self.settings.max_order} words"]
        if self.settings.characters:
            parts.append(f"of up to {self.settings.characters} characters")
        parts.append(f"scaled by {self.settings.scale}")
        if self.settings.class_weight == "balanced":
            parts.append("balanced classes")
        parts.append(f"C = {self.settings.inverse_regularization:g}")
        if self.start is not None:
            parts.append(f"head start from {self.start} × {self.strength:g}")
        if self.self_training:
            parts.append(f"unlabelled texts × {self.self_training:g}")
        return ", ".join(parts)

    def with_settings(self, **changes: object) -> "Candidate":
        """Return the candidate with some settings of its bag changed."""
        return replace(self, settings=self.settings.model_copy(update=changes))


class Material:
    """Labelled texts, with what several candidates need of them."""

    def __init__(
        self, texts: Sequence[str], label_ids: Int64Array, labels: tuple[str, ...], unlabelled: Sequence[str] = ()
    ) -> None:
        self.num_unlabelled = len(unlabelled)
        self.texts = [*texts, *unlabelled]
        """The labelled ones first."""
        self.label_ids = label_ids
        self.labels = labels
        self._presence: dict[tuple[int, int, str], Presence] = {}
        self._joined: dict[tuple[int, int, str], JoinedNgrams] = {}
        self._logits: dict[str, Float32Array] = {}
        self._starts: dict[str, Model] = {}

    @cached_property
    def num_characters(self) -> int:
        """Characters of all texts."""
        return sum(map(len, self.texts))

    def start(self, name: str) -> Model:
        """Return a model to start from; BundleError if there is none."""
        if name not in self._starts:
            self._starts[name] = load_bundle(model_folder(name)).model
        return self._starts[name]

    def as_fitted(self, candidate: Candidate) -> Candidate:
        """Return the candidate with the settings that its start asks for, since a bag is added into the new table."""
        start = None if candidate.start is None else self.start(candidate.start)
        if not isinstance(start, BowModel):
            return candidate
        return replace(candidate, settings=settings_for_start(candidate.settings, start))

    def prepare(self, candidate: Candidate) -> None:
        """Count and score what this candidate needs, and no other did before; the first time, this compiles kernels."""
        start = None if candidate.start is None else self.start(candidate.start)
        if isinstance(start, BowModel):
            self._join(candidate.settings, start, candidate.start or "")
        else:
            self._ngrams(candidate.settings)
            if start is not None:
                self._centred(candidate.start)

    def scores(self, candidate: Candidate, train: Int64Array, test: Int64Array) -> npt.NDArray[np.float64]:
        """Return the scores of the texts `test` by a bag fitted to the texts `train`, float64 [N, K]."""
        columns, ids = self._columns(candidate), self.label_ids[train]
        first = _fit(candidate, columns, train, ids, self.labels)
        if not candidate.self_training:
            return first(test)
        unlabelled = np.arange(len(self.label_ids), len(self.texts))
        guesses, is_sure = sure_labels(first(unlabelled), candidate.settings.probabilities)
        rows, ids = np.append(train, unlabelled[is_sure]), np.append(ids, guesses[is_sure])
        weight = np.where(np.arange(len(rows)) < len(train), 1.0, candidate.self_training)
        return _fit(candidate, columns, rows, ids, self.labels, weight)(test)

    def _columns(self, candidate: Candidate) -> "_Columns":
        start = None if candidate.start is None else self.start(candidate.start)
        no_features = np.zeros((len(self.texts), 0), np.float32)
        if isinstance(start, BowModel):
            joined = self._join(candidate.settings, start, candidate.start or "")
            is_start = np.isin(joined.presence.keys, start.keys)
            return _Columns(joined.presence.matrix, joined.is_learned, is_start, joined.weights, no_features)
        matrix = self._ngrams(candidate.settings).matrix
        is_own = np.ones(matrix.shape[1], np.bool_)
        return _Columns(matrix, is_own, ~is_own, None, no_features if start is None else self._centred(candidate.start))

    def _ngrams(self, settings: BowSettings) -> Presence:
        key = settings.max_order, settings.characters, settings.cleaning.model_dump_json()
        if key not in self._presence:
            self._presence[key] = frequent_ngrams(self.texts, settings)
        return self._presence[key]

    def _join(self, settings: BowSettings, start: BowModel, name: str) -> JoinedNgrams:
        key = settings.max_order, settings.characters, name
        if key not in self._joined:
            self._joined[key] = join_ngrams(settings, self._ngrams(settings), start, self.texts)
        return self._joined[key]

    def _centred(self, name: str | None) -> Float32Array:
        assert name is not None
        if name not in self._logits:
            self._logits[name] = centred(self.start(name).logits(self.texts))
        return self._logits[name]


@dataclass(frozen=True)
class _Columns:
    """What a candidate's regression sees of all texts."""

    matrix: "sparse.csr_matrix"
    is_own: npt.NDArray[np.bool_]
    """Which n-grams the texts themselves have, [F]."""
    is_start: npt.NDArray[np.bool_]
    """Which n-grams the bag to start from has, [F]."""
    start_weights: Float32Array | None
    """Theirs, [F, K']; None without such a bag."""
    features: Float32Array
    """Logits of another model to start from, [N, S]; S is 0 without one."""


def _fit(
    candidate: Candidate,
    columns: _Columns,
    train: Int64Array,
    label_ids: Int64Array,
    labels: tuple[str, ...],
    weight: npt.NDArray[np.float64] | None = None,
) -> Callable[[Int64Array], npt.NDArray[np.float64]]:
    """Fit to the texts `train` and return a function from other texts to their scores, float64 [N, K]."""
    settings = candidate.settings
    # What no text of `train` has must not count towards a row's length, as it will not in a new text.
    counts = np.asarray(columns.matrix[train].sum(axis=0)).ravel()
    is_learned = columns.is_own & (counts >= settings.min_count)
    kept = np.flatnonzero(is_learned | columns.is_start)
    matrix, features = columns.matrix[:, kept], columns.features
    if columns.start_weights is not None:
        features = table_scores(matrix, columns.start_weights[kept], settings.norm).astype(np.float32)
    features = candidate.strength * features
    is_all_learned = columns.start_weights is None
    fitted = fit_scores(
        settings,
        matrix[train],
        label_ids,
        labels,
        features=features[train],
        weight=weight,
        is_learned=None if is_all_learned else is_learned[kept],
        tolerance=_TOLERANCE,
    )

    def scores(rows: Int64Array) -> npt.NDArray[np.float64]:
        sums = table_scores(matrix[rows], fitted.weights, settings.norm)
        return np.asarray(sums + features[rows] @ fitted.of_features + fitted.bias, np.float64)

    return scores
