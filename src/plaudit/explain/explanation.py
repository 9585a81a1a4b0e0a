"""Explains predictions: how much each word of a text contributes to a label.

Contributions are log-odds of a label, by default the predicted one, against the rest. There are three methods: `exact`
splits the weights of a bag of n-grams over the tokens of each n-gram; `gradients` integrates an LSTM's gradients
(`gradients.py`); `occlusion` leaves out one token at a time and works for every kind (Zeiler and Fergus 2014; for
words, Li et al. 2016).

Shapes: N texts, C classes.
"""

import importlib.util
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from plaudit.errors import DataError, SettingsError
from plaudit.explain.gradients import integrated_gradients, trainable
from plaudit.explain.spans import Span, Word, pieces_of, words_of
from plaudit.models.base import DECIMALS, Float32Array, Model
from plaudit.models.bow.model import BowModel
from plaudit.settings import unknown_name
from plaudit.text import reference
from plaudit.text.cleaning import CleaningSettings

Method = Literal["exact", "gradients", "occlusion"]
Float64Array = npt.NDArray[np.float64]

METHODS: tuple[Method, ...] = get_args(Method)

MAX_PIECES = 500
"""In a text with more tokens than this, occlusion leaves out sentences instead of tokens."""

TOP = 5
"""How many words for and against the label are listed."""

CONTROLS = {c: "\N{REPLACEMENT CHARACTER}" for c in (*range(32), *range(127, 160)) if chr(c) not in "\n\t"}
"""Control characters would move the terminal's cursor or change its colours."""

_BATCH_CHARACTERS = 4_000_000

_PLAIN_WORDS = CleaningSettings(punctuation="keep")
"""The tokens of a model that has no settings for them, or members with different ones."""


@dataclass(frozen=True)
class Token:
    """The characters start … end - 1 of a text, as spelt there, and how many log-odds they contribute."""

    start: int
    end: int
    text: str
    contribution: float


@dataclass(frozen=True, repr=False)
class Explanation:
    """The contribution of each token to the log-odds of `label`, which need not be the `predicted` one.

    `probability` is that of `label`, calibrated if the model is; `log_odds` are uncalibrated. `rest` is the log-odds of
    a neutral text: the bias of a bag of n-grams, unknown words (gradients) or no words (occlusion).
    """

    text: str
    label: str
    predicted: str
    probability: float
    method: Method
    tokens: tuple[Token, ...]
    rest: float
    log_odds: float

    def __repr__(self) -> str:
        pro, con = (in_words(words) for words in self.top_words(TOP))
        return f"<Explanation of {self.label} {self.probability:.3f}: for {pro}; against {con}>"

    def top_words(self, top: int) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
        """Return the words that contribute most for and most against the label, summed over their occurrences."""
        sums: defaultdict[str, float] = defaultdict(float)
        for token in self.tokens:
            sums[" ".join(token.text.split()).casefold()] += token.contribution
        ordered = sorted(sums.items(), key=lambda item: -item[1])
        pro = [(word, total) for word, total in ordered if total > 0][:top]
        con = [(word, total) for word, total in reversed(ordered) if total < 0][:top]
        return pro, con

    @property
    def gap(self) -> float:
        """The part of the log-odds that contributions and rest do not explain."""
        return self.log_odds - self.rest - sum(token.contribution for token in self.tokens)

    def as_json(self) -> dict[str, Any]:
        """Return JSON values, numbers rounded to `DECIMALS`."""
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


def in_words(words: Sequence[tuple[str, float]]) -> str:
    """Return words and what they contribute as a line, long words cut."""
    short = [(word if len(word) <= 40 else word[:39] + "…", total) for word, total in words]
    return ", ".join(f"{word} {total:+.2f}" for word, total in short).translate(CONTROLS) or "–"


class HasModel(Protocol):
    """What predicts with a model, as a `Predictor` does, and may calibrate what it returns."""

    model: Model

    def predict_proba(self, texts: Sequence[str]) -> Float32Array:
        """Return the probability of each label, float32 [N, C]."""


def explain(
    source: HasModel | Model,
    texts: Sequence[str],
    *,
    method: Method | None = None,
    label: str | None = None,
) -> list[Explanation]:
    """Explain the prediction for each text, by default with the best method for the model's kind.

    SettingsError if the label is unknown or the kind does not support the method, MissingExtraError if the method needs
    a package that is not installed, DataError if an element is not a str.
    """
    if isinstance(texts, str):
        raise DataError("texts is a single str; give a list of them: explain(model, [text])")
    return list(explanations(source, texts, method=method, label=label))


