"""Model kinds by name. To add one: a folder with its settings and a `Model` subclass, and two lines here."""

import pkgutil
from typing import Any

from plaudit.errors import SettingsError
from plaudit.models.base import Model, ModelSettings
from plaudit.settings import unknown_name

# Written as import paths, so that predicting with one kind does not import what another needs.
MODELS = {
    "bow": "plaudit.models.bow.model:BowModel",
    "docvec": "plaudit.models.docvec.model:DocvecModel",
    "ensemble": "plaudit.models.ensemble:EnsembleModel",
    "lstm": "plaudit.models.lstm.network:LSTMModel",
    "transformer": "plaudit.models.transformer.model:TransformerModel",
}

NETWORK_KINDS = frozenset({"lstm", "transformer"})
"""Kinds that are trained in epochs, by torch."""

SETTINGS = {
    "bow": "plaudit.models.bow.settings:BowSettings",
    "docvec": "plaudit.models.docvec.settings:DocvecSettings",
    "ensemble": "plaudit.models.ensemble:EnsembleSettings",
    "lstm": "plaudit.models.lstm.settings:LSTMSettings",
    "transformer": "plaudit.models.transformer.settings:TransformerSettings",
}
"""Their settings, which import no torch."""

RUNTIMES = {
    "lstm": "plaudit.models.lstm.runtime:LSTMRuntime",
}
"""Kinds whose bundles are read by another class where they only predict, because theirs imports torch."""


def settings_class(kind: str) -> type[ModelSettings]:
    """Return the settings of a model kind; SettingsError if there is no such kind."""
    found: type[ModelSettings] = _resolve(SETTINGS, kind)
    return found


def model_class(kind: str) -> type[Model]:
    """Return the class of a model kind; SettingsError if there is no such kind."""
    found: type[Model] = _resolve(MODELS, kind)
    return found


def runtime_class(kind: str) -> type[Model]:
    """Return the class that predicts with a model of this kind; SettingsError if there is no such kind."""
    found: type[Model] = _resolve({**MODELS, **RUNTIMES}, kind)
    return found


def _resolve(paths: dict[str, str], kind: str) -> Any:  # noqa: ANN401
    if kind not in paths:
        raise SettingsError(f"model kind {kind} {unknown_name(kind, paths)}")
    return pkgutil.resolve_name(paths[kind])
