"""`plaudit select`: a recipe's models compared on reviews by cross-validation, and one of them recommended.

    OUT/folds.jsonl                        what was begun, then one row a model and fold, as soon as it is measured
    OUT/out-of-fold/fold-K/NAME.parquet    what a model says of the reviews that it was not shown
    OUT/select.json                        the comparison

Train and validation are one pool here; the test split is never read. A fold's reviews judge models that were trained
on the rest, out of which a validation part was taken for whatever training chooses: the judge chooses nothing. What
must not be torn apart, a movie or a text, is in one fold, and in one draw of the bootstrap.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
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
from plaudit.pipeline.recipe import Recipe, missing_extra
from plaudit.pipeline.run import excerpt, save_trained
from plaudit.predictor import load
from plaudit.search.choice import FORMAT, Candidate, Constraints, Row, Selection, choose
from plaudit.storage import append_row, begin_journal, read_journal, replacing
from plaudit.train.context import TrainingContext

__all__ = ["Candidate", "Constraints", "Selection", "select"]

ROWS_NAME = "folds.jsonl"
_SPEED_SECONDS = 0.3
_HINT = "give a folder with room as --out"


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
    """Compare the models of a recipe by cross-validation and write `out`; a resumed one does only what is missing.

    `seed` decides the folds, the validation parts, training and the bootstrap. SettingsError if a model is made of
    something that may have read its judges, or `out` holds another comparison; DataError if there are too few reviews.
    """
    if folds < 2:
        raise SettingsError(f"--folds {folds}: give 2 or more")
    _refuse_outsiders(recipe)
    console.print(f"[bold]{recipe.name}[/bold]: reading {recipe.data.name}")
    splits = prepare(load_dataset(recipe.data, console=console), recipe.data)
    head = {
        "format": FORMAT,
        "recipe": recipe.resolved(),
        "data_digest": splits.digest,
        "folds": folds,
        "seed": seed,
    }
    rows = _read(out / ROWS_NAME, head, resume=resume)
    pool = assign_folds(splits, folds, seed)
    names = [name for name, entry in recipe.models.items() if not entry.is_language_model]
    console.print(f"{len(pool.labels):,} reviews in {pool.unit.max() + 1:,} groups, {folds} folds, {len(names)} models")
    begin_journal(out / ROWS_NAME, head)
    for fold in range(1, folds + 1):
        done = {row.model for row in rows if row.fold == fold}
        if set(names) <= done:
            continue
        for row in _fold_rows(recipe, pool, fold, seed, out, done=done, console=console):
            rows.append(row)
            append_row(out / ROWS_NAME, asdict(row))
            console.print(
                f"{len(rows)}/{folds * len(names)}: {row.model}, fold {fold} of {folds}: {row.accuracy:.2%}, "
                f"{row.latency_ms_p50:.2f} ms, {row.size_bytes / 1e6:.2f} MB after {row.train_seconds:,.1f} s",
                highlight=False,
            )
    probabilities = {name: _out_of_fold(out, name, pool, folds) for name in names}
    provenance = {**head, "cpu": cpu_name(), "commit": code_version()}
    with console.status(f"Drawing {NUM_DRAWS:,} other samples of reviews"):
        selection = choose(rows, probabilities, pool, constraints, seed=seed, provenance=provenance)
    with replacing(out / "select.json", hint=_HINT) as temporary:
        temporary.write_text(json.dumps(selection.as_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return selection


def _refuse_outsiders(recipe: Recipe) -> None:
    """Raise SettingsError if a model takes something from outside of the recipe that may have read its judges."""
    if all(entry.is_language_model for entry in recipe.models.values()):
        raise SettingsError(f"{recipe.name}: has language models only, which judge nothing; add a model with labels")
    for name, entry in recipe.models.items():
        outside = [other for other in entry.made_of if other not in recipe.models]
        soft_labels = getattr(entry.compress, "soft_labels", None)
        if soft_labels is not None:
            outside.append(str(soft_labels))
        if outside:
            raise SettingsError(
                f"{recipe.name}: models.{name} is made of {outside[0]}, which may have learned from the very reviews "
                "that judge here; put what makes it into the recipe"
            )


def _fold_rows(
    recipe: Recipe, pool: Pool, fold: int, seed: int, out: Path, *, done: set[str], console: Console
) -> Iterator[Row]:
    """Make each model of one fold, let it judge the fold's reviews, and yield how well it did.

    Models lie in a folder that goes when all are made, since some are made of others.
    """
    home = out / "unfinished" / f"fold-{fold}"
    splits = fold_splits(pool, recipe.data, fold, seed)
    judges = pool.table.take(pa.array(np.flatnonzero(pool.fold == fold)))
    labels, texts = pool.labels[pool.fold == fold], judges["text"].to_pylist()

    def find(other: str) -> Path:
        return home / "models" / other

    for name, entry in recipe.models.items():
        if not find(name).exists():
            context = TrainingContext(seed, home / "training" / name, resume=True, console=console)
            try:
                trained = build(entry, splits, context, find=find)
            except ModuleNotFoundError as error:
                raise missing_extra(error) from None
            save_trained(trained, find(name), excerpt(replace(recipe, seed=seed), name), splits)
        if entry.is_language_model or name in done:
            continue
        predictor = load(find(name))
        probabilities = predictor.predict_proba(texts)
        _write_probabilities(_probabilities_path(out, name, fold), judges, probabilities)
        with console.status(f"Timing {name}"):
            speed = measure(predictor.predict_proba, texts, seconds=_SPEED_SECONDS)
        yield Row(
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
    with suppress(OSError):  # another fold lies there
        home.parent.rmdir()


def _probabilities_path(out: Path, model: str, fold: int) -> Path:
    return out / "out-of-fold" / f"fold-{fold}" / f"{model}.parquet"


def _write_probabilities(path: Path, judges: pa.Table, probabilities: Float32Array) -> None:
    offsets = np.arange(len(probabilities) + 1, dtype=np.int32) * probabilities.shape[1]
    listed = pa.ListArray.from_arrays(offsets, probabilities.ravel())
    with replacing(path, hint=_HINT) as temporary:
        table = pa.table({"id": judges["id"], "label": judges["label"], "probabilities": listed})
        pq.write_table(table, temporary, compression="zstd")


def _out_of_fold(out: Path, model: str, pool: Pool, folds: int) -> Float32Array:
    """Return what a model says of each review of the pool, float32 [N, C]; DataError if a file is not what it was."""
    said = np.zeros((len(pool.labels), len(pool.splits.labels)), np.float32)
    for fold in range(1, folds + 1):
        path = _probabilities_path(out, model, fold)
        judges = np.flatnonzero(pool.fold == fold)
        try:
            table = pq.read_table(path)
            listed = table["probabilities"].combine_chunks().flatten().to_numpy().reshape(len(judges), -1)
            if table["id"].to_pylist() != pool.table["id"].take(pa.array(judges)).to_pylist():
                raise ValueError
            said[judges] = listed
        except (OSError, ValueError, KeyError, pa.ArrowException):
            raise DataError(f"{path}: is gone or not what was written; give another --out") from None
    return said


def _read(path: Path, head: Mapping[str, Any], *, resume: bool) -> list[Row]:
    out = path.parent
    if out.is_dir() and any(not each.name.startswith(".") for each in out.iterdir()):
        if not path.exists():
            raise SettingsError(f"{out}: is not empty and holds no selection; give a new folder as --out")
        if not resume:
            raise SettingsError(f"{out}: holds a selection already; go on with it by --resume, or give another --out")
    rows, changed = read_journal(path, Row, head=head, of="selection")
    if changed is not None:
        raise SettingsError(f"{path}: began with another {changed.replace('_', ' ')}; undo that, or give another --out")
    return rows
