"""Undertone turns labelled reviews into the smallest, fastest sentiment model that is still right.

import undertone
undertone.load("bow").predict(["A film I would watch again."])   # ["positive"]
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Predictor", "__version__", "load"]

if TYPE_CHECKING:
    from undertone.predictor import Predictor, load


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name in (
        "Predictor",
        "load",
    ):  # so that importing the package, or one of its stages, imports nothing else
        from undertone import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module 'undertone' has no attribute {name!r}")
