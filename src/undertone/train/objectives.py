"""What training minimizes: hard labels, a teacher's soft labels, or a weighted mixture of losses.

To add a loss, write a function and a line in LOSSES. All of them are sums over a batch, so that every review
weighs the same whatever batch it is in.

Shapes: N reviews, B batch, T tokens, C classes, F features of the student, G of the teacher.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional

from undertone.errors import SettingsError
from undertone.models.base import Float32Array
from undertone.settings import Settings, unknown_name

UNLABELLED = -1


@dataclass(frozen=True)
class Targets:
    """What is known about N reviews; SettingsError if there is nothing to learn of one.

    `labels` int64 [N], UNLABELLED where there is none; `teacher_logits` float32 [N, C] and `teacher_features`
    float32 [N, G], if a teacher has read them.
    """

    labels: npt.NDArray[np.int64]
    teacher_logits: Float32Array | None = None
    teacher_features: Float32Array | None = None

    def __post_init__(self) -> None:
        if self.teacher_logits is None and (self.labels == UNLABELLED).any():
            raise SettingsError(
                "without a teacher, texts without a label teach nothing; keep unlabelled reviews and variants out of "
                "transfer, or add a loss that has a teacher"
            )


class ObjectiveSettings(Settings):
    """Settings of the objective."""

    losses: dict[str, float] = Field(default={"hard": 1.0}, min_length=1)
    """Weight of each loss: of hard (the labels), kl, logit-mse and feature."""
    temperature: float = Field(default=2.0, gt=0)
    """Divides the logits of teacher and student before kl compares them."""

    @model_validator(mode="after")
    def _known_and_positive(self) -> Self:
        for name, weight in self.losses.items():
            if name not in LOSSES:
                raise ValueError(f"{name} {unknown_name(name, LOSSES)}")
            if not 0 < weight < math.inf:
                raise ValueError(f"{name} = {weight:g}: give a weight above 0, or leave the loss out")
        return self

    @property
    def needs_teacher(self) -> bool:
        """Whether a loss reads what a teacher says."""
        return set(self.losses) != {"hard"}


class Batch:
    """What a loss may read of the B reviews `rows` and of what the student makes of them."""

    def __init__(self, objective: "LabelObjective", rows: torch.Tensor, logits: torch.Tensor) -> None:
        self.temperature = objective.settings.temperature
        self.label_smoothing = objective.label_smoothing
        self.logits = logits
        """The student's, float32 [B, C]."""
        self.labels = objective.labels[rows]
        self.features: torch.Tensor | None = None
        """The student's, projected to [B, G]; None unless a loss asks for them."""
        self._objective, self._rows = objective, rows

    @property
    def teacher_logits(self) -> torch.Tensor:
        """The teacher's, float32 [B, C]."""
        return cast(torch.Tensor, self._objective.teacher_logits)[self._rows]

    @property
    def teacher_features(self) -> torch.Tensor:
        """The teacher's, float32 [B, G]."""
        return cast(torch.Tensor, self._objective.teacher_features)[self._rows]


def hard_labels(batch: Batch) -> torch.Tensor:
    """Return the cross-entropy with the labels; an unlabelled review adds nothing."""
    return functional.cross_entropy(
        batch.logits,
        batch.labels,
        ignore_index=UNLABELLED,
        label_smoothing=batch.label_smoothing,
        reduction="sum",
    )


def softened_kl(batch: Batch) -> torch.Tensor:
    """Return the divergence of the student's from the teacher's probabilities, both softened by the temperature.

    Times its square, so that gradients keep their size (Hinton et al. 2015, "Distilling the Knowledge in a Neural
    Network").
    """
    temperature = batch.temperature
    student = (batch.logits / temperature).log_softmax(1)
    teacher = (batch.teacher_logits / temperature).log_softmax(1)
    return temperature**2 * functional.kl_div(student, teacher, log_target=True, reduction="sum")


def logit_mse(batch: Batch) -> torch.Tensor:
    """Return half the squared distance of the logits, each review's centred (Ba & Caruana 2014; Tang et al. 2019)."""
    student, teacher = (logits - logits.mean(1, keepdim=True) for logits in (batch.logits, batch.teacher_logits))
    return (student - teacher).square().sum() / 2


def feature_matching(batch: Batch) -> torch.Tensor:
    """Return the mean squared distance of the projected features from the teacher's (Romero et al. 2015, "FitNets")."""
    assert batch.features is not None
    return (batch.features - batch.teacher_features).square().mean(1).sum()


LOSSES: dict[str, Callable[[Batch], torch.Tensor]] = {
    "hard": hard_labels,
    "kl": softened_kl,
    "logit-mse": logit_mse,
    "feature": feature_matching,
}


class Penalty(Protocol):
    """What a step adds to the mean loss, such as a group lasso."""

    strength: float

    def __call__(self) -> torch.Tensor:
        """Return it for the weights as they are."""


class Objective(nn.Module, ABC):
    """What a step minimizes; its own weights, if it has any, are trained with the network's."""

    penalty: Penalty | None = None
    """What a step adds to the mean loss besides, such as a group lasso."""

    @abstractmethod
    def forward(
        self, network: nn.Module, ids: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss, summed over a batch of reviews, and how many of them the network gets right.

        ids and mask are [B, T], `rows` [B] are the reviews' numbers in the corpus.
        """


class LabelObjective(Objective):
    """A weighted sum of losses over the reviews of a corpus; SettingsError if a loss lacks its teacher."""

    def __init__(
        self,
        settings: ObjectiveSettings,
        targets: Targets,
        *,
        network: nn.Module,
        device: torch.device,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.settings = settings
        self.labels = torch.from_numpy(targets.labels).to(device)
        self.teacher_logits = _on(device, targets.teacher_logits)
        self.teacher_features = _on(device, targets.teacher_features)
        if settings.needs_teacher and targets.teacher_logits is None:
            raise SettingsError(f"losses {', '.join(settings.losses)} need a teacher; give one, or take hard alone")
        self.truth = self.labels
        """Label of each review; the teacher's where it has none, int64 [N]."""
        if self.teacher_logits is not None:
            self.truth = torch.where(self.labels == UNLABELLED, self.teacher_logits.argmax(1), self.labels)
        self.projection: nn.Linear | None = None
        if "feature" in settings.losses:
            if self.teacher_features is None:
                raise SettingsError("the loss feature needs a teacher with features; soft labels hold none")
            num_features = cast(Any, network).classifier.in_features
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)  # it starts the same in every run, so that seed and resumption decide the rest
                self.projection = nn.Linear(num_features, self.teacher_features.shape[1]).to(device)

    def forward(
        self, network: nn.Module, ids: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss, summed over the batch, and how many reviews the student gets right."""
        if self.projection is None:
            batch = Batch(self, rows, network(ids, mask).float())
        else:
            features = cast(Any, network).features(ids, mask)
            batch = Batch(self, rows, cast(Any, network).classify(features).float())
            batch.features = self.projection(features.float())
        loss = torch.stack([weight * LOSSES[name](batch) for name, weight in self.settings.losses.items()]).sum()
        return loss, (batch.logits.argmax(1) == self.truth[rows]).sum()


def _on(device: torch.device, array: Float32Array | None) -> torch.Tensor | None:
    return None if array is None else torch.from_numpy(array).to(device)
