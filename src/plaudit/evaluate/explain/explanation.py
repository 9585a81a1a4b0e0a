"""A model and texts in; how much each token speaks for a label, and where it stands in the text, out.

Contributions are log-odds of a label against the rest: the predicted one, unless another is named. Three methods:
`exact` splits the n-gram weights of a bag of n-grams over their tokens; `gradients` integrates an LSTM's gradients
(`gradients.py`); `occlusion` leaves out each token in turn and serves every kind (Zeiler and Fergus 2014; for words,
Li et al. 2016).

Shapes: N texts, T tokens, C classes.
"""

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from plaudit.bundle.folder import Bundle
from plaudit.errors import DataError, SettingsError
from plaudit.evaluate.explain.gradients import integrated_gradients, trainable
from plaudit.evaluate.explain.spans import Span, Word, pieces_of, words_of
from plaudit.models.base import Float32Array, Model
from plaudit.models.bow.model import BowModel
from plaudit.predictor import DECIMALS, Predictor
from plaudit.settings import unknown_name
from plaudit.text import reference
from plaudit.text.cleaning import CleaningSettings

Method = Literal["exact", "gradients", "occlusion"]
Float64Array = npt.NDArray[np.float64]

METHODS: tuple[Method, ...] = get_args(Method)

MAX_PIECES = 500
"""A text of more tokens than this has its sentences left out by occlusion, not its tokens."""

_BATCH_CHARACTERS = 4_000_000

_PLAIN_WORDS = CleaningSettings(punctuation="keep")
"""What counts as a token where a model has none of its own, or several kinds of them."""


@dataclass(frozen=True)
class Token:
    """The characters start … end - 1 of a text, and how many log-odds they add; `text` is spelt as it is there."""

    start: int
    end: int
    text: str
    contribution: float


@dataclass(frozen=True)
class Explanation:
    """Why a text has a label, as far as one number for each token can tell.

    `probability` is that of `label`, which need not be the `predicted` one, and calibrated if the model is. `log_odds`
    are the model's own before that, `rest` those of a text that says nothing: the bias of a bag of n-grams, unknown
    words (gradients) or no words (occlusion).
    """

    text: str
    label: str
    predicted: str
    probability: float
    method: Method
    tokens: tuple[Token, ...]
    rest: float
    log_odds: float

    @property
    def gap(self) -> float:
        """What the contributions and the rest fall short of the log-odds; 0 if they explain all of it."""
        return self.log_odds - self.rest - sum(token.contribution for token in self.tokens)

    def as_json(self) -> dict[str, Any]:
        """Return plain values, numbers rounded to `DECIMALS`."""
        return {
            "text": self.text,
            "label": self.label,
            "predicted": self.predicted,
            "probability": round(self.probability, DECIMALS),
            "method": self.method,
            "tokens": [{**vars(token), "contribution": round(token.contribution, DECIMALS)} for token in self.tokens],
            "rest": round(self.rest, DECIMALS),
            "log_odds": round(self.log_odds, DECIMALS),
            "gap": round(self.gap, DECIMALS),
        }


def explain(
    source: Predictor | Bundle | Model,
    texts: Sequence[str],
    *,
    method: Method | None = None,
    label: str | None = None,
) -> list[Explanation]:
    """Explain each text's verdict by the best method that the model's kind has, or by the one that is named.

    SettingsError if there is no such label or the kind lacks the method, MissingExtraError if the method needs a
    package that is not installed, DataError if an element is not a str.
    """
    if isinstance(texts, str):
        raise DataError("texts is a single str; give a list of them: explain(model, [text])")
    return list(explanations(source, texts, method=method, label=label))


def explanations(
    source: Predictor | Bundle | Model,
    texts: Iterable[str],
    *,
    method: str | None,
    label: str | None,
) -> Iterator[Explanation]:
    """Return an iterator over what `explain` returns, which takes one text at a time."""
    model, predict_proba = parts(source)
    known = _checked_method(model, method)
    if label is not None and label not in model.labels:
        raise SettingsError(f"label {label} {unknown_name(label, model.labels)}")
    attribute = _attribution(model, known)

    def explained(text: str) -> Explanation:
        logits, probabilities = model.logits([text])[0], predict_proba([text])[0]
        predicted = int(probabilities.argmax())
        wanted = predicted if label is None else model.labels.index(label)
        words = words_of(text, getattr(model.settings, "cleaning", _PLAIN_WORDS))
        spans, contributions, rest = attribute(text, words, wanted)
        log_odds = _one_against_the_rest(logits, wanted) if known == "exact" else _margins(logits[None], wanted)[0]
        tokens = (Token(s, e, text[s:e], float(c)) for (s, e), c in zip(spans, contributions, strict=True))
        return Explanation(
            text=text,
            label=model.labels[wanted],
            predicted=model.labels[predicted],
            probability=float(probabilities[wanted]),
            method=known,
            tokens=tuple(tokens),
            rest=rest,
            log_odds=float(log_odds),
        )

    return map(explained, _checked_texts(texts))


def _checked_texts(texts: Iterable[str]) -> Iterator[str]:
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"texts[{i}] is {type(text).__name__}, not str; drop it or convert it")
        yield text


