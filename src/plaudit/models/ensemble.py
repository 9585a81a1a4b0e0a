"""An ensemble: the weighted sum of several models' centred logits.

Its bundle holds all members; the name of each tensor and file begins with its member's number. A member may know other
labels than the ensemble: its projection, [C', C], says what its logits mean for each of the ensemble's.

Shapes: N texts, C classes.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, field_validator, model_validator

from plaudit.errors import BundleError, SettingsError
from plaudit.models.base import Float32Array, Model, ModelSettings, ModelState
from plaudit.models.kinds import runtime_class
from plaudit.settings import Settings, parse

_MEMBERS_FILE = "members.json"
_PROJECTION = "projection"


class EnsembleSettings(ModelSettings):
    """Settings of `kind = "ensemble"`."""

    kind: Literal["ensemble"] = "ensemble"
    members: tuple[str, ...] = Field(min_length=2)
    """Models whose logits are added: names of this recipe's models, of shipped ones, or model folders."""
    weights: tuple[float, ...] | None = None
    """One for each member's centred logits; None fits them on validation."""

    @field_validator("members")
    @classmethod
    def _no_member_twice(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(members)) < len(members):
            raise ValueError("lists the same model twice; list each once")
        return members

    @model_validator(mode="after")
    def _a_weight_for_each(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.members):
            raise ValueError(f"weights has {len(self.weights)} numbers for {len(self.members)} members")
        return self


class _Member(Settings):
    """An entry of members.json."""

    kind: str
    settings: dict[str, Any]
    labels: tuple[str, ...] | None = None
    """Those of a member with a projection; the others know the ensemble's."""


class EnsembleModel(Model):
    """Predicts the weighted sum of its members' logits."""

    Settings: ClassVar[type[ModelSettings]] = EnsembleSettings
    settings: EnsembleSettings

    def __init__(
        self,
        settings: EnsembleSettings,
        labels: tuple[str, ...],
        members: Sequence[Model],
        projections: Mapping[int, Float32Array],
    ) -> None:
        super().__init__(settings, labels)
        self.models = tuple(members)
        self.projections = dict(projections)

    @classmethod
    def of(
        cls,
        members: Mapping[str, Model],
        weights: Sequence[float],
        *,
        projections: Mapping[int, npt.NDArray[np.floating[Any]]] | None = None,
    ) -> Self:
        """Join models by name, in order; all have the first one's labels but for those with a projection, [C', C]."""
        settings = EnsembleSettings(members=tuple(members), weights=tuple(weights))
        models = list(members.values())
        rounded = {number: np.asarray(matrix, np.float32) for number, matrix in (projections or {}).items()}
        return cls(settings, models[0].labels, models, rounded)

    def logits(self, texts: Sequence[str]) -> Float32Array:
        """Return float32 [N, C]."""
        assert self.settings.weights is not None
        return blend([self.member_logits(number, texts) for number in range(len(self.models))], self.settings.weights)

    def member_logits(self, number: int, texts: Sequence[str]) -> Float32Array:
        """Return one member's logits of the ensemble's labels, float32 [N, C], not yet weighted."""
        logits = self.models[number].logits(texts)
        if number not in self.projections:
            return logits
        return np.asarray(centred(logits) @ self.projections[number], np.float32)

    def state(self) -> ModelState:
        """Return all members' states."""
        tensors: dict[str, npt.NDArray[np.generic]] = {}
        files: dict[str, bytes] = {}
        described = []
        for number, model in enumerate(self.models):
            state = model.state()
            tensors |= {f"{number}/{name}": tensor for name, tensor in state.tensors.items()}
            files |= {f"{number}.{name}": content for name, content in state.files.items()}
            entry: dict[str, Any] = {"kind": model.settings.kind, "settings": model.settings.model_dump(mode="json")}
            if number in self.projections:
                tensors[f"{number}/{_PROJECTION}"] = self.projections[number]
                entry["labels"] = model.labels
            described.append(entry)
        return ModelState(tensors, {**files, _MEMBERS_FILE: json.dumps(described, indent=1).encode() + b"\n"})

    @classmethod
    def from_state(cls, settings: ModelSettings, labels: tuple[str, ...], state: ModelState) -> Self:
        """Rebuild the members for prediction; BundleError if one is missing or does not fit its settings."""
        assert isinstance(settings, EnsembleSettings)
        try:
            described = TypeAdapter(tuple[_Member, ...]).validate_json(state.files[_MEMBERS_FILE])
        except (KeyError, ValueError):  # the latter is pydantic's base too
            raise BundleError(f"{_MEMBERS_FILE} does not list the ensemble's members; save the model again") from None
        num_members, num_weights = len(settings.members), len(settings.weights or ())
        if not len(described) == num_members == num_weights:
            raise BundleError(
                f"{num_members} members, {num_weights} weights, but {len(described)} in {_MEMBERS_FILE}; save it again"
            )
        members = []
        projections: dict[int, Float32Array] = {}
        for number, (name, entry) in enumerate(zip(settings.members, described, strict=True)):
            try:
                member_class = runtime_class(entry.kind)
                member_settings = parse(member_class.Settings, entry.settings, source=_MEMBERS_FILE, prefix=name)
            except SettingsError as error:
                raise BundleError(f"{error}; this needs a newer version of Plaudit") from None
            member = _member_state(state, number)
            projection = member.tensors.pop(_PROJECTION, None)
            known = labels if entry.labels is None else entry.labels
            if (projection is None) != (entry.labels is None):
                raise BundleError(f"member {name} has labels but no projection, or the other way; save it again")
            if projection is not None:
                if projection.dtype != np.float32 or projection.shape != (len(known), len(labels)):
                    raise BundleError(
                        f"the projection of {name} is not float32 {(len(known), len(labels))}; save it again"
                    )
                projections[number] = np.asarray(projection, np.float32)
            members.append(member_class.from_state(member_settings, known, member))
        return cls(settings, labels, members, projections)


