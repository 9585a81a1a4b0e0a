"""Plaudit turns labelled reviews into the smallest, fastest sentiment model that is still right.

import plaudit
plaudit.load("bow").predict(["A fine film that I will watch again."])   # ["positive"]
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Classifier", "Predictor", "__version__", "load", "push_to_hub"]

if TYPE_CHECKING:
    from plaudit.classifier import Classifier
    from plaudit.predictor import Predictor, load
    from plaudit.publishing import push_to_hub

_HOMES = {
    "Classifier": "plaudit.classifier",
    "Predictor": "plaudit.predictor",
    "load": "plaudit.predictor",
    "push_to_hub": "plaudit.publishing",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in _HOMES:  # so that importing the package, or one of its stages, imports nothing else
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'plaudit' has no attribute {name!r}")
