"""`errors.json`: a model's mistakes, the words behind them, and labels that are probably wrong.

It names reviews by id and holds no texts, whose licence may not allow passing them on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field
from rich.console import Console

from plaudit.evaluate.errors.label_noise import (
    MisleadingWord,
    label_noise,
    misleading_words,
    most_confident_mistakes,
    nearest_training_reviews,
)
from plaudit.evaluate.record import Record, read_record, write_record
from plaudit.evaluate.score import labels_of_model, predict_all
from plaudit.predictor import Predictor

FORMAT: Literal[1] = 1

NUM_NEAREST = 3


class DoubtfulLabel(Record):
    """A review whose label is probably wrong; `probability` is the model's for that label."""

    id: str
    label: str
    predicted: str
    probability: float = Field(ge=0, le=1)


class Neighbour(Record):
    """A similar training review; `similarity` is a cosine."""

    id: str
    similarity: float
    label: str


class Mistake(Record):
    """A misclassified review, and the most similar training reviews, if any are known."""

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
    words: tuple[MisleadingWord, ...]
    """The most frequent first."""
    mistakes: tuple[Mistake, ...]
    """The most confident first."""


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
    """Find doubtful labels, misleading words and mistakes among the reviews of `table`, `top` of each at most.

    Similar reviews are looked for in `train`, which may be empty. Labels of both tables are numbers of `label_names`.
    DataError if there are no reviews, an unlabelled one, or a label that the model does not know.
    """
    where = f"{data_name}, {split}"
    labels = labels_of_model(table, label_names, predictor.labels, where=where, model_name=model_name)
    ids, texts, names = table["id"].to_pylist(), table["text"].to_pylist(), predictor.labels
    probabilities = predict_all(predictor, texts, f"Scoring {where}", model_name=model_name, console=console)
    predicted = probabilities.argmax(axis=1)
    with console.status("Looking for doubtful labels"):
        doubtful, label_probabilities = label_noise(labels, probabilities)
    doubted = zip(doubtful[:top], label_probabilities[:top], strict=True)
    words = misleading_words(predictor, texts, labels, top=top, console=console)
    wrong = most_confident_mistakes(labels, probabilities)
    with console.status("Looking for similar training reviews"):
        nearest = _neighbours([texts[i] for i in wrong[:top]], train, label_names)

    def described(row: int, probability: float) -> dict[str, Any]:
        names_of_row = {"label": names[labels[row]], "predicted": names[predicted[row]]}
        return {"id": ids[row], **names_of_row, "probability": round(float(probability), 6)}

    return Errors(
        model=model_name,
        kind=predictor.kind,
        data=data_name,
        split=split,
        labels=names,
        n=len(labels),
        num_wrong=len(wrong),
        num_doubtful=len(doubtful),
        noise=tuple(DoubtfulLabel(**described(row, probability)) for row, probability in doubted),
        words=tuple(words),
        mistakes=tuple(
            Mistake(**described(i, probabilities[i, predicted[i]]), nearest=near)
            for i, near in zip(wrong[:top], nearest, strict=True)
        ),
    )


def _neighbours(texts: Sequence[str], train: pa.Table, label_names: Sequence[str]) -> list[tuple[Neighbour, ...]]:
    if not texts or not train.num_rows:
        return [()] * len(texts)
    rows, similarities = nearest_training_reviews(texts, train["text"].to_pylist(), NUM_NEAREST)
    ids, labels = train["id"], train["label"]

    def neighbour(row: int, similarity: float) -> Neighbour:
        name = label_names[labels[row].as_py()]
        return Neighbour(id=ids[row].as_py(), similarity=round(similarity, 6), label=name)

    return [tuple(map(neighbour, *each)) for each in zip(rows.tolist(), similarities.tolist(), strict=True)]


def write_errors(path: Path, errors: Errors) -> None:
    """Write a file completely or not at all; OutputError if it cannot be written."""
    write_record(path, errors)


def read_errors(path: Path) -> Errors:
    """Read a file; DataError if it is missing, damaged, not written by Plaudit or of another format."""
    return read_record(Errors, path, name="errors", writer="plaudit errors")
