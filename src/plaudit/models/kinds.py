"""Model kinds by name. To add one: a folder with its settings and a `Model` subclass, and two lines here."""

import pkgutil

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
    if kind not in SETTINGS:
        raise SettingsError(f"model kind {kind} {unknown_name(kind, SETTINGS)}")
    found: type[ModelSettings] = pkgutil.resolve_name(SETTINGS[kind])
    return found


def model_class(kind: str) -> type[Model]:
    """Return the class of a model kind; SettingsError if there is no such kind."""
    if kind not in MODELS:
        raise SettingsError(f"model kind {kind} {unknown_name(kind, MODELS)}")
    found: type[Model] = pkgutil.resolve_name(MODELS[kind])
    return found


def runtime_class(kind: str) -> type[Model]:
    """Return the class that predicts with a model of this kind; SettingsError if there is no such kind."""
    if kind not in RUNTIMES:
        return model_class(kind)
    found: type[Model] = pkgutil.resolve_name(RUNTIMES[kind])
    return found
