"""Where a network is trained, and in which precision."""

import torch

from plaudit.device import has_bf16
from plaudit.distributed.world import local_rank
from plaudit.errors import SettingsError
from plaudit.train.settings import TrainSettings


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
