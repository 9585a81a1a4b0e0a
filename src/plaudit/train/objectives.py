"""What training minimizes: hard labels, a teacher's soft labels, steadiness, or a weighted mixture of losses.

To add a loss, write a function here and a line in LOSSES of train/settings.py. All of them are sums over a batch, so
that every review weighs the same whatever batch it is in.

Shapes: N reviews, B batch, T tokens, C classes, F features of the student, G of the teacher.
"""

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import torch
from torch import nn
from torch.nn import functional

from plaudit.errors import SettingsError
from plaudit.models.base import Float32Array
from plaudit.train.adversarial import divergence, most_diverging_change, random_change, worst_change
from plaudit.train.settings import LOSSES, PERTURBING, ObjectiveSettings
from plaudit.train.targets import UNLABELLED, Targets


class Batch:
    """What a loss may read of the B reviews `rows` and of what the student makes of them."""

    def __init__(self, objective: "LabelObjective", rows: torch.Tensor, logits: torch.Tensor) -> None:
        self.temperature = objective.settings.temperature
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
    return functional.cross_entropy(logits, batch.labels, ignore_index=UNLABELLED, reduction="sum")


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


def loss_function(name: str) -> Callable[[Batch], torch.Tensor]:
    """Return the loss of this name, one of LOSSES."""
    loss: Callable[[Batch], torch.Tensor] = pkgutil.resolve_name(LOSSES[name])
    return loss


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
    ) -> None:
        super().__init__()
        self.settings = settings
        self.losses = [(loss_function(name), weight) for name, weight in settings.losses.items()]
        self.labels = torch.from_numpy(targets.labels).to(device)
        self.teacher_logits = _on(device, targets.teacher_logits)
        self.teacher_features = _on(device, targets.teacher_features)
        self.beside_logits = _on(device, targets.beside_logits)
        targets.refuse_idle(settings)
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
        loss = torch.stack([weight * loss(batch) for loss, weight in self.losses]).sum()
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