def methods_of(model: Model) -> tuple[Method, ...]:
    """Return the methods that the model's kind has, the best first."""
    best: dict[str, tuple[Method, ...]] = {"bow": ("exact",), "lstm": ("gradients",)}
    return (*best.get(model.settings.kind, ()), "occlusion")


def model_of(source: Predictor | Bundle | Model) -> Model:
    """Return the model itself."""
    if isinstance(source, Predictor):
        return source.model
    return source.model if isinstance(source, Bundle) else source


def parts(source: Predictor | Bundle | Model) -> tuple[Model, Callable[[Sequence[str]], Float32Array]]:
    """Return the model and what gives its probabilities, calibrated if it is."""
    if isinstance(source, Model):
        return source, source.predict_proba
    predictor = Predictor(source) if isinstance(source, Bundle) else source
    return model_of(predictor), predictor.predict_proba


def _checked_method(model: Model, method: str | None) -> Method:
    available = methods_of(model)
    if method is None:
        lacks_captum = available[0] == "gradients" and importlib.util.find_spec("captum") is None
        return "occlusion" if lacks_captum else available[0]
    if method not in METHODS:
        raise SettingsError(f"method {method} {unknown_name(method, METHODS)}")
    if method not in available:
        raise SettingsError(f"method {method}: a {model.settings.kind} model has {' and '.join(available)}; give that")
    return method


_Attribution = Callable[[str, list[Word], int], tuple[Sequence[Span], Float64Array, float]]


def _attribution(model: Model, method: Method) -> _Attribution:
    """Return the function from a text, its words and a label to spans, their contributions and the rest."""
    if method == "exact":
        assert isinstance(model, BowModel)
        return partial(_exact, model)
    if method == "occlusion":
        return partial(_occlusion, model)
    network = trainable(model)

    def gradients(text: str, words: list[Word], label: int) -> tuple[Sequence[Span], Float64Array, float]:
        return _spans(words), *integrated_gradients(network, text, label, len(words))

    return gradients


def _exact(model: BowModel, text: str, words: list[Word], label: int) -> tuple[Sequence[Span], Float64Array, float]:
    """Split the weight of each distinct n-gram equally over its occurrences, and each of these over its tokens."""
    problem, sign = (0, 2 * label - 1) if len(model.labels) == 2 else (label, 1)
    order = model.settings.max_order
    hashes = reference.ngram_hashes(text, model.settings.cleaning, order)
    # The reference lists, token by token, the n-grams that end there, the shortest first.
    num_ending = np.minimum(np.arange(len(words)) + 1, order)
    ends = np.repeat(np.arange(len(words)), num_ending)
    orders = np.arange(len(hashes)) - np.repeat(np.cumsum(num_ending) - num_ending, num_ending) + 1
    keys, places, counts = np.unique(
        np.array([value >> 32 for value in hashes], np.uint32), return_inverse=True, return_counts=True
    )
    weights = _weights(model, keys, problem) * sign / counts
    shares = weights[places] / orders
    contributions = np.zeros(len(words))
    for back in range(order):
        covered = orders > back
        contributions += np.bincount(ends[covered] - back, shares[covered], minlength=len(words))
    return _spans(words), contributions, sign * float(model.bias[problem])


def _weights(model: BowModel, keys: npt.NDArray[np.uint32], problem: int) -> Float64Array:
    """Return what each of a text's distinct n-grams adds, float64; 0 if the model does not know it."""
    weights = np.zeros(len(keys))
    _, ours, theirs = np.intersect1d(keys, model.keys, assume_unique=True, return_indices=True)
    weights[ours] = model.weights[theirs, problem].astype(np.float64) * model.scale[problem]
    return weights / np.sqrt(max(1, len(ours))) if model.settings.norm == "l2" else weights


def _occlusion(model: Model, text: str, words: list[Word], label: int) -> tuple[Sequence[Span], Float64Array, float]:
    """Take for a contribution what the log-odds fall by when a token, or a sentence of a long text, is left out."""
    spans = pieces_of(text, words, at_most=MAX_PIECES)
    size = max(1, _BATCH_CHARACTERS // max(1, len(text)))
    logits = [model.logits([text, ""])]
    for start in range(0, len(spans), size):
        batch = spans[start : start + size]
        logits.append(model.logits([f"{text[: span.start]} {text[span.end :]}" for span in batch]))
    whole, nothing, *without = _margins(np.concatenate(logits), label)
    return spans, whole - np.array(without), float(nothing)


def _spans(words: Sequence[Word]) -> list[Span]:
    return [Span(word.start, word.end) for word in words]


def _margins(logits: Float32Array, label: int) -> Float64Array:
    """Return the log-odds of a label against all others together, float64 [N], of logits [N, C]."""
    wide = logits.astype(np.float64)
    margins: Float64Array = wide[:, label] - np.logaddexp.reduce(np.delete(wide, label, axis=1), axis=1)
    return margins


def _one_against_the_rest(logits: Float32Array, label: int) -> float:
    """Return the log-odds by the label's own binary problem, given a bag of n-grams' logits [C].

    With more than two labels a logit is the log of its problem's probability; only that problem is a sum of weights.
    """
    if len(logits) == 2:
        return float(_margins(logits[None], label)[0])
    logarithm = float(logits[label])
    return logarithm - float(np.log(-np.expm1(logarithm)))
