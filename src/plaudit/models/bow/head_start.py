"""Fits a bag of n-grams that starts from another model, and learns only what that model lacks.

The other model's logits of a text are further columns of the logistic regression, multiplied by a strength: the larger
it is, the less regularization keeps the regression from trusting them. A bag of n-grams is added into the new table
(`fit_from_bow`), so that the result is one bag and as fast as any; every other model stays a member of an ensemble.

Shapes: N texts, C classes, C' classes of the model to start from, F n-grams, K binary problems.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from plaudit.errors import SettingsError
from plaudit.models.base import Float32Array, Model
from plaudit.models.bow.fit import Fitted, bow_of, distinct_ngrams, fit_scores
from plaudit.models.bow.model import BowModel
from plaudit.models.bow.ngrams import Presence, find_ngrams
from plaudit.models.bow.settings import BowSettings
from plaudit.models.ensemble import EnsembleModel, centred

if TYPE_CHECKING:
    from scipy import sparse


@dataclass(frozen=True)
class HeadStart:
    """The model to start from, its name, and how strongly to trust it from the outset."""

    name: str
    model: Model
    strength: float


def fit_with_head_start(
    settings: BowSettings,
    start: HeadStart,
    texts: Sequence[str],
    label_ids: npt.NDArray[np.int64],
    labels: tuple[str, ...],
    *,
    weight: npt.NDArray[np.float64] | None = None,
    console: Console,
) -> Model:
    """Fit to texts with label ids 0 … C - 1; SettingsError if the settings do not fit the model to start from."""
    settings = settings.model_copy(update={"cleaning": settings.cleaning.resolved()})
    if isinstance(start.model, BowModel):
        return _fit_from_bow(settings, start, texts, label_ids, labels, weight=weight, console=console)
    settings = with_scores_that_add_up(settings, labels)
    with console.status("counting n-grams"):
        presence = distinct_ngrams(settings, texts, label_ids, len(labels))
    with console.status(f"asking {start.name} about {len(texts):,} texts"):
        features = start.strength * centred(start.model.logits(texts))
    with console.status(f"fitting {len(labels)} labels on {len(presence.keys):,} n-grams"):
        fitted = fit_scores(settings, presence.matrix, label_ids, labels, features=features, weight=weight)
    bag = bow_of(settings, labels, presence.keys, fitted)
    own = start.strength * fitted.of_features
    projection = np.concatenate([-own / 2, own / 2], axis=1) if own.shape[1] == 1 else own
    members = {f"bag beside {start.name}": bag, start.name: start.model}
    return EnsembleModel.of(members, (1.0, 1.0), projections={1: projection})


def with_scores_that_add_up(settings: BowSettings, labels: Sequence[str]) -> BowSettings:
    """Return settings whose logits are the scores themselves, to which others can be added."""
    return settings.model_copy(update={"probabilities": "softmax"}) if len(labels) > 2 else settings


def settings_for_start(settings: BowSettings, start: BowModel) -> BowSettings:
    """Return settings under which the table of `start` can be added to that of a new bag."""
    theirs = start.settings
    return settings.model_copy(
        update={
            "cleaning": theirs.cleaning,
            "max_order": theirs.max_order,
            "characters": max(settings.characters, theirs.characters),
            "norm": theirs.norm,
            "slot_bits": max(settings.slot_bits, theirs.slot_bits),
        }
    )


@dataclass(frozen=True)
class JoinedNgrams:
    """N-grams of new texts together with those of the bag to start from."""

    presence: Presence
    """Of both, in the new texts."""
    is_learned: npt.NDArray[np.bool_]
    """Which the new texts have often enough, [F]."""
    weights: Float32Array
    """Those of the bag to start from, [F, K'], 0 for what it does not know."""


def table_scores(
    matrix: "sparse.csr_matrix", weights: npt.NDArray[np.floating[Any]], norm: str
) -> npt.NDArray[np.float64]:
    """Return what weights [F, K] give texts of these n-grams, without bias, float64 [N, K]."""
    scores = np.asarray(matrix @ weights, np.float64)
    if norm == "l2":
        scores /= np.sqrt(np.maximum(np.diff(matrix.indptr), 1))[:, None]
    return scores


def join_ngrams(settings: BowSettings, own: Presence, start: BowModel, texts: Sequence[str]) -> JoinedNgrams:
    """Add the n-grams of `start` to a new bag's own, which win where two would need one slot."""
    shift = np.uint32(32 - settings.slot_bits)
    is_new = ~np.isin(start.keys >> shift, own.keys >> shift)
    is_shared = np.isin(start.keys, own.keys)
    keys = np.sort(np.concatenate([own.keys, start.keys[is_new]]))
    # Two n-grams of a bag of fewer slots never need one slot of a table with more.
    weights = np.zeros((len(keys), start.weights.shape[1]), np.float32)
    kept = is_new | is_shared
    weights[np.searchsorted(keys, start.keys[kept])] = start.weights[kept] * start.scale
    return JoinedNgrams(find_ngrams(texts, settings, keys), np.isin(keys, own.keys), weights)


def _fit_from_bow(
    settings: BowSettings,
    start: HeadStart,
    texts: Sequence[str],
    label_ids: npt.NDArray[np.int64],
    labels: tuple[str, ...],
    *,
    weight: npt.NDArray[np.float64] | None = None,
    console: Console,
) -> BowModel:
    assert isinstance(start.model, BowModel)
    adapted = settings_for_start(settings, start.model)
    needed = {name: getattr(adapted, name) for name in ("max_order", "characters", "norm")}
    changed = [f"{name} = {json.dumps(value)}" for name, value in needed.items() if getattr(settings, name) != value]
    for name, value in adapted.cleaning:
        if getattr(settings.cleaning, name) != value:
            shown = f"cleaning.{name} = {json.dumps(value)}"
            changed.append(shown if name != "stop_words" else "its cleaning.stop_words")
    if changed:
        raise SettingsError(f"start = {start.name}: its table can be added to only with {', '.join(changed)}")
    with console.status("counting n-grams"):
        own = distinct_ngrams(adapted, texts, label_ids, len(labels))
        joined = join_ngrams(adapted, own, start.model, texts)
    features = start.strength * table_scores(joined.presence.matrix, joined.weights, adapted.norm).astype(np.float32)
    with console.status(f"fitting {len(labels)} labels on {len(own.keys):,} n-grams"):
        fitted = fit_scores(
            adapted,
            joined.presence.matrix,
            label_ids,
            labels,
            features=features,
            weight=weight,
            is_learned=joined.is_learned,
        )
    folded = fitted.weights + joined.weights @ (start.strength * fitted.of_features)
    return bow_of(adapted, labels, joined.presence.keys, Fitted(folded, fitted.bias, fitted.of_features[:0]))
