"""`plaudit select`: a recipe's models compared on reviews by cross-validation, and one of them recommended.

    OUT/folds.jsonl                        the recipe, then a row for each model and fold, as soon as it is measured
    OUT/out-of-fold/fold-K/NAME.parquet    a model's predictions for the reviews that it was trained without
    OUT/select.json                        the comparison

Train and validation are one pool here; the test split is never read. A fold's reviews evaluate models that were trained
on the other folds, which include a validation part for whatever training chooses: nothing is chosen on the reviews that
evaluate. Reviews of one movie, or with the same text, are in one fold and in one sample of the bootstrap.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from plaudit.data.folds import Pool, assign_folds, fold_splits
from plaudit.data.load import load_dataset
from plaudit.data.splits import prepare
from plaudit.errors import DataError, SettingsError
from plaudit.evaluate.bootstrap import NUM_DRAWS
from plaudit.evaluate.machine import code_version, cpu_name
from plaudit.evaluate.metrics import log_loss
from plaudit.evaluate.speed import measure
from plaudit.models.base import Float32Array
from plaudit.pipeline.build import build
from plaudit.pipeline.recipe import NewModel, Recipe
from plaudit.pipeline.run import excerpt, save_trained
from plaudit.predictor import load
from plaudit.search.comparison import FORMAT, Constraints, FoldResult, Selection, compare
from plaudit.storage import append_row, begin_journal, has_begun, read_journal, replacing, write_text
from plaudit.train.context import TrainingContext

RESULTS_NAME = "folds.jsonl"
_SPEED_SECONDS = 0.3


def select(
    recipe: Recipe,
    out: Path,
    *,
    folds: int,
    constraints: Constraints,
    seed: int,
    resume: bool,
    console: Console,
) -> Selection:
    """Compare the models of a recipe by cross-validation and write `out`; if resumed, only what is missing is done.

    `seed` decides the folds, the validation parts, training and the bootstrap. SettingsError if a model is made of
    something that may have learned from the reviews that evaluate it, or `out` holds another comparison; DataError if
    there are too few reviews.
    """
    if folds < 2:
        raise SettingsError(f"--folds {folds}: give 2 or more")
    _refuse_outside_sources(recipe)
    console.print(f"[bold]{recipe.name}[/bold]: reading {recipe.data.name}")
    splits = prepare(load_dataset(recipe.data, console=console), recipe.data)
    head = {
        "format": FORMAT,
        "recipe": recipe.resolved(),
        "data_digest": splits.digest,
        "folds": folds,
        "seed": seed,
    }
    results = _read_results(out / RESULTS_NAME, head, resume=resume)
    pool = assign_folds(splits, folds, seed)
    names = [name for name, entry in recipe.models.items() if not entry.is_language_model]
    console.print(f"{len(pool.labels):,} reviews in {pool.unit.max() + 1:,} groups, {folds} folds, {len(names)} models")
    begin_journal(out / RESULTS_NAME, head)
    for fold in range(1, folds + 1):
        done = {result.model for result in results if result.fold == fold}
        if set(names) <= done:
            continue
        for result in _fold_results(recipe, pool, fold, seed, out, done=done, console=console):
            results.append(result)
            append_row(out / RESULTS_NAME, asdict(result))
            console.print(
                f"{len(results)}/{folds * len(names)}: {result.model}, fold {fold} of {folds}: {result.accuracy:.2%}, "
                f"{result.latency_ms_p50:.2f} ms, {result.size_bytes / 1e6:.2f} MB, "
                f"trained in {result.train_seconds:,.1f} s",
                highlight=False,
            )
    probabilities = {name: _read_probabilities(out, name, pool, folds) for name in names}
    provenance = {**head, "cpu": cpu_name(), "commit": code_version()}
    with console.status(f"Comparing on {NUM_DRAWS:,} bootstrap samples"):
        selection = compare(results, probabilities, pool, constraints, seed=seed, provenance=provenance)
    write_text(out / "select.json", json.dumps(selection.as_json(), indent=1, ensure_ascii=False) + "\n")
    return selection


def _refuse_outside_sources(recipe: Recipe) -> None:
    if all(entry.is_language_model for entry in recipe.models.values()):
        raise SettingsError(f"{recipe.name}: has only language models, which predict no labels; add another model")
    for name, entry in recipe.models.items():
        outside = [other for other in entry.made_of if other not in recipe.models]
        if isinstance(entry, NewModel) and entry.distill is not None and entry.distill.soft_labels is not None:
            outside.append(str(entry.distill.soft_labels))
        if outside:
            raise SettingsError(
                f"{recipe.name}: models.{name} is made of {outside[0]}, which may have learned from the very reviews "
                "that evaluate it here; put what makes it into the recipe"
            )


def _read_results(path: Path, head: Mapping[str, Any], *, resume: bool) -> list[FoldResult]:
    if not has_begun(path.parent, path.name, of="selection", resume=resume):
        return []
    return read_journal(path, FoldResult, head=head, of="selection")


def _fold_results(
    recipe: Recipe, pool: Pool, fold: int, seed: int, out: Path, *, done: set[str], console: Console
) -> Iterator[FoldResult]:
    """Train each model without one fold, and yield how well it does on that.

    The models of a fold stay until all are trained, since some are made of others.
    """
    home = out / "unfinished" / f"fold-{fold}"
    splits = fold_splits(pool, recipe.data, fold, seed)
    is_held_out = pool.fold == fold
    held_out, labels = pool.table.take(pa.array(np.flatnonzero(is_held_out))), pool.labels[is_held_out]
    texts = held_out["text"].to_pylist()

    def find(other: str) -> Path:
        return home / "models" / other

    for name, entry in recipe.models.items():
        if not find(name).exists():
            context = TrainingContext(seed, home / "training" / name, resume=True, console=console)
            trained = build(entry, splits, context, find=find)
            save_trained(trained, find(name), excerpt(recipe.model_copy(update={"seed": seed}), name), splits)
        if entry.is_language_model or name in done:
            continue
        predictor = load(find(name))
        probabilities = predictor.predict_proba(texts)
        _write_probabilities(_probabilities_path(out, name, fold), held_out, probabilities)
        with console.status(f"Timing {name}"):
            speed = measure(predictor.predict_proba, texts, seconds=_SPEED_SECONDS)
        yield FoldResult(
            name,
            fold,
            n=len(labels),
            accuracy=float((probabilities.argmax(axis=1) == labels).mean()),
            log_loss=log_loss(labels, probabilities),
            latency_ms_p50=speed.latency_ms_p50,
            size_bytes=predictor.size_bytes,
            parameters=predictor.num_parameters,
            train_seconds=predictor.provenance.train_seconds or 0.0,
        )
    shutil.rmtree(home, ignore_errors=True)
    with suppress(OSError):  # another fold is there
        home.parent.rmdir()


def _probabilities_path(out: Path, model: str, fold: int) -> Path:
    return out / "out-of-fold" / f"fold-{fold}" / f"{model}.parquet"


def _write_probabilities(path: Path, reviews: pa.Table, probabilities: Float32Array) -> None:
    offsets = np.arange(len(probabilities) + 1, dtype=np.int32) * probabilities.shape[1]
    listed = pa.ListArray.from_arrays(offsets, probabilities.ravel())
    with replacing(path) as temporary:
        table = pa.table({"id": reviews["id"], "label": reviews["label"], "probabilities": listed})
        pq.write_table(table, temporary, compression="zstd")


def _read_probabilities(out: Path, model: str, pool: Pool, folds: int) -> Float32Array:
    """Return a model's probabilities for each review of the pool, [N, C]; DataError if a file is missing or damaged."""
    probabilities = np.zeros((len(pool.labels), len(pool.splits.labels)), np.float32)
    for fold in range(1, folds + 1):
        path = _probabilities_path(out, model, fold)
        rows = np.flatnonzero(pool.fold == fold)
        try:
            table = pq.read_table(path)
            if table["id"].to_pylist() != pool.table["id"].take(pa.array(rows)).to_pylist():
                raise ValueError
            listed = table["probabilities"].combine_chunks().flatten().to_numpy()
            probabilities[rows] = listed.reshape(len(rows), -1)
        except (OSError, ValueError, KeyError, pa.ArrowException):
            raise DataError(f"{path}: is missing or not what was written; give another --out") from None
    return probabilities
