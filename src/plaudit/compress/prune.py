"""Pruning: removes the least important parts of a model in stages, and trains what is left to predict as before.

The share removed after each stage rises along a cubic (Zhu & Gupta 2017, "To prune, or not to prune"); a single stage
prunes in one shot. After each stage the model learns from the labels and from the whole model's predictions.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from plaudit.bundle.trained import Provenance, TrainedModel
from plaudit.compress.base import Context, Subject, logits_in_chunks
from plaudit.compress.distill_bow import fit_bow_student, of_labels_alone
from plaudit.compress.prune_lstm import GroupLasso, Sizes, cut, sizes
from plaudit.compress.settings import MAX_RATIO, PruneSettings
from plaudit.compress.transfer import TransferSet, transfer_set
from plaudit.errors import SettingsError
from plaudit.models.base import Model
from plaudit.models.bow.model import BowModel, pruned
from plaudit.models.bow.ngrams import find_ngrams
from plaudit.models.lstm.network import LSTMModel
from plaudit.models.torch_model import TorchModel
from plaudit.train.checks import check_train_table
from plaudit.train.context import TrainingContext
from plaudit.train.fit import label_trainer
from plaudit.train.labels import accuracy_on_validation
from plaudit.train.settings import TrainSettings
from plaudit.train.targets import Targets

_BISECTION_STEPS = 5


def prune(subject: Subject, settings: PruneSettings, context: Context) -> TrainedModel:
    """Return a smaller model; SettingsError if its kind cannot be pruned, or no ratio keeps its accuracy."""
    assert subject.model is not None
    if not isinstance(subject.model, BowModel | TorchModel):
        raise SettingsError(f"a model of kind {subject.settings.kind} cannot be pruned; give a bow or a network")
    _refuse_without_effect(subject.model, settings)
    if settings.max_accuracy_drop is not None:
        refuse_seen_validation(subject.provenance, "max_accuracy_drop")
    if settings.stages:
        check_train_table(subject.settings, subject.train)
    texts = transfer_set(context.splits, settings.transfer)
    pruning = _Pruning(subject, subject.model, _training(subject, settings), settings, context, texts)
    if settings.max_accuracy_drop is None:
        return pruning.prune_to(0.5 if settings.ratio is None else settings.ratio)
    return _highest_ratio(pruning, settings.max_accuracy_drop, context)


_ONLY_FOR = {
    "ngrams": {"slot_bits", "inverse_regularization"},
    "units": {"structure", "parts", "epochs", "learning_rate_factor", "group_lasso"},
    "weights": {"structure", "epochs", "learning_rate_factor"},
}
"""Settings that have an effect only where these are pruned."""


def _refuse_without_effect(model: Model, settings: PruneSettings) -> None:
    what = "ngrams" if isinstance(model, BowModel) else settings.structure
    # The recipe.json of a run holds all settings, also those that are at their defaults.
    changed = settings.model_dump(exclude_defaults=True).keys()
    useless = changed & set().union(*_ONLY_FOR.values()) - _ONLY_FOR[what]
    if useless:
        raise SettingsError(f"{min(useless)} has no effect where {what} are pruned; leave it out")


def refuse_seen_validation(provenance: Provenance, purpose: str) -> None:
    """Raise SettingsError for a model that was fitted on validation, where its accuracy would be compared."""
    if provenance.learned_validation:
        raise SettingsError(
            f"{purpose} compares accuracy on validation, on which the model was fitted; set refit = false"
        )


def _training(subject: Subject, settings: PruneSettings) -> TrainSettings | None:
    if subject.train is None:
        return None
    if settings.structure == "weights" and subject.train.exchange.kind == "powersgd":
        raise SettingsError("the powersgd exchange restores pruned weights; choose another train.exchange.kind")
    rate = subject.train.max_learning_rate * settings.learning_rate_factor
    return subject.train.model_copy(update={"epochs": settings.epochs, "max_learning_rate": rate, "patience": None})


def _highest_ratio(pruning: "_Pruning", max_drop: float, context: Context) -> TrainedModel:
    """Return the model of the highest ratio whose accuracy on validation is at most `max_drop` points lower."""
    accuracy_before = accuracy_on_validation(pruning.whole, context.splits)
    low, high, best = 0.0, MAX_RATIO, None
    for _ in range(_BISECTION_STEPS):
        ratio = (low + high) / 2
        smaller = pruning.prune_to(ratio)
        accuracy = smaller.provenance.validation_accuracy or 0.0
        drop = 100 * (accuracy_before - accuracy)
        context.training.console.print(f"ratio {ratio:.1%}: {accuracy:.2%} on validation, {drop:+.2f} points lost")
        if drop <= max_drop:
            low, best = ratio, smaller
        else:
            high = ratio
    if best is None:
        raise SettingsError(f"max_accuracy_drop = {max_drop:g}: even a ratio of {high:.0%} loses more; allow more")
    return best


@dataclass(frozen=True)
class _Pruning:
    """One model, which can be pruned to any ratio."""

    subject: Subject
    whole: Model
    train: TrainSettings | None
    settings: PruneSettings
    context: Context
    texts: TransferSet

    @cached_property
    def targets(self) -> Targets:
        if not self.settings.objective.needs_teacher:
            return Targets(self.texts.labels)
        return Targets(self.texts.labels, logits_in_chunks(self.whole, self.texts.texts))

    def prune_to(self, ratio: float) -> TrainedModel:
        """Return a smaller model; each ratio has its own folder, so that none resumes with another's weights."""
        stages = self.settings.stages
        shares = [ratio * (1 - (1 - stage / stages) ** 3) for stage in range(1, stages + 1)] or [ratio]
        training = self.context.training.within(f"ratio-{ratio:.6g}")
        start = time.perf_counter()
        if isinstance(self.whole, BowModel):
            model: Model = self._ngrams(self.whole, shares)
        elif isinstance(self.whole, TorchModel) and self.settings.structure == "weights":
            model = self._weights(self.whole, shares, training)
        elif isinstance(self.whole, LSTMModel):
            model = self._units(self.whole, shares, training)
        else:
            raise SettingsError(f'a {self.whole.settings.kind} is pruned by its weights; set structure = "weights"')
        seconds = time.perf_counter() - start
        provenance = Provenance(
            validation_accuracy=accuracy_on_validation(model, self.context.splits),
            learned_validation=self.subject.provenance.learned_validation and stages == 0,
            train_seconds=seconds,
        )
        figures = {"ratio": round(ratio, 4), "stages": stages}
        trained = TrainedModel(model=model, provenance=provenance)
        return self.subject.compressed(trained, "prune", self.settings, figures)

    def _ngrams(self, whole: BowModel, shares: Sequence[float]) -> BowModel:
        settings = self.settings
        slot_bits = settings.slot_bits or whole.settings.slot_bits
        refit: dict[str, object] = {"inverse_regularization": settings.inverse_regularization}
        fitted_by = of_labels_alone(whole.settings)
        if settings.objective.needs_teacher:  # the whole model's predictions have learned from these
            refit |= {"class_weight": "none", "temperature": 1.0}
        elif settings.stages and fitted_by is not None:
            raise SettingsError(
                f"the model was fitted with {fitted_by}, which pruning loses; add kl to objective.losses"
            )
        model = whole
        presence = None
        for share in shares:
            model = pruned(model, round(len(whole.keys) * (1 - share)), slot_bits)
            if settings.stages == 0:
                break
            if presence is None:
                presence = find_ngrams(self.texts.texts, model.settings, model.keys)
            presence = presence.select(np.searchsorted(presence.keys, model.keys))
            model = fit_bow_student(
                model.settings.model_copy(update=refit),
                presence,
                self.targets,
                whole.labels,
                objective=settings.objective,
                console=self.context.training.console,
            )
        return model

    def _units(self, whole: LSTMModel, shares: Sequence[float], training: TrainingContext) -> LSTMModel:
        model, strength = whole, self.settings.group_lasso
        for stage, share in enumerate(shares, 1):
            counts = np.bincount(model.encode(self.texts.texts).ids, minlength=model.encoder.num_tokens)
            model = cut(model, _remaining(sizes(whole), self.settings.parts, share), counts)
            penalty = GroupLasso(model, strength) if strength and stage < len(shares) else None
            self._train(model, training.within(f"stage-{stage}"), penalty)
        return model

    def _weights(self, whole: TorchModel, shares: Sequence[float], training: TrainingContext) -> TorchModel:
        model = type(whole).from_state(whole.settings, whole.labels, whole.state())
        matrices = [p for p in model.network.parameters() if p.dim() > 1]
        for stage, share in enumerate(shares, 1):
            hooks = []
            for matrix in matrices:
                kept = _strongest(matrix, 1 - share)
                matrix.data *= kept
                # A weight without gradient stays at zero: its moments are zero, and decay leaves zero where it is.
                hooks.append(matrix.register_hook(kept.mul))  # type: ignore[no-untyped-call]  # torch leaves it untyped
            self._train(model, training.within(f"stage-{stage}"), None)
            for hook in hooks:
                hook.remove()
        return model

    def _train(self, model: TorchModel, training: TrainingContext, penalty: GroupLasso | None) -> None:
        if self.settings.stages == 0:
            return
        assert self.train is not None
        label_trainer(
            model,
            self.train,
            self.texts.texts,
            self.targets,
            self.context.splits.validation,
            training,
            objective=self.settings.objective,
            penalty=penalty,
        ).run()


def _remaining(whole: Sizes, parts: Sequence[str], share: float) -> Sizes:
    """Return the sizes once `share` of each of the parts is gone."""

    def left(part: str, size: int) -> int:
        return max(1, round(size * (1 - share))) if part in parts else size

    return Sizes(
        hidden_size=left("hidden", whole.hidden_size),
        embedding_size=left("embedding", whole.embedding_size),
        num_words=left("words", whole.num_words),
    )


def _strongest(matrix: torch.Tensor, share: float) -> torch.Tensor:
    """Return 1 for the `share` of the weights that are largest, 0 for the others."""
    magnitude = matrix.detach().abs().flatten()
    kept = torch.zeros_like(magnitude)
    kept[magnitude.topk(max(1, round(share * len(magnitude)))).indices] = 1
    return kept.view_as(matrix)