def _member_state(state: ModelState, number: int) -> ModelState:
    tensor_prefix, file_prefix = f"{number}/", f"{number}."
    return ModelState(
        {n.removeprefix(tensor_prefix): t for n, t in state.tensors.items() if n.startswith(tensor_prefix)},
        {n.removeprefix(file_prefix): f for n, f in state.files.items() if n.startswith(file_prefix)},
    )


def centred(logits: Float32Array) -> Float32Array:
    """Return logits shifted to a mean of 0 over the classes; the probabilities stay the same."""
    return np.asarray(logits - logits.mean(axis=1, keepdims=True), np.float32)


def blend(logits: Sequence[Float32Array], weights: Sequence[float]) -> Float32Array:
    """Return the weighted sum of several models' centred logits, float32 [N, C]."""
    total = sum(weight * centred(each) for weight, each in zip(weights, logits, strict=True))
    return np.asarray(total, np.float32)


def fit_weights(logits: Sequence[Float32Array], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the weights of M models under which the labels are most probable, float64 [M], none negative.

    `logits` are M times [N, C], of reviews that no model was trained on; `labels` are [N]. The weights calibrate too:
    an overconfident model gets a smaller one.
    """
    from scipy.optimize import minimize

    stacked = np.stack([centred(each) for each in logits]).astype(np.float64)
    rows = np.arange(len(labels))

    def loss(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        blended = np.tensordot(weights, stacked, axes=1)
        log_total = np.logaddexp.reduce(blended, axis=1)
        error = np.exp(blended - log_total[:, None])
        error[rows, labels] -= 1
        return float((log_total - blended[rows, labels]).mean()), np.tensordot(stacked, error, axes=2) / len(labels)

    start = np.full(len(stacked), 1 / len(stacked))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(stacked))
    weights: npt.NDArray[np.float64] = found.x
    return weights
