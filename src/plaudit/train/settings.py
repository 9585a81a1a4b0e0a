"""How a network learns: the `train`, `pretrain` and `objective` tables of a recipe."""

import math
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from plaudit.distributed.exchange.settings import ExchangeSettings, PlainSettings
from plaudit.settings import Settings, unknown_name

LOSSES = {
    "hard": "plaudit.train.objectives:hard_labels",
    "kl": "plaudit.train.objectives:softened_kl",
    "logit-mse": "plaudit.train.objectives:logit_mse",
    "feature": "plaudit.train.objectives:feature_matching",
    "adversarial": "plaudit.train.objectives:adversarial",
    "virtual-adversarial": "plaudit.train.objectives:virtual_adversarial",
    "noise": "plaudit.train.objectives:noise",
    "entropy": "plaudit.train.objectives:entropy",
}
"""Import paths of the losses by name, so that reading a recipe imports no torch."""

_TEACHERS = {"kl", "logit-mse", "feature"}
_LABEL_FREE = {"virtual-adversarial", "noise", "entropy"}
PERTURBING = {"adversarial", "virtual-adversarial", "noise"}
"""Losses that change the word vectors by which a text is read, which only an LSTM allows."""


class TrainSettings(Settings):
    """Settings of the training loop. Epochs and learning rate depend on the model, so a recipe must give them."""

    epochs: int = Field(ge=1)
    """How often all training reviews are read."""
    max_learning_rate: float = Field(gt=0)
    """Peak of the one-cycle schedule."""
    warmup_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of the run in which the learning rate rises; then it falls along a cosine to almost nothing."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Learning rate of each layer relative to the one above it, from the classifier down (Howard & Ruder 2018)."""
    batch_tokens: int = Field(4_096, ge=1)
    """Tokens of a batch, padding included: a batch of short texts holds more of them."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled (AdamW), on matrices and embeddings."""
    gradient_clip: float = Field(1.0, gt=0)
    """Maximum norm of a step's gradient."""
    ema_decay: float = Field(0.0, ge=0, lt=1)
    """Maximum decay per step of the moving average of the weights that is validated and kept; 0 means no average. At
    step n the decay is (1 + n) / (10 + n) if that is less, which averages about the last ninth of n steps."""
    patience: int | None = Field(None, ge=1)
    """Stop after this many epochs without a better validation accuracy; without it all epochs are run. The weights of
    the best epoch are kept in either case."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the forward pass; weights are fp32. "auto" is bf16 where the device has instructions for it;
    elsewhere bf16 is refused."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """"auto" is a CUDA device where there is one."""
    exchange: ExchangeSettings = Field(default=PlainSettings())
    """How ranks that train together exchange gradients or weights; without effect on a single process."""
    compile: bool | Literal["cuda-graphs"] = False
    """Run the network through torch.compile, which needs a C++ compiler and some minutes. "cuda-graphs" records a CUDA
    graph for each shape of a batch, which pays where launching kernels takes longer than running them."""
    log_every_steps: int = Field(20, ge=1)
    """Steps between two lines of metrics.jsonl."""
    checkpoint_every_steps: int = Field(500, ge=1)
    """Steps between checkpoints; there is one at the end of every epoch too."""
    tensorboard: bool = False
    """Write TensorBoard's event files beside metrics.jsonl (extra `track`)."""


class PretrainSettings(TrainSettings):
    """Settings of language-model pretraining: those of training, and some more."""

    window_tokens: int = Field(128, ge=1)
    """Tokens of each stream that a step reads and back-propagates through, T; there are batch_tokens / T streams."""
    num_samples: int = Field(default=1_024, ge=1)
    """Sampled words that the true next word is compared with, drawn again at each step."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """On word vectors and on the LSTM's states; the same units throughout a window (Gal and Ghahramani 2016)."""

    @model_validator(mode="after")
    def _no_setting_without_effect(self) -> Self:
        for name in ("ema_decay", "compile"):
            if getattr(self, name):
                raise ValueError(f"{name} is not for pretraining; leave it out")
        if self.window_tokens > self.batch_tokens:
            raise ValueError(
                f"window_tokens = {self.window_tokens} is more than a step's batch_tokens = {self.batch_tokens}"
            )
        return self


class ObjectiveSettings(Settings):
    """What training minimizes: a weighted sum of losses."""

    losses: dict[str, float] = Field(default={"hard": 1.0}, min_length=1)
    """Weight of each loss: hard (cross-entropy with the labels), kl, logit-mse, feature, adversarial,
    virtual-adversarial, noise, entropy."""
    temperature: float = Field(default=2.0, gt=0)
    """Divides the logits of teacher and student before kl compares them."""
    epsilon: float = Field(default=5.0, gt=0)
    """Norm of the perturbation of a text's word vectors, in units of the standard deviation of their entries."""

    @field_validator("losses")
    @classmethod
    def _known_and_positive(cls, losses: dict[str, float]) -> dict[str, float]:
        for name, weight in losses.items():
            if name not in LOSSES:
                raise ValueError(f"{name} {unknown_name(name, LOSSES)}")
            if not 0 < weight < math.inf:
                raise ValueError(f"{name} = {weight:g}: give a weight above 0, or leave the loss out")
        return losses

    @property
    def needs_teacher(self) -> bool:
        """Whether a loss compares the model with a teacher."""
        return not _TEACHERS.isdisjoint(self.losses)

    @property
    def needs_no_label(self) -> bool:
        """Whether a loss learns from reviews that have neither a label nor a teacher's logits."""
        return not _LABEL_FREE.isdisjoint(self.losses)

    @property
    def perturbs(self) -> bool:
        """Whether a loss perturbs the word vectors."""
        return not PERTURBING.isdisjoint(self.losses)
