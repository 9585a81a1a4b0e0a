"""The methods of compression by name. To add one: its settings, a function of its name in its own file, a line here."""

import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from plaudit.compress.settings import DistillSettings, PruneSettings, QuantizeSettings
from plaudit.errors import SettingsError
from plaudit.settings import Settings, unknown_name

if TYPE_CHECKING:
    from plaudit.bundle.trained import TrainedModel
    from plaudit.compress.base import Context, Subject

COMPRESSORS: dict[str, type[Settings]] = {
    "distill": DistillSettings,
    "prune": PruneSettings,
    "quantize": QuantizeSettings,
}


def compressor(name: str) -> "Callable[[Subject, Any, Context], TrainedModel]":
    """Return the function of a method, which imports torch; SettingsError if there is no such method."""
    if name not in COMPRESSORS:
        raise SettingsError(f"method {name} {unknown_name(name, COMPRESSORS)}")
    found: Callable[[Subject, Any, Context], TrainedModel] = pkgutil.resolve_name(f"plaudit.compress.{name}:{name}")
    return found
