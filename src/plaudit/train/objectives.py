"""What training minimizes: hard labels, a teacher's soft labels, steadiness, or a weighted mixture of losses.

To add a loss, write a function and a line in LOSSES. All of them are sums over a batch, so that every review
weighs the same whatever batch it is in.

Shapes: N reviews, B batch, T tokens, C classes, F features of the student, G of the teacher.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from torch import nn
from torch.nn import functional

from plaudit.errors import SettingsError
from plaudit.models.base import Float32Array
from plaudit.settings import Settings, unknown_name
from plaudit.train.adversarial import divergence, most_diverging_change, random_change, worst_change

UNLABELLED = -1


@dataclass(frozen=True)
class Targets:
    """What is known about N reviews.

    `labels` int64 [N], UNLABELLED where there is none; `teacher_logits` float32 [N, C] and `teacher_features`
    float32 [N, G], if a teacher has read them; `beside_logits` float32 [N, C], weighted, if a model beside the
    student adds to what it says.
    """

    labels: npt.NDArray[np.int64]
    teacher_logits: Float32Array | None = None
    teacher_features: Float32Array | None = None
    beside_logits: Float32Array | None = None


class ObjectiveSettings(Settings):
    """Settings of the objective."""

    losses: dict[str, float] = Field(default={"hard": 1.0}, min_length=1)
    """Weight of each loss: of hard (the labels), kl, logit-mse, feature, adversarial,
    virtual-adversarial, noise and entropy."""
    temperature: float = Field(default=2.0, gt=0)
    """Divides the logits of teacher and student before kl compares them."""
    epsilon: float = Field(default=5.0, gt=0)
    """Norm of the perturbation of a text's word vectors, in units of the standard deviation of their entries."""

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
        return not _TEACHERS.isdisjoint(self.losses)

    @property
    def needs_no_label(self) -> bool:
        """Whether a loss learns from a review of which neither a label nor a teacher's opinion is known."""
        return not _LABEL_FREE.isdisjoint(self.losses)

    def refuse_idle(self, targets: Targets) -> None:
        """Raise SettingsError if a loss lacks its teacher, or if no loss learns from some of the reviews."""
        if self.needs_teacher and targets.teacher_logits is None:
            raise SettingsError(f"losses {', '.join(self.losses)} need a teacher; give one, or take hard alone")
        if "feature" in self.losses and targets.teacher_features is None:
            raise SettingsError("the loss feature needs a teacher with features; soft labels hold none")
        if not self.needs_teacher and not self.needs_no_label and (targets.labels == UNLABELLED).any():
            raise SettingsError(
                "without a teacher, texts without a label teach nothing; keep unlabelled reviews out of transfer, or "
                "add a loss that has a teacher"
            )

    @property
    def perturbs(self) -> bool:
        """Whether a loss changes the word vectors that a text is read by."""
        return not PERTURBING.isdisjoint(self.losses)


