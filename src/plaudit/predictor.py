"""Loads a trained model, predicts labels and probabilities of texts, and explains them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, overload

from plaudit.bundle.folder import Bundle, load_bundle
from plaudit.bundle.locate import DEFAULT_MODEL, model_folder
from plaudit.data.containers import Values, as_texts
from plaudit.errors import SettingsError
from plaudit.models.base import Float32Array, softmax

if TYPE_CHECKING:
    import pyarrow as pa

    from plaudit.explain.explanation import Explanation

NoVerdict: TypeAlias = Literal["blank", "unsure"]
"""Why a text has no label."""

_LISTED_LABELS = 5
"""A predictor with more labels than this shows their number alone."""


class Prediction(NamedTuple):
    """The most probable label of a text and its probability; the label is None where the predictor has no verdict."""

    label: str | None
    probability: float

    def __str__(self) -> str:
        return f"{'–' if self.label is None else self.label} {self.probability:.3f}"

    def __repr__(self) -> str:
        return f"Prediction(label={self.label!r}, probability={self.probability:.3f})"


def is_blank(text: str) -> bool:
    """Whether a text is empty or white space, so that there is nothing to judge."""
    return not text or text.isspace()


class Predictor:
    """A trained model that predicts; it abstains if the most probable label is less probable than `abstain_below`.

    A text that is empty or white space has no verdict either.

    Call it with one text for a `Prediction`, or with many for a list of them. `labels` are the names of its classes, in
    the order of its probabilities.
    """

    def __init__(self, bundle: Bundle, *, abstain_below: float = 0.0) -> None:
        self.model = bundle.model
        self.labels: tuple[str, ...] = bundle.manifest.labels
        self.kind: str = bundle.manifest.kind
        self.provenance = bundle.provenance
        self.size_bytes = bundle.size_bytes
        self.num_parameters = bundle.num_parameters
        self.digest = bundle.digest
        self.trained_on = bundle.trained_on
        self.abstain_below = abstain_below
        self._calibration = bundle.calibration

    def __repr__(self) -> str:
        abstains = [f"abstains below {self.abstain_below:g}"] if self.abstain_below else []
        return f"<Predictor {'; '.join([self.summary, *abstains])}>"

    @property
    def summary(self) -> str:
        """Its kind and labels, what it was trained on, its accuracy and its size, as far as its bundle records them."""
        many = len(self.labels) > _LISTED_LABELS
        parts = [f"{self.kind}: {f'{len(self.labels)} labels' if many else ', '.join(self.labels)}"]
        if "name" in self.provenance.data:
            parts.append(f"trained on {Path(self.provenance.data['name']).name}")
        if self.provenance.validation_accuracy is not None:
            parts.append(f"{100 * self.provenance.validation_accuracy:.2f} % accuracy on validation")
        size = f"{self.size_bytes / 1e6:.2f} MB" if self.size_bytes >= 100_000 else f"{self.size_bytes / 1e3:.1f} kB"
        return "; ".join([*parts, size])

    @property
    def calibration(self) -> str | None:
        """How its probabilities are calibrated, None if they are not."""
        return None if self._calibration is None else self._calibration.method

    @overload
    def __call__(self, texts: str) -> Prediction: ...

    @overload
    def __call__(self, texts: Values) -> list[Prediction]: ...

    def __call__(self, texts: Values) -> Prediction | list[Prediction]:
        """Return the prediction for one text, or a list of them for as many texts as `predict` takes."""
        if isinstance(texts, str):
            return self([texts])[0]
        given = as_texts(texts)
        probabilities = self.predict_proba(given)
        surest = probabilities.max(axis=1, initial=0).tolist()
        return [Prediction(*pair) for pair in zip(self.verdicts(given, probabilities), surest, strict=True)]

    @overload
    def explain(self, texts: str, *, method: str | None = None, label: str | None = None) -> "Explanation": ...

    @overload
    def explain(self, texts: Values, *, method: str | None = None, label: str | None = None) -> "list[Explanation]": ...

    def explain(
        self, texts: Values, *, method: str | None = None, label: str | None = None
    ) -> "Explanation | list[Explanation]":
        """Return how much each word of a text contributes to a label, by default the predicted one; a list for many.

        `method` is exact (bow), gradients (lstm) or occlusion, by default the best for the model. SettingsError if the
        label or the method is unknown, MissingExtraError if the method needs a package that is not installed.
        """
        from plaudit.explain.explanation import explanations

        given = [texts] if isinstance(texts, str) else as_texts(texts)
        found = list(explanations(self, given, method=method, label=label))
        return found[0] if isinstance(texts, str) else found

    def predict_proba(self, texts: Values) -> Float32Array:
        """Return the probability of each label, float32 [N, C]; DataError if an element is not a str.

        Texts are a list or a container of pandas, polars, Arrow, numpy or datasets. A blank text has probabilities too,
        which say only what the model takes for usual.
        """
        return self._calibrated(self.model.predict_proba(as_texts(texts)))

    def predict_proba_of_column(self, texts: "pa.StringArray") -> Float32Array:
        """Return the same for an Arrow column without nulls, without making str of it if the model needs none."""
        return self._calibrated(softmax(self.model.logits_of_column(texts)))

    def _calibrated(self, probabilities: Float32Array) -> Float32Array:
        return probabilities if self._calibration is None else self._calibration.apply(probabilities)

    def predict(self, texts: Values) -> list[str | None]:
        """Return the name of each text's most probable label, None where it abstains or the text is blank."""
        given = as_texts(texts)
        return self.verdicts(given, self.predict_proba(given))

    def verdicts(self, texts: Sequence[str], probabilities: Float32Array) -> list[str | None]:
        """Return what `predict` does, from the probabilities [N, C] of the texts."""
        best, surest = probabilities.argmax(axis=1), probabilities.max(axis=1, initial=0)
        return [
            self.labels[i] if sure >= self.abstain_below and not is_blank(text) else None
            for text, i, sure in zip(texts, best, surest, strict=True)
        ]

    def reason(self, text: str, label: str | None) -> NoVerdict | None:
        """Return why a text has no label: there is nothing to judge, or the model is not sure enough."""
        if label is not None:
            return None
        return "blank" if is_blank(text) else "unsure"


def load(model: str | Path = DEFAULT_MODEL, *, abstain_below: float = 0.0) -> Predictor:
    """Load a shipped model by its name, or a bundle by its folder; BundleError if there is none.

    hf://OWNER/NAME and hf://OWNER/NAME@REVISION are models on the Hugging Face Hub (extra `hub`). `abstain_below` is a
    probability; SettingsError if it is not within 0 … 1.
    """
    if not 0 <= abstain_below <= 1:
        raise SettingsError(f"abstain_below is {abstain_below:g}; give a probability, 0 … 1")
    return Predictor(load_bundle(model_folder(model)), abstain_below=abstain_below)
