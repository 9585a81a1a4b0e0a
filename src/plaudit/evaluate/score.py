"""Scores a model on labelled reviews: accuracy and other metrics with their intervals, calibration and speed.

Shapes: N reviews, C classes.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.console import Console

from plaudit.console import progress
from plaudit.data.splits import text_digests
from plaudit.errors import BundleError, DataError
from plaudit.evaluate.bootstrap import NUM_DRAWS, intervals
from plaudit.evaluate.machine import code_version, cpu_name, gpu_name, num_cores
from plaudit.evaluate.metrics import METRICS, confusion, wilson_interval
from plaudit.evaluate.results import Hardware, Latency, Result
from plaudit.evaluate.speed import measure
from plaudit.predictor import Predictor

CHUNK = 1_024
SPEED_SECONDS = 2.5  # for throughput and again for latency, so about 5 s a model


@dataclass(frozen=True)
class Evaluation:
    """`labels` int8 [N] and `probabilities` float32 [N, C] are in the model's order of label names."""

    result: Result
    labels: npt.NDArray[np.int8]
    probabilities: npt.NDArray[np.float32]


def evaluate(
    predictor: Predictor,
    table: pa.Table,
    *,
    label_names: Sequence[str],
    model_name: str,
    data_name: str,
    split: str,
    console: Console,
    speed_seconds: float = SPEED_SECONDS,
) -> Evaluation:
    """Score every review of `table`, whose label i is called `label_names[i]`, and time the predictor.

    Labels are matched by name. DataError if there are no reviews, an unlabelled one, or
    a label that the model does not know; BundleError if a probability is not finite.
    """
    where = f"{data_name}, {split}"
    labels = labels_of_model(table, label_names, predictor.labels, where=where, model_name=model_name)
    texts = table["text"].to_pylist()
    probabilities = predict_all(predictor, texts, f"Scoring {model_name}", model_name=model_name, console=console)
    scores = {name: metric(labels, probabilities) for name, metric in METRICS.items()}
    with console.status(f"Resampling the reviews {NUM_DRAWS:,} times"):
        ci95 = intervals(METRICS, labels, probabilities, table["group"].to_pylist(), seed=0)
    with console.status(f"Timing {model_name}"):
        speed = measure(predictor.predict_proba, texts, seconds=speed_seconds)
    provenance, known = predictor.provenance, predictor.trained_on
    counts = confusion(labels, probabilities.argmax(axis=1), len(predictor.labels))
    result = Result.model_validate(
        {
            "model": model_name,
            "kind": predictor.kind,
            "data": data_name,
            "split": split,
            "n": len(labels),
            **{name: None if math.isnan(score) else score for name, score in scores.items()},
            "accuracy_ci95": wilson_interval(scores["accuracy"], len(labels)),
            "ci95": ci95,
            "calibration": predictor.calibration,
            "data_digest": data_digest(table["id"].to_pylist(), [label_names[i] for i in table["label"].to_pylist()]),
            "trained_on_rows": None if known is None else int(np.isin(text_digests(table["text"]), known).sum()),
            "model_digest": predictor.digest,
            "reviews_per_second": speed.reviews_per_second,
            "latency_ms": Latency(p50=speed.latency_ms_p50, p99=speed.latency_ms_p99),
            "size_bytes": predictor.size_bytes,
            "parameters": predictor.num_parameters,
            "train_seconds": provenance.train_seconds,
            "seed": provenance.seed,
            "recipe": None if provenance.recipe is None else provenance.recipe.model_dump(mode="json"),
            "hardware": Hardware(cpu=cpu_name(), cores=num_cores(), cores_used=speed.cores_used, gpu=gpu_name()),
            "commit": code_version(),
            "labels": predictor.labels,
            "confusion": counts.tolist(),
        }
    )
    return Evaluation(result, labels, probabilities)


def data_digest(ids: Sequence[str], labels: Sequence[str]) -> str:
    """Return the sha256 of the reviews' ids and labels, in order."""
    lines = (f"{id}\t{label}\n" for id, label in zip(ids, labels, strict=True))
    return hashlib.sha256("".join(lines).encode(errors="surrogatepass")).hexdigest()


def labels_of_model(
    table: pa.Table, label_names: Sequence[str], known: Sequence[str], *, where: str, model_name: str
) -> npt.NDArray[np.int8]:
    """Return a review table's labels as the model numbers them; DataError if any is missing or unknown to the model."""
    if table.num_rows == 0:
        raise DataError(f"{where}: no reviews to evaluate on")
    num_unlabelled = table["label"].null_count
    if num_unlabelled:
        raise DataError(f"{where}: {num_unlabelled} of {table.num_rows} reviews have no label; give labelled ones")
    check_labels(label_names, known, where=where, model_name=model_name)
    in_model = np.array([list(known).index(name) for name in label_names], dtype=np.int8)
    labels: npt.NDArray[np.int8] = in_model[table["label"].to_numpy()]
    return labels


def check_labels(label_names: Sequence[str], known: Sequence[str], *, where: str, model_name: str) -> None:
    """Raise a DataError if the model does not know one of the labels."""
    if not set(label_names) <= set(known):
        raise DataError(
            f"{where}: its labels are {', '.join(label_names)}, but {model_name} knows {', '.join(known)}; "
            "give data labelled with the model's names"
        )


def predict_all(
    predictor: Predictor, texts: Sequence[str], description: str, *, model_name: str, console: Console
) -> npt.NDArray[np.float32]:
    """Return the probabilities of all texts, float32 [N, C], showing progress; BundleError if one is not finite."""
    chunks = []
    with progress(console, description, total=len(texts)) as move_to:
        for start in range(0, len(texts), CHUNK):
            chunks.append(predictor.predict_proba(texts[start : start + CHUNK]))
            move_to(min(start + CHUNK, len(texts)))
    probabilities = np.concatenate(chunks)
    if not np.isfinite(probabilities).all():
        raise BundleError(f"{model_name}: its probabilities are not finite; train it again, at a lower learning rate")
    return probabilities
