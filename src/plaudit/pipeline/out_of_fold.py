"""Soft labels of training reviews by teachers that were trained without them.

A teacher is too sure of a review whose label it has seen. Cross-fitting (Wolpert 1992, "Stacked Generalization")
trains it anew without each of several parts of the training reviews, and lets it speak of the part that it has not
seen. Reviews of one movie, or of one text, are in one part; a language model that others start from stays.

Shapes: N texts, C classes.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rich.console import Console

from plaudit.bundle.folder import load_bundle, read_files
from plaudit.bundle.locate import model_folder
from plaudit.compress.base import Teacher
from plaudit.compress.blend import weigh
from plaudit.compress.distill import label
from plaudit.compress.soft_labels import SoftLabels
from plaudit.compress.transfer import TransferSet
from plaudit.data.folds import deal
from plaudit.data.splits import Splits, text_keys
from plaudit.data.table import SCHEMA
from plaudit.errors import SettingsError
from plaudit.pipeline.build import teacher
from plaudit.pipeline.recipe import ModelRecipe, Recipe, ReportSettings, read_resolved
from plaudit.pipeline.run import has_begun, make_model, write_recipe


def label_out_of_fold(
    recipe: Recipe,
    teachers: Sequence[Teacher],
    splits: Splits,
    transfer: TransferSet,
    *,
    folds: int,
    work: Path,
    console: Console,
) -> SoftLabels:
    """Return soft labels: of each train review by teachers made without its fold, of unlabelled ones by `teachers`.

    `recipe` makes them anew. Each fold's are weighted on validation, as `teachers` are; a variant is in its review's
    fold. What is trained goes to `work`, where a call that was cut short goes on. SettingsError as `weigh` raises it,
    before anything is trained, or if `work` is of another recipe; DataError if there are too few reviews.
    """
    weigh(teachers, splits, None, console=console)  # what it refuses, it refuses now
    # Validation stays whole: it weighs the teachers of every fold.
    fold_of_train = deal(replace(splits, validation=SCHEMA.empty_table()), folds, recipe.seed).fold
    fold = _folds(transfer, splits.train, fold_of_train)
    logits = np.empty((len(transfer), len(splits.labels)), np.float16)
    weights = {}
    for number in np.unique(fold).tolist():
        own, known = teachers, splits
        if number:
            train = splits.train.take(np.flatnonzero(fold_of_train != number))
            digest = f"{splits.digest} without fold {number} of {folds}, seed {recipe.seed}"
            known = replace(splits, train=train, digest=digest)
            console.print(f"fold {number} of {folds}: {len(train):,} train reviews", highlight=False)
            run = work / f"{number}-of-{folds}"
            if not has_begun(recipe, run, resume=True):
                write_recipe(recipe, run)
            for name in recipe.models:
                make_model(recipe, name, known, run, resume=True, console=console)
            own = [teacher(each.name, load_bundle(run / "models" / each.name), known) for each in teachers]
        rows = np.flatnonzero(fold == number)
        soft = label(own, known, transfer.take(rows), weights=None, console=console)
        logits[rows] = soft.logits
        weights[f"without fold {number}" if number else "whole"] = soft.provenance["weights"]
    provenance = {"weights": weights, "folds": folds, "data_digest": splits.digest}
    return SoftLabels(transfer.ids, logits, splits.labels, provenance)


def _folds(transfer: TransferSet, train: pa.Table, fold_of_train: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the fold of each text, int64 [N]: that of the train review it repeats, or 0."""
    reviews = pa.array(transfer.texts[: transfer.num_reviews], train["text"].type)
    keys = text_keys(pa.chunked_array([*train["text"].chunks, reviews])).tolist()
    fold_of_key = dict(zip(keys, fold_of_train.tolist(), strict=False))
    fold_of_review = np.array([fold_of_key.get(key, 0) for key in keys[len(train) :]])
    return fold_of_review[np.arange(len(transfer)) % transfer.num_reviews]


def recipe_of_teachers(folders: Sequence[Path]) -> Recipe:
    """Return the part of a run's recipe that makes these models of its from labels; language models stay as they are.

    SettingsError if they lie in no common run, or if what one is made of knows the labels of all folds.
    """
    folders = [folder.resolve() for folder in folders]
    run = folders[0].parent.parent
    for folder in folders:
        if folder.parent != run / "models" or not (run / "recipe.json").is_file():
            raise SettingsError(
                f"{folder}: --folds trains teachers anew, by the recipe of the one run that they lie in; "
                "give folders such as runs/imdb/models/bow"
            )
    recipe = read_resolved(run / "recipe.json")
    wanted = {folder.name for folder in folders}
    needed: dict[str, ModelRecipe] = {}
    kept: set[str] = set()
    for name, entry in reversed(recipe.models.items()):  # what a model is made of comes before it
        if name in wanted and not entry.is_language_model:
            needed[name] = _made_within(recipe, run, name, entry)
            wanted.update(entry.made_of)
            place = needed[name].pretrained
            if place is not None and place not in recipe.models:
                kept.add(place)
    if missing := sorted({folder.name for folder in folders} - set(needed)):
        raise SettingsError(
            f"{run / 'recipe.json'}: makes no model {missing[0]} that knows labels; give another teacher"
        )
    # By the name, the work that is begun knows when a language model has changed.
    digests = "".join(f", {Path(place).name} {read_files(Path(place))[0].sha256[:12]}" for place in sorted(kept))
    return replace(recipe, name=recipe.name + digests, models=dict(reversed(needed.items())), report=ReportSettings())


def _made_within(recipe: Recipe, run: Path, name: str, entry: ModelRecipe) -> ModelRecipe:
    """Return the entry with the place of the language model it starts with.

    SettingsError if something it is made of stays and has learned from labels.
    """
    folder = run / "models" / name
    if getattr(entry.compress, "soft_labels", None) is not None:
        raise SettingsError(
            f"{folder}: learned from soft labels, which tell of all folds; give teachers that learned from labels, or "
            "leave --folds out"
        )
    for other in entry.made_of:
        if other in recipe.models and not recipe.models[other].is_language_model:
            continue  # it is made anew too
        place = folder.with_name(other) if other in recipe.models else model_folder(other).resolve()
        if not _read_no_labels(place):
            raise SettingsError(
                f"{folder}: is made of {other}, which stays and may know the labels of all folds; make it from labels "
                "in the same recipe, or leave --folds out"
            )
        entry = replace(entry, pretrained=str(place))
    return entry


def _read_no_labels(folder: Path) -> bool:
    """Say whether a model is a language model, and began with none but language models."""
    provenance = read_files(folder)[0].provenance
    if "language_model" not in provenance:
        return False
    (entry,) = provenance["recipe"]["models"].values()
    began_with = entry.get("pretrained")
    if began_with is None:
        return True
    beside = folder.parent / began_with
    return _read_no_labels(beside if beside.is_dir() else model_folder(began_with))
