"""Model kinds by name. To add one: a file with a `Model` subclass and a line here."""

import pkgutil

from plaudit.errors import SettingsError
from plaudit.models.base import Model
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

RUNTIMES = {
    "lstm": "plaudit.models.lstm.runtime:LSTMRuntime",
}
"""Kinds whose bundles are read by another class where they only predict, because theirs imports torch."""


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
