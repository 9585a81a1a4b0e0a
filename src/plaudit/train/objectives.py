"""The loss functions, and the weighted sum of them that training minimizes.

To add a loss, write a function here and a line in LOSSES of train/settings.py. Every loss is a sum over a batch, so
that every review counts the same, whatever batch it is in.

Shapes: N reviews, B batch, T tokens, C classes, F features of the student, G of the teacher.
"""

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from torch import nn
from torch.nn import functional

from plaudit.errors import SettingsError
from plaudit.models.base import Float32Array
from plaudit.train.adversarial import divergence, most_diverging_change, random_change, worst_change
from plaudit.train.loss_batch import LossBatch
from plaudit.train.settings import LOSSES, PERTURBING, ObjectiveSettings
from plaudit.train.targets import UNLABELLED, Targets


def hard_labels(batch: LossBatch) -> torch.Tensor:
    """Return the cross-entropy with the labels; an unlabelled review adds nothing."""
    return _cross_entropy(batch, batch.logits)


def _cross_entropy(batch: LossBatch, logits: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits, batch.labels, ignore_index=UNLABELLED, reduction="sum")


def softened_kl(batch: LossBatch) -> torch.Tensor:
    """Return the KL divergence of the student's from the teacher's probabilities, both softened by the temperature.

    It is multiplied by the squared temperature, so that gradients keep their size (Hinton et al. 2015, "Distilling the
    Knowledge in a Neural Network").
    """
    assert batch.teacher_logits is not None
    temperature = batch.temperature
    student = (batch.logits / temperature).log_softmax(1)
    teacher = (batch.teacher_logits / temperature).log_softmax(1)
    return temperature**2 * functional.kl_div(student, teacher, log_target=True, reduction="sum")


def logit_mse(batch: LossBatch) -> torch.Tensor:
    """Return half the squared distance of the centred logits (Ba & Caruana 2014; Tang et al. 2019)."""
    assert batch.teacher_logits is not None
    student, teacher = (logits - logits.mean(1, keepdim=True) for logits in (batch.logits, batch.teacher_logits))
    return (student - teacher).square().sum() / 2


def feature_matching(batch: LossBatch) -> torch.Tensor:
    """Return the mean squared distance of the projected features from the teacher's (Romero et al. 2015, "FitNets")."""
    assert batch.features is not None and batch.teacher_features is not None
    return (batch.features - batch.teacher_features).square().mean(1).sum()


def adversarial(batch: LossBatch) -> torch.Tensor:
    """Return the cross-entropy with the labels after the perturbation of word vectors that raises it most."""
    return _cross_entropy(batch, batch.perturbed(worst_change(batch, hard_labels(batch))))


def virtual_adversarial(batch: LossBatch) -> torch.Tensor:
    """Return how far predictions move under the perturbation that moves them most; needs no labels."""
    return divergence(batch.logits.detach(), batch.perturbed(most_diverging_change(batch)))


def noise(batch: LossBatch) -> torch.Tensor:
    """Return how far predictions move under a random perturbation: the control of virtual adversarial training."""
    return divergence(batch.logits.detach(), batch.perturbed(random_change(batch, batch.epsilon)))


def entropy(batch: LossBatch) -> torch.Tensor:
    """Return the entropy of the predictions (Grandvalet & Bengio 2005); needs no labels."""
    return -(batch.logits.softmax(1) * batch.logits.log_softmax(1)).sum()


def loss_function(name: str) -> Callable[[LossBatch], torch.Tensor]:
    """Return the loss of this name, one of LOSSES."""
    loss: Callable[[LossBatch], torch.Tensor] = pkgutil.resolve_name(LOSSES[name])
    return loss


class Penalty(Protocol):
    """A term that each step adds to the mean loss, such as a group lasso."""

    strength: float

    def __call__(self) -> torch.Tensor:
        """Return the term for the current weights."""


class Objective(nn.Module, ABC):
    """What a step minimizes; its own weights, if it has any, are trained with the network's."""

    penalty: Penalty | None = None

    @abstractmethod
    def forward(
        self, network: nn.Module, ids: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss, summed over a batch of reviews, and the number of correct predictions.

        A review without a known label counts as correct as often as the others of its batch are.

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
    ) -> None:
        super().__init__()
        targets.refuse_idle(settings)
        if settings.perturbs and not hasattr(network, "word_vectors"):
            losses = " and ".join(sorted(PERTURBING.intersection(settings.losses)))
            raise SettingsError(f"objective.losses: {losses} is for kind lstm, whose word vectors can be changed")
        self.settings = settings
        self.losses = [(loss_function(name), weight) for name, weight in settings.losses.items()]
        self.labels = torch.from_numpy(targets.labels).to(device)
        self.teacher_logits = _to_device(targets.teacher_logits, device)
        self.teacher_features = _to_device(targets.teacher_features, device)
        self.logit_offsets = _to_device(targets.logit_offsets, device)
        self.truth = self.labels
        """Label of each review; the teacher's where it has none, int64 [N]."""
        if self.teacher_logits is not None:
            self.truth = torch.where(self.labels == UNLABELLED, self.teacher_logits.argmax(1), self.labels)
        self.projection: nn.Linear | None = None
        if "feature" in settings.losses:
            assert self.teacher_features is not None
            num_features = cast(Any, network).classifier.in_features
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)  # the same start in every training: only its seed shall make a difference
                self.projection = nn.Linear(num_features, self.teacher_features.shape[1]).to(device)

    def forward(
        self, network: nn.Module, ids: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss, summed over the batch, and the number of correct predictions."""
        batch = self._batch(network, ids, mask, rows)
        loss = torch.stack([weight * loss(batch) for loss, weight in self.losses]).sum()
        truth = self.truth[rows]
        num_correct = (batch.logits.argmax(1) == truth).sum()
        return loss, num_correct * len(rows) / (truth != UNLABELLED).sum().clamp(min=1)

    def _batch(self, network: Any, ids: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor) -> LossBatch:  # noqa: ANN401
        if self.settings.perturbs:
            word_vectors = network.word_vectors(ids, mask)
            features = network.encode(word_vectors, mask)
            batch = self._with_logits(network.classify(features), rows)
            batch.word_vectors, batch.mask = word_vectors, mask
            batch.logits_of = lambda vectors: self._add_offsets(network.classify(network.encode(vectors, mask)), rows)
        elif self.projection is not None:
            features = network.features(ids, mask)
            batch = self._with_logits(network.classify(features), rows)
        else:
            return self._with_logits(network(ids, mask), rows)
        if self.projection is not None:
            batch.features = self.projection(features.float())
        return batch

    def _with_logits(self, logits: torch.Tensor, rows: torch.Tensor) -> LossBatch:
        return LossBatch(
            self._add_offsets(logits, rows),
            self.labels[rows],
            self.settings.temperature,
            self.settings.epsilon,
            None if self.teacher_logits is None else self.teacher_logits[rows],
            None if self.teacher_features is None else self.teacher_features[rows],
        )

    def _add_offsets(self, logits: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return logits.float() if self.logit_offsets is None else logits.float() + self.logit_offsets[rows]


def _to_device(array: Float32Array | None, device: torch.device) -> torch.Tensor | None:
    return None if array is None else torch.from_numpy(array).to(device)
