"""How a torch model is trained: the `[models.NAME.train]` table of a recipe."""

from typing import Literal

import torch
from pydantic import Field

from plaudit.device import has_bf16
from plaudit.distributed.exchange.settings import ExchangeSettings, PlainSettings
from plaudit.distributed.world import local_rank
from plaudit.errors import SettingsError
from plaudit.settings import Settings


class TrainSettings(Settings):
    """Settings of the training loop. Epochs and learning rate depend on the model, so a recipe must give
    them."""

    epochs: int = Field(ge=1)
    """How often all training reviews are read."""
    max_learning_rate: float = Field(gt=0)
    """Peak of the one-cycle schedule."""
    warmup_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of the run in which the learning rate rises; then it falls along a cosine to almost nothing."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Learning rate of each layer relative to the one above it, from the classifier down (Howard & Ruder 2018)."""
    unfreeze_fraction: float = Field(0.0, ge=0, lt=1)
    """Share of the run in which layers start to learn one after another, from the classifier down: half of them by its
    half. Pretrained layers so are not spoiled by a classifier that knows nothing yet."""
    batch_tokens: int = Field(4_096, ge=1)
    """Tokens of a batch, padding included; short texts so share a batch with more of their kind."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled (AdamW), on matrices and embeddings."""
    gradient_clip: float = Field(1.0, gt=0)
    """Greatest norm of a step's gradient."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of a label that is spread evenly over all classes."""
    ema_decay: float = Field(0.0, ge=0, lt=1)
    """Greatest decay per step of the moving average of the weights that is validated and kept; 0 means no
    average. At step n the decay is (1 + n) / (10 + n) if that is less: the last ninth of n steps or so."""
    patience: int | None = Field(None, ge=1)
    """Epochs without a better validation accuracy after which to stop; without it all epochs are run. The
    weights of the best epoch are kept in either case."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the forward pass; weights are fp32. "auto" is bf16 where the device has instructions for it;
    elsewhere bf16 is refused."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """"auto" is a CUDA device where there is one."""
    exchange: ExchangeSettings = Field(default=PlainSettings())
    """How ranks that train together exchange what they learned; without effect on a process alone."""
    compile: bool | Literal["cuda-graphs"] = False
    """Run the network through torch.compile, which needs a C++ compiler and some minutes; as CUDA graphs, one for each
    shape of a batch, if launching its kernels takes longer than they do."""
    log_every_steps: int = Field(20, ge=1)
    """Steps between two lines of metrics.jsonl."""
    checkpoint_every_steps: int = Field(500, ge=1)
    """Steps between checkpoints; there is one at the end of every epoch too."""
    tensorboard: bool = False
    """Write TensorBoard's event files beside metrics.jsonl (extra `track`)."""


def choose_device(settings: TrainSettings) -> torch.device:
    """Return the device to train on; SettingsError if the one asked for is not there."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise SettingsError('train.device = "cuda": this torch sees no CUDA device; use "cpu" or "auto"')
    if settings.device == "cpu" or not torch.cuda.is_available():
        if settings.compile == "cuda-graphs":
            raise SettingsError('train.compile = "cuda-graphs" needs a CUDA device; use true, or leave it out')
        return torch.device("cpu")
    return torch.device("cuda", local_rank())


def choose_precision(settings: TrainSettings, device: torch.device) -> torch.dtype:
    """Return the dtype of the forward pass; SettingsError if the device has no instructions for the one asked for."""
    if settings.precision == "fp32" or (settings.precision == "auto" and not has_bf16(device)):
        return torch.float32
    if not has_bf16(device):  # emulated it would take hundreds of times as long, and oneDNN's LSTM does not run at all
        name = "GPU" if device.type == "cuda" else "processor"
        raise SettingsError(f'train.precision = "bf16": this {name} has no instructions for it; use "auto" or "fp32"')
    return torch.bfloat16
