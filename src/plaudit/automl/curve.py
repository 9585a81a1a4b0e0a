"""How accuracy grows with the number of labels, for the chosen model and the alternatives: are more labels worth it?

All are fitted to the same random parts of train and validation, and scored on a fifth of these that none is fitted to;
the test split is never read.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.console import Console

from plaudit.automl.candidates import Candidate, Int64Array, Material
from plaudit.console import needs_extra, progress
from plaudit.data.load import load_dataset
from plaudit.data.splits import prepare, shuffled_units, text_keys, units
from plaudit.errors import DataError
from plaudit.models.bow.model import logits_of_problems
from plaudit.models.bow.settings import BowSettings
from plaudit.pipeline.baselines import tfidf_regression
from plaudit.pipeline.recipe import NewModel, read_recipe
from plaudit.storage import write_text
from plaudit.train.labels import labels_of

SIZES = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
DRAWS = 3
"""Random parts of each size."""

_Fit = Callable[[Int64Array, Int64Array], npt.NDArray[np.int64]]
"""Fits to the rows of the first array and returns the predicted labels of those of the second."""


def draw_curve(out: Path, *, console: Console) -> Path:
    """Write curve.json and curve.svg into the folder of a model that `train_file` trained; returns the second."""
    with needs_extra("report", "a curve"):
        from plaudit.report.search_charts import learning_curve
    recipe = read_recipe(out / "recipe.toml")
    entry = next(iter(recipe.models.values()))
    assert isinstance(entry, NewModel), "train_file writes nothing else"
    assert isinstance(entry.model, BowSettings)
    splits = prepare(load_dataset(recipe.data, console=console), recipe.data)
    table = pa.concat_tables([splits.train, splits.validation])
    points = learning_points(
        table["text"].to_pylist(),
        labels_of(table),
        splits.labels,
        units(table, text_keys(table["text"])),
        Candidate(entry.model, entry.start, entry.start_strength),
        seed=recipe.seed,
        console=console,
    )
    write_text(out / "curve.json", json.dumps({"draws": DRAWS, "points": points}, indent=1) + "\n")
    write_text(out / "curve.svg", learning_curve(points))
    return out / "curve.svg"


def learning_points(
    texts: Sequence[str],
    label_ids: Int64Array,
    labels: tuple[str, ...],
    unit: Int64Array,
    chosen: Candidate,
    *,
    seed: int,
    console: Console,
) -> list[dict[str, Any]]:
    """Return model, number of labels, and the mean, lowest and highest accuracy; DataError if texts are too few."""
    rng = np.random.default_rng(seed)
    held_out = _fifth(unit, label_ids, len(labels), rng)
    test, rest = np.flatnonzero(held_out), np.flatnonzero(~held_out)
    sizes = [*(size for size in SIZES if size < 0.8 * len(rest)), len(rest)]
    if len(sizes) < 2:
        raise DataError(f"{len(texts)} labelled texts are too few for a curve; it starts at {SIZES[0]} besides a fifth")
    material = Material(texts, label_ids, labels)
    fits: dict[str, _Fit] = {"chosen": _candidate_fit(material, chosen)}
    if chosen.start is not None:
        fits["without head start"] = _candidate_fit(material, replace(chosen, start=None))
    fits["TF-IDF + logistic regression"] = _tfidf_fit(material)
    accuracies: dict[tuple[str, int], list[float]] = {}
    total = len(fits) * (DRAWS * (len(sizes) - 1) + 1)
    with progress(console, "accuracy by number of labels", total=total) as show:
        for size in sizes:
            for _ in range(DRAWS if size < len(rest) else 1):  # all there are can be drawn in one way only
                part = np.sort(rng.permutation(rest)[:size])
                for name, fit in fits.items():
                    accuracy = float((fit(part, test) == label_ids[test]).mean())
                    accuracies.setdefault((name, size), []).append(accuracy)
                    show(sum(map(len, accuracies.values())), f"{name}, {size:,} labels")
    return [
        {
            "model": name,
            "labels": size,
            "accuracy": round(float(np.mean(found)), 5),
            "low": round(min(found), 5),
            "high": round(max(found), 5),
        }
        for (name, size), found in accuracies.items()
    ]


def _candidate_fit(material: Material, candidate: Candidate) -> _Fit:
    def fit(train: Int64Array, test: Int64Array) -> npt.NDArray[np.int64]:
        scores = material.scores(candidate, train, test).astype(np.float32)
        return np.asarray(logits_of_problems(scores, candidate.settings.probabilities).argmax(axis=1), np.int64)

    return fit


def _tfidf_fit(material: Material) -> _Fit:
    def fit(train: Int64Array, test: Int64Array) -> npt.NDArray[np.int64]:
        known = material.label_ids[train]
        if len(np.unique(known)) == 1:  # a draw of few labels may hold one class only
            return np.full(len(test), known[0])
        model = tfidf_regression().fit([material.texts[row] for row in train], known)
        return np.asarray(model.predict([material.texts[row] for row in test]), np.int64)

    return fit


def _fifth(
    unit: Int64Array, label_ids: Int64Array, num_classes: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Say which texts are held out: a fifth of each label, all texts of a unit or none."""
    numbered = np.unique(unit, return_inverse=True)[1]
    held_out = np.zeros(int(numbered.max()) + 1, np.bool_)
    for of_label in shuffled_units(numbered, label_ids, num_classes, rng):
        held_out[of_label[: round(len(of_label) / 5)]] = True
    return np.asarray(held_out[numbered])
