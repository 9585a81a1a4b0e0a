"""Model kinds by name. To add one: a file with a `Model` subclass and a line here."""

import pkgutil

from undertone.errors import SettingsError
from undertone.models.base import Model
from undertone.settings import unknown_name

# Written as import paths, so that predicting with one kind does not import what another needs.
MODELS = {
    "bow": "undertone.models.bow:BowModel",
    "lstm": "undertone.models.lstm:LSTMModel",
    "transformer": "undertone.models.transformer:TransformerModel",
}


def model_class(kind: str) -> type[Model]:
    """Return the class of a model kind; SettingsError if there is no such kind."""
    if kind not in MODELS:
        raise SettingsError(f"model kind {kind} {unknown_name(kind, MODELS)}")
    found: type[Model] = pkgutil.resolve_name(MODELS[kind])
    return found
