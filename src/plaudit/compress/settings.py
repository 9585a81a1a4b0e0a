"""Settings of the methods that make a model smaller: the `distill`, `prune` and `quantize` tables of a recipe."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from plaudit.settings import Settings
from plaudit.train.settings import ObjectiveSettings

MAX_RATIO = 0.99


class TransferSettings(Settings):
    """Settings of the transfer set."""

    sources: tuple[Literal["train", "unlabelled"], ...] = Field(default=("train", "unlabelled"), min_length=1)
    """Splits whose reviews are in it."""


class DistillSettings(Settings):
    """Settings of `--method distill`."""

    teachers: tuple[str, ...] = ()
    """Models whose logits are blended: names of this recipe's models, of shipped ones, or model folders."""
    teacher_weights: tuple[float, ...] | None = None
    """Of the teachers' centred logits, in their order; None fits them on validation."""
    soft_labels: Path | None = None
    """A file of soft labels instead of teachers."""
    objective: ObjectiveSettings = Field(default=ObjectiveSettings(losses={"kl": 1.0}))
    transfer: TransferSettings = TransferSettings()
    beside: str | None = None
    """A bag of n-grams that the student will be combined with: it learns to correct that, and is worse alone."""
    beside_weight: float = Field(default=0.65, gt=0, allow_inf_nan=False)
    """What the bag's logits are multiplied by before the student's are added."""

    @model_validator(mode="after")
    def _teachers_are_weighted_once(self) -> Self:
        if self.teacher_weights is not None and self.soft_labels is not None:
            raise ValueError("teacher_weights are in the soft labels already; leave them out")
        return self

    @model_validator(mode="after")
    def _classifier_learns(self) -> Self:
        if set(self.objective.losses) == {"feature"}:
            raise ValueError("objective.losses: feature alone does not train the classifier; add kl, logit-mse or hard")
        return self


class PruneSettings(Settings):
    """Settings of `--method prune`."""

    ratio: float | None = Field(default=None, gt=0, le=MAX_RATIO)
    """Share of each part that is removed; half of it by default."""
    max_accuracy_drop: float | None = Field(default=None, gt=0)
    """Percentage points of validation accuracy that may be lost: finds the highest ratio by bisection."""
    structure: Literal["units", "weights"] = "units"
    """Of an LSTM: whole units, which makes it small and fast, or single weights, which makes only its file small."""
    parts: tuple[Literal["hidden", "embedding", "words"], ...] = Field(default=("hidden", "embedding"), min_length=1)
    """What is removed of an LSTM: hidden units, embedding dimensions, words of the vocabulary."""
    slot_bits: int | None = Field(default=None, ge=16, le=24)
    """Of a bow: its new table has 2 ** slot_bits slots; None keeps the size."""
    inverse_regularization: float = Field(default=0.5, gt=0)
    """Of a bow: C of the fit of what is left. Since it imitates a regularized model, it needs less of it."""
    stages: int = Field(default=4, ge=0)
    """1 prunes in one shot; 0 does so and trains nothing afterwards."""
    epochs: int = Field(default=1, ge=1)
    """Of a network, after each stage."""
    learning_rate_factor: float = Field(default=0.3, gt=0)
    """Multiplies the peak learning rate that the model was trained with."""
    group_lasso: float = Field(default=1e-4, ge=0)
    """Strength of the penalty on units, in all stages but the last."""
    objective: ObjectiveSettings = ObjectiveSettings(losses={"hard": 0.5, "kl": 0.5})
    """What the pruned model learns; its teacher is the whole one."""
    transfer: TransferSettings = TransferSettings(sources=("train",))

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        if self.ratio is not None and self.max_accuracy_drop is not None:
            raise ValueError("give either ratio or max_accuracy_drop")
        return self


class QuantizeSettings(Settings):
    """Settings of `--method quantize`."""

    storage: Literal["int8", "bf16"] = "int8"
    """8 bits and a scale for each row, or the upper 16 bits of each fp32."""