class Batch:
    """What a loss may read of the B reviews `rows` and of what the student makes of them."""

    def __init__(self, objective: "LabelObjective", rows: torch.Tensor, logits: torch.Tensor) -> None:
        self.temperature = objective.settings.temperature
        self.label_smoothing = objective.label_smoothing
        self.logits = logits
        """The student's, with those of a model beside it, float32 [B, C]."""
        self.labels = objective.labels[rows]
        self.features: torch.Tensor | None = None
        """The student's, projected to [B, G]; None unless a loss asks for them."""
        self.words: list[torch.Tensor] = []
        """The vectors by which each direction reads the reviews, [T, B, E]; none unless a loss perturbs them."""
        self.mask = torch.empty(0)
        """False at the padding of `words`, bool [B, T]."""
        self.logits_of: Callable[[list[torch.Tensor]], torch.Tensor] | None = None
        """What the student, with a model beside it, makes of such vectors, float32 [B, C]."""
        self.epsilon = objective.settings.epsilon
        self._objective, self._rows = objective, rows

    @property
    def teacher_logits(self) -> torch.Tensor:
        """The teacher's, float32 [B, C]."""
        return cast(torch.Tensor, self._objective.teacher_logits)[self._rows]

    @property
    def teacher_features(self) -> torch.Tensor:
        """The teacher's, float32 [B, G]."""
        return cast(torch.Tensor, self._objective.teacher_features)[self._rows]

    def perturbed(self, changes: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the student's logits, float32 [B, C], once changes [T, B, E] were added to `words`."""
        assert self.logits_of is not None, "a loss that perturbs is listed in PERTURBING"
        return self.logits_of([words + change for words, change in zip(self.words, changes, strict=True)])


def hard_labels(batch: Batch) -> torch.Tensor:
    """Return the cross-entropy with the labels; an unlabelled review adds nothing."""
    return _cross_entropy(batch, batch.logits)


def _cross_entropy(batch: Batch, logits: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(
        logits,
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


def adversarial(batch: Batch) -> torch.Tensor:
    """Return the cross-entropy with the labels after the change of word vectors that raises it most."""
    return _cross_entropy(batch, batch.perturbed(worst_change(batch, hard_labels(batch))))


def virtual_adversarial(batch: Batch) -> torch.Tensor:
    """Return how far predictions move under the change of word vectors that moves them most; needs no labels."""
    return divergence(batch.logits.detach(), batch.perturbed(most_diverging_change(batch)))


def noise(batch: Batch) -> torch.Tensor:
    """Return how far predictions move under a random change: the control of virtual adversarial training."""
    return divergence(batch.logits.detach(), batch.perturbed(random_change(batch, batch.epsilon)))


def entropy(batch: Batch) -> torch.Tensor:
    """Return the entropy of the predictions (Grandvalet & Bengio 2005); needs no labels."""
    return -(batch.logits.softmax(1) * batch.logits.log_softmax(1)).sum()


LOSSES: dict[str, Callable[[Batch], torch.Tensor]] = {
    "hard": hard_labels,
    "kl": softened_kl,
    "logit-mse": logit_mse,
    "feature": feature_matching,
    "adversarial": adversarial,
    "virtual-adversarial": virtual_adversarial,
    "noise": noise,
    "entropy": entropy,
}

_TEACHERS = {"kl", "logit-mse", "feature"}
_LABEL_FREE = {"virtual-adversarial", "noise", "entropy"}
PERTURBING = {"adversarial", "virtual-adversarial", "noise"}
"""Losses that change the word vectors by which a text is read, which only an LSTM allows."""


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

        Where a review's label is not known, it counts as right as often as the others of the batch are.

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
        self.beside_logits = _on(device, targets.beside_logits)
        settings.refuse_idle(targets)
        if settings.perturbs and not hasattr(network, "words"):
            losses = " and ".join(sorted(PERTURBING.intersection(settings.losses)))
            raise SettingsError(f"objective.losses: {losses} is for kind lstm, whose word vectors can be changed")
        self.truth = self.labels
        """Label of each review; the teacher's where it has none, int64 [N]."""
        if self.teacher_logits is not None:
            self.truth = torch.where(self.labels == UNLABELLED, self.teacher_logits.argmax(1), self.labels)
        self.projection: nn.Linear | None = None
        if "feature" in settings.losses:
            assert self.teacher_features is not None
            num_features = cast(Any, network).classifier.in_features
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)  # it starts the same in every run, so that seed and resumption decide the rest
                self.projection = nn.Linear(num_features, self.teacher_features.shape[1]).to(device)

    def forward(
        self, network: nn.Module, ids: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss, summed over the batch, and how many reviews the student gets right."""
        if self.settings.perturbs or self.projection is not None:
            batch = self._opened(network, ids, mask, rows)
        else:
            batch = Batch(self, rows, self._joined(network(ids, mask), rows))
        loss = torch.stack([weight * LOSSES[name](batch) for name, weight in self.settings.losses.items()]).sum()
        truth = self.truth[rows]
        right = (batch.logits.argmax(1) == truth).sum()
        return loss, right * len(rows) / (truth != UNLABELLED).sum().clamp(min=1)

    def _opened(self, network: Any, ids: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor) -> Batch:  # noqa: ANN401
        """Return the batch with what losses read besides logits."""
        words = network.words(ids, mask) if self.settings.perturbs else []
        features = network.read(words, mask) if words else network.features(ids, mask)
        batch = Batch(self, rows, self._joined(network.classify(features), rows))
        batch.words, batch.mask = words, mask
        batch.logits_of = lambda words: self._joined(network.classify(network.read(words, mask)), rows)
        if self.projection is not None:
            batch.features = self.projection(features.float())
        return batch

    def _joined(self, logits: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the student's logits as float32 [B, C], with those of a model beside it."""
        return logits.float() if self.beside_logits is None else logits.float() + self.beside_logits[rows]


def _on(device: torch.device, array: Float32Array | None) -> torch.Tensor | None:
    return None if array is None else torch.from_numpy(array).to(device)
