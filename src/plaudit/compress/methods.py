"""Compression: a model in, a physically smaller one out. To add a compressor: one file and a line in COMPRESSORS."""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plaudit.errors import SettingsError
from plaudit.settings import Settings, unknown_name

if TYPE_CHECKING:
    from plaudit.bundle.trained import TrainedModel
    from plaudit.compress.base import Context, Subject

# Written as import paths, so that naming the compressors does not import torch.
COMPRESSORS = {
    "distill": ("plaudit.compress.settings:DistillSettings", "plaudit.compress.distill:distill"),
    "prune": ("plaudit.compress.settings:PruneSettings", "plaudit.compress.prune:prune"),
    "quantize": ("plaudit.compress.settings:QuantizeSettings", "plaudit.compress.quantize:quantize"),
}


@dataclass(frozen=True)
class Compressor:
    """A way to make a model smaller, and its settings."""

    settings: type[Settings]
    apply: "Callable[[Subject, Any, Context], TrainedModel]"


def compressor(name: str) -> Compressor:
    """Return the compressor of this name; SettingsError if there is none."""
    if name not in COMPRESSORS:
        raise SettingsError(f"method {name} {unknown_name(name, COMPRESSORS)}")
    settings, apply = map(pkgutil.resolve_name, COMPRESSORS[name])
    return Compressor(settings, apply)
