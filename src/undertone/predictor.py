"""The one inference path: a bundle's name or folder in, labels and probabilities of texts out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from undertone.bundle import Bundle, load_bundle
from undertone.errors import BundleError, DataError
from undertone.models.base import Float32Array
from undertone.settings import unknown_name

SHIPPED = Path(__file__).parent / "shipped"
DEFAULT_MODEL = "bow"


class Predictor:
    """A trained model, ready to judge texts."""

    def __init__(self, bundle: Bundle) -> None:
        self._model = bundle.model
        self.labels: tuple[str, ...] = bundle.manifest.labels
        self.kind: str = bundle.manifest.kind
        self.provenance: dict[str, Any] = bundle.manifest.provenance
        self.size_bytes = bundle.size_bytes
        self.num_parameters = bundle.num_parameters

    def predict_proba(self, texts: Sequence[str]) -> Float32Array:
        """Return the probability of each label, float32 [N, C]; DataError if an element is not a str."""
        if isinstance(texts, str):
            raise DataError("texts is a single str; give a list of them: predict([text])")
        for i, text in enumerate(texts):
            if not isinstance(text, str):
                raise DataError(f"texts[{i}] is {type(text).__name__}, not str; drop it or convert it")
        return self._model.predict_proba(texts)

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the name of the most probable label of each text."""
        return [self.labels[i] for i in self.predict_proba(texts).argmax(axis=1)]


def load(model: str | Path = DEFAULT_MODEL) -> Predictor:
    """Load a model that ships with the package by name, or any bundle by its folder; BundleError if there is none."""
    return Predictor(load_bundle(model_folder(model)))


def model_folder(model: str | Path) -> Path:
    """Return the folder of a shipped model or of a bundle; BundleError if there is none."""
    if model in shipped_models():
        return SHIPPED / str(model)
    if not Path(model).is_dir():
        raise BundleError(f"model {model} {unknown_name(str(model), shipped_models())}; or give a model folder")
    return Path(model)


def shipped_models() -> list[str]:
    """Return the names of the models that ship with the package."""
    return sorted(path.name for path in SHIPPED.iterdir() if path.is_dir() and not path.name.startswith("_"))
