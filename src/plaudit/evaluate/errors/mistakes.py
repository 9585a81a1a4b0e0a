"""`errors.json`: what is wrong with a model's verdicts on some reviews, and maybe with their labels.

It names reviews by id and never holds their texts, whose licence may not let us pass them on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from rich.console import Console

from plaudit.evaluate.errors.label_noise import (
    error_words,
    label_noise,
    most_confident_mistakes,
    nearest_training_reviews,
)
from plaudit.evaluate.record import Record, read_record, write_record
from plaudit.evaluate.score import labels_of_model
from plaudit.predictor import Predictor

FORMAT: Literal[1] = 1

NUM_NEAREST = 3


class DoubtfulLabel(Record):
    """A review whose label is probably wrong; `probability` is what the model gives that label."""

    id: str
    label: str
    predicted: str
    probability: float = Field(ge=0, le=1)


class DrivingWord(Record):
    """A word that is among those that push `count` wrong verdicts hardest, by so many log-odds on average."""

    word: str
    towards: str
    count: int = Field(ge=1)
    mean_contribution: float


class Neighbour(Record):
    """A training review that resembles another one; `similarity` is a cosine."""

    id: str
    similarity: float
    label: str


class Mistake(Record):
    """A review that is judged wrongly, and the training reviews nearest to it, if any are known."""

    id: str
    label: str
    predicted: str
    probability: float = Field(ge=0, le=1)
    nearest: tuple[Neighbour, ...]


class Errors(Record):
    """The content of an `errors.json`."""

    format: Literal[1] = FORMAT
    model: str
    kind: str
    data: str
    split: str
    labels: tuple[str, ...] = Field(min_length=2)
    n: int = Field(gt=0)
    num_wrong: int = Field(ge=0)
    num_doubtful: int = Field(ge=0)
    noise: tuple[DoubtfulLabel, ...]
    """The most doubtful first."""
    words: tuple[DrivingWord, ...]
    """The most frequent first."""
    mistakes: tuple[Mistake, ...]
    """The surest first."""


def find_errors(
    predictor: Predictor,
    table: pa.Table,
    train: pa.Table,
    *,
    label_names: Sequence[str],
    model_name: str,
    data_name: str,
    split: str,
    top: int,
    console: Console,
) -> Errors:
    """Judge the reviews of `table` and say what is wrong; `top` bounds each of the three lists.

    `train`, which may be empty, holds the reviews among which similar ones are looked for. Labels of both are numbers
    of `label_names`. DataError if there are no reviews, an unlabelled one, or a label that the model does not know.
    """
    where = f"{data_name}, {split}"
    labels = labels_of_model(table, label_names, predictor.labels, where=where, model_name=model_name)
    ids, texts = table["id"].to_pylist(), table["text"].to_pylist()
    with console.status(f"Scoring {len(texts):,} reviews"):
        probabilities = predictor.predict_proba(texts)
        doubtful, given = label_noise(labels, probabilities)
    predicted = probabilities.argmax(axis=1)
    wrong = most_confident_mistakes(labels, probabilities)
    words = error_words(predictor, texts, labels, top=top, console=console)
    with console.status("Looking for similar training reviews"):
        nearest = _neighbours([texts[i] for i in wrong[:top]], train, label_names)
    names = predictor.labels
    return Errors(
        model=model_name,
        kind=predictor.kind,
        data=data_name,
        split=split,
        labels=names,
        n=len(labels),
        num_wrong=len(wrong),
        num_doubtful=len(doubtful),
        noise=tuple(
            DoubtfulLabel(id=ids[i], label=names[labels[i]], predicted=names[predicted[i]], probability=_rounded(p))
            for i, p in zip(doubtful[:top], given, strict=False)
        ),
        words=tuple(
            DrivingWord(**(vars(word) | {"mean_contribution": round(word.mean_contribution, 6)})) for word in words
        ),
        mistakes=tuple(
            Mistake(
                id=ids[i],
                label=names[labels[i]],
                predicted=names[predicted[i]],
                probability=_rounded(probabilities[i, predicted[i]]),
                nearest=near,
            )
            for i, near in zip(wrong[:top], nearest, strict=True)
        ),
    )


def _neighbours(texts: Sequence[str], train: pa.Table, label_names: Sequence[str]) -> list[tuple[Neighbour, ...]]:
    if not texts or not train.num_rows:
        return [()] * len(texts)
    places, similarities = nearest_training_reviews(texts, train["text"].to_pylist(), NUM_NEAREST)
    rows = train.select(["id", "label"]).take(pa.array(places.ravel())).to_pylist()
    flat = [
        Neighbour(id=row["id"], similarity=round(float(similarity), 6), label=label_names[row["label"]])
        for row, similarity in zip(rows, similarities.ravel(), strict=True)
    ]
    k = places.shape[1]
    return [tuple(flat[start : start + k]) for start in range(0, len(flat), k)]


def _rounded(probability: float | np.floating) -> float:
    return round(float(probability), 6)


def write_errors(path: Path, errors: Errors) -> None:
    """Write errors.json whole or not at all; OutputError if it cannot be written."""
    write_record(path, errors)


def read_errors(path: Path) -> Errors:
    """Read errors.json; DataError if it is missing, damaged, foreign or of another format."""
    return read_record(Errors, path, name="errors", writer="plaudit errors")
