"""`words.json`: the words that count most for each label in what a bag of n-grams has learned."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field
from rich.console import Console

from plaudit.console import progress
from plaudit.evaluate.record import Record, read_record, write_record
from plaudit.explain.explanation import explanations, methods_of
from plaudit.models.base import Model
from plaudit.models.ensemble import EnsembleModel

FORMAT: Literal[1] = 1
MAX_TEXTS = 1_000
"""How many texts are explained, evenly spread over those given."""
MIN_COUNT = 3
"""A word in fewer texts says more about these texts than about the label."""


class DecidingWord(Record):
    """A word that contributes so many log-odds to a label, on average over the `count` texts where it does."""

    word: str
    label: str
    count: int = Field(ge=1)
    mean_contribution: float


class Words(Record):
    """The content of a `words.json`."""

    format: Literal[1] = FORMAT
    model: str
    data: str
    is_part: bool = False
    """Whether only the member of an ensemble that is a bag of n-grams was explained."""
    n: int = Field(ge=0)
    """How many texts were explained."""
    words: tuple[DecidingWord, ...]
    """By label, those with the greatest total contribution first."""


def exact_part(model: Model) -> Model | None:
    """Return the model if its contributions are exact, and so cheap enough for many texts.

    Of an ensemble, the first member of that sort that knows the ensemble's own labels; None if there is none.
    """
    own: Sequence[Model] = [model]
    if isinstance(model, EnsembleModel):
        own = [member for number, member in enumerate(model.models) if number not in model.projections]
    return next((one for one in own if methods_of(one)[0] == "exact"), None)


def deciding_words(
    model: Model, texts: Sequence[str], *, model_name: str, data_name: str, top: int, console: Console
) -> Words:
    """Find up to `top` words a label; a word counts once a text.

    With two labels, what counts against one counts for the other. Of an ensemble, its `exact_part` is explained.
    SettingsError if the model has no exact contributions.
    """
    part = exact_part(model) or model
    chosen = texts[:: -(-len(texts) // MAX_TEXTS) or 1]
    labels = model.labels
    found: dict[str, defaultdict[str, list[float]]] = {label: defaultdict(list) for label in labels}
    with progress(console, "Explaining texts", total=len(chosen)) as move_to:
        for number, explanation in enumerate(explanations(part, chosen, method="exact", label=None), start=1):
            sums: defaultdict[str, float] = defaultdict(float)
            for token in explanation.tokens:
                sums[token.text.casefold()] += token.contribution
            other = next(label for label in labels if label != explanation.label)
            for word, contribution in sums.items():
                if contribution > 0:
                    found[explanation.label][word].append(contribution)
                elif contribution < 0 and len(labels) == 2:
                    found[other][word].append(-contribution)
            move_to(number)
    words = [
        DecidingWord(word=word, label=label, count=len(each), mean_contribution=round(sum(each) / len(each), 6))
        for label, by_word in found.items()
        for word, each in sorted(by_word.items(), key=lambda item: (-sum(item[1]), item[0]))
        if len(each) >= MIN_COUNT and any(character.isalnum() for character in word)
    ]
    kept = [word for label in labels for word in [one for one in words if one.label == label][:top]]
    return Words(model=model_name, data=data_name, is_part=part is not model, n=len(chosen), words=tuple(kept))


def read_words(path: Path) -> Words:
    """Read a file; DataError if it is missing, damaged, not written by Plaudit or of another format."""
    return read_record(Words, path, name="words", writer="plaudit run")


def write_words(path: Path, words: Words) -> None:
    """Write a file completely or not at all; OutputError if it cannot be written."""
    write_record(path, words)
