"""Loads a trained model and predicts labels and probabilities of texts."""

from pathlib import Path
from typing import TYPE_CHECKING

from plaudit.bundle.folder import Bundle, load_bundle
from plaudit.bundle.locate import DEFAULT_MODEL, model_folder
from plaudit.data.containers import Values, as_texts
from plaudit.errors import SettingsError
from plaudit.models.base import Float32Array, softmax

if TYPE_CHECKING:
    import pyarrow as pa


class Predictor:
    """A trained model that predicts; it abstains if the most probable label is less probable than `abstain_below`."""

    def __init__(self, bundle: Bundle, *, abstain_below: float = 0.0) -> None:
        self.model = bundle.model
        self.labels: tuple[str, ...] = bundle.manifest.labels
        self.kind: str = bundle.manifest.kind
        self.provenance = bundle.provenance
        self.size_bytes = bundle.size_bytes
        self.num_parameters = bundle.num_parameters
        self.digest = bundle.digest
        self.abstain_below = abstain_below
        self._calibration = bundle.calibration

    @property
    def calibration(self) -> str | None:
        """How its probabilities are calibrated, None if they are not."""
        return None if self._calibration is None else self._calibration.method

    def predict_proba(self, texts: Values) -> Float32Array:
        """Return the probability of each label, float32 [N, C]; DataError if an element is not a str.

        Texts are a list or a container of pandas, polars, Arrow, numpy or datasets.
        """
        return self._calibrated(self.model.predict_proba(as_texts(texts)))

    def predict_proba_of_column(self, texts: "pa.StringArray") -> Float32Array:
        """Return the same for an Arrow column without nulls, without making str of it if the model needs none."""
        return self._calibrated(softmax(self.model.logits_of_column(texts)))

    def _calibrated(self, probabilities: Float32Array) -> Float32Array:
        return probabilities if self._calibration is None else self._calibration.apply(probabilities)

    def predict(self, texts: Values) -> list[str | None]:
        """Return the name of each text's most probable label, None where it abstains."""
        return self.verdicts(self.predict_proba(texts))

    def verdicts(self, probabilities: Float32Array) -> list[str | None]:
        """Return what `predict` does, from probabilities [N, C]."""
        best, surest = probabilities.argmax(axis=1), probabilities.max(axis=1, initial=0)
        return [self.labels[i] if sure >= self.abstain_below else None for i, sure in zip(best, surest, strict=True)]


def load(model: str | Path = DEFAULT_MODEL, *, abstain_below: float = 0.0) -> Predictor:
    """Load a shipped model by its name, or a bundle by its folder; BundleError if there is none.

    hf://OWNER/NAME and hf://OWNER/NAME@REVISION are models on the Hugging Face Hub (extra `hub`). `abstain_below` is a
    probability; SettingsError if it is not within 0 … 1.
    """
    if not 0 <= abstain_below <= 1:
        raise SettingsError(f"abstain_below is {abstain_below:g}; give a probability, 0 … 1")
    return Predictor(load_bundle(model_folder(model)), abstain_below=abstain_below)