def explanations(
    source: HasModel | Model,
    texts: Iterable[str],
    *,
    method: str | None,
    label: str | None,
) -> Iterator[Explanation]:
    """Yield what `explain` returns, reading one text at a time."""
    model = model_of(source)
    chosen = _choose_method(model, method)
    if label is not None and label not in model.labels:
        raise SettingsError(f"label {label} {unknown_name(label, model.labels)}")
    attribute = _attribution(model, chosen)

    def explained(text: str) -> Explanation:
        logits, probabilities = model.logits([text])[0], source.predict_proba([text])[0]
        predicted = int(probabilities.argmax())
        target = predicted if label is None else model.labels.index(label)
        words = words_of(text, getattr(model.settings, "cleaning", _PLAIN_WORDS))
        spans, contributions, rest = attribute(text, words, target)
        log_odds = _own_score(model, logits, target) if chosen == "exact" else _margins(logits[None], target)[0]
        tokens = (Token(s, e, text[s:e], float(c)) for (s, e), c in zip(spans, contributions, strict=True))
        return Explanation(
            text=text,
            label=model.labels[target],
            predicted=model.labels[predicted],
            probability=float(probabilities[target]),
            method=chosen,
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
    """Return the methods that the model's kind supports, the best first."""
    best: dict[str, tuple[Method, ...]] = {"bow": ("exact",), "lstm": ("gradients",)}
    return (*best.get(model.settings.kind, ()), "occlusion")


def model_of(source: HasModel | Model) -> Model:
    """Return the model of a predictor, or the model itself."""
    return source if isinstance(source, Model) else source.model


def _choose_method(model: Model, method: str | None) -> Method:
    available = methods_of(model)
    if method is None:
        is_missing = available[0] == "gradients" and importlib.util.find_spec("captum") is None
        return "occlusion" if is_missing else available[0]
    if method not in METHODS:
        raise SettingsError(f"method {method} {unknown_name(method, METHODS)}")
    if method not in available:
        raise SettingsError(f"method {method}: not for a {model.settings.kind} model; give {' or '.join(available)}")
    return method


_Attribution = Callable[[str, list[Word], int], tuple[Sequence[Span], Float64Array, float]]


def _attribution(model: Model, method: Method) -> _Attribution:
    """Return a function from a text, its words and a label to spans, their contributions and the rest."""
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
    """Split the weight of each distinct n-gram evenly over its occurrences, and each occurrence over its tokens.

    N-grams of characters belong to their word, and stop words have them too.
    """
    problem, sign = (0, 2 * label - 1) if len(model.labels) == 2 else (label, 1)
    cleaning, order, longest = model.settings.cleaning, model.settings.max_order, model.settings.characters
    every = words_of(text, cleaning.model_copy(update={"stop_words": ()})) if longest > 1 else words
    hashes = reference.ngram_hashes(text, cleaning, order)
    # The reference lists, token by token, the n-grams that end there, the shortest first.
    num_ending = np.minimum(np.arange(len(words)) + 1, order)
    ends = np.repeat(np.arange(len(words)), num_ending)
    orders = np.arange(len(hashes)) - np.repeat(np.cumsum(num_ending) - num_ending, num_ending) + 1
    of_words = [list(reference.character_hashes(word.token, cleaning, longest)) for word in every]
    keys, places, counts = np.unique(
        np.array([value >> 32 for value in chain(hashes, *of_words)], np.uint32),
        return_inverse=True,
        return_counts=True,
    )
    added = (_weights(model, keys, problem) * sign / counts)[places]
    shares = added[: len(hashes)] / orders
    of_tokens = np.zeros(len(words))
    for back in range(order):
        covered = orders > back
        of_tokens += np.bincount(ends[covered] - back, shares[covered], minlength=len(words))
    owners = np.repeat(np.arange(len(every)), np.array([len(each) for each in of_words], np.int64))
    contributions = np.zeros(len(every))
    np.add.at(contributions, owners, added[len(hashes) :])
    contributions[np.searchsorted([word.start for word in every], [word.start for word in words])] += of_tokens
    return _spans(every), contributions, sign * float(model.bias[problem])


def _weights(model: BowModel, keys: npt.NDArray[np.uint32], problem: int) -> Float64Array:
    """Return what each distinct n-gram of a text adds, float64; 0 if the model does not know it."""
    weights = np.zeros(len(keys))
    _, ours, theirs = np.intersect1d(keys, model.keys, assume_unique=True, return_indices=True)
    weights[ours] = model.weights[theirs, problem].astype(np.float64) * model.scale[problem]
    return weights / np.sqrt(max(1, len(ours))) if model.settings.norm == "l2" else weights


def _occlusion(model: Model, text: str, words: list[Word], label: int) -> tuple[Sequence[Span], Float64Array, float]:
    """Measure by how much the log-odds fall when a token, or a sentence of a long text, is left out."""
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
    """Return the log-odds of a label against all others, float64 [N], from logits [N, C]."""
    wide = logits.astype(np.float64)
    margins: Float64Array = wide[:, label] - np.logaddexp.reduce(np.delete(wide, label, axis=1), axis=1)
    return margins


def _own_score(model: Model, logits: Float32Array, label: int) -> float:
    """Return the sum of weights that a label has in a bag of n-grams, from its logits [C].

    It is the label's log-odds with two labels, or against the rest. With a softmax, it is the logit itself.
    """
    if len(logits) == 2:
        return float(_margins(logits[None], label)[0])
    logarithm = float(logits[label])
    if getattr(model.settings, "probabilities", None) == "softmax":
        return logarithm
    # A logit is the log of the probability in the label's own one-against-the-rest problem.
    return logarithm - float(np.log(-np.expm1(logarithm)))
