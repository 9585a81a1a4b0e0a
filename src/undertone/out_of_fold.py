"""Soft labels of training reviews by teachers that were trained without them.

A teacher says too surely of a review what it was told of it. Cross-fitting (Wolpert 1992, "Stacked Generalization")
trains it anew without each of several parts of the training reviews, and lets it speak of the part that it has not
seen. Reviews of one movie, or of one text, are in one part; what a language model read without labels stays.

Shapes: N texts, C classes.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from undertone.bundle import load_bundle, read_files
from undertone.compress.distill import label
from undertone.compress.soft_labels import SoftLabels
from undertone.compress.transfer import TransferSet
from undertone.data.folds import deal
from undertone.data.split import Splits
from undertone.data.table import SCHEMA
from undertone.errors import SettingsError
from undertone.predictor import model_folder
from undertone.recipe import ModelRecipe, Recipe, read_resolved
from undertone.runs import has_begun, make_model, write_recipe
from undertone.steps import teacher


def label_out_of_fold(
    folders: Sequence[Path], splits: Splits, transfer: TransferSet, *, folds: int, work: Path, console: Console
) -> SoftLabels:
    """Return soft labels: of unlabelled reviews by the teachers in `folders`, of train's by such without their fold.

    Each fold's teachers are weighted on validation, as the teachers are; a variant is in its review's fold. What is
    trained goes to `work`, where a call that was cut short goes on. SettingsError if the teachers lie in no common run,
    or would learn of a fold's labels all the same.
    """
    recipe = without_language_models(folders)
    pool = deal(replace(splits, validation=SCHEMA.empty_table()), folds, recipe.seed)
    fold_of_id = dict(zip(splits.train["id"].to_pylist(), pool.fold.tolist(), strict=True))
    fold_of_review = np.array([fold_of_id.get(id, 0) for id in transfer.ids[: transfer.num_reviews]])  # 0: unlabelled
    fold_of_text = fold_of_review[np.arange(len(transfer)) % transfer.num_reviews]
    logits = np.empty((len(transfer), len(splits.labels)), np.float16)
    weights = {}
    for fold in np.unique(fold_of_text).tolist():
        rows = np.flatnonzero(fold_of_text == fold)
        known, places = splits, list(folders)
        if fold:
            run = work / f"{fold}-of-{folds}"
            train = splits.train.take(np.flatnonzero(pool.fold != fold))
            known = replace(splits, train=train, digest=f"{splits.digest} without fold {fold} of {folds}")
            console.print(f"fold {fold} of {folds}: {len(train):,} train reviews", highlight=False)
            if not has_begun(recipe, run, resume=True):
                write_recipe(recipe, run)
            for name in recipe.models:
                make_model(recipe, name, known, run, resume=True, console=console)
            places = [run / "models" / folder.name for folder in folders]
        teachers = [teacher(place.name, load_bundle(place), known) for place in places]
        soft = label(teachers, known, transfer.take(rows), weights=None, console=console)
        logits[rows] = soft.logits
        weights[f"without fold {fold}" if fold else "whole"] = soft.provenance["weights"]
    provenance = {"weights": weights, "folds": folds, "data_digest": splits.digest}
    return SoftLabels(transfer.ids, logits, splits.labels, provenance)


def without_language_models(folders: Sequence[Path]) -> Recipe:
    """Return what of their run's recipe makes these models anew from labels; language models stay as they are.

    SettingsError if they lie in no common run, or if what they are made of knows the labels of reviews left out.
    """
    run = folders[0].parent.parent
    for folder in folders:
        if folder.parent.name != "models" or folder.parent.parent != run:
            raise SettingsError(
                f"{folder}: --folds trains teachers anew, by the recipe of the one run that they lie in; "
                "give folders such as runs/imdb/models/bow"
            )
    recipe = read_resolved(run / "recipe.json")
    wanted = {folder.name for folder in folders}
    needed: dict[str, ModelRecipe] = {}
    for name, entry in reversed(recipe.models.items()):  # what a model is made of comes before it
        if name in wanted and not entry.is_language_model:
            needed[name] = _made_within(recipe, run, name, entry)
            wanted.update(entry.made_of)
    if missing := sorted({folder.name for folder in folders} - set(needed)):
        raise SettingsError(
            f"{run / 'recipe.json'}: makes no model {missing[0]} that knows labels; give another teacher"
        )
    return replace(recipe, models=dict(reversed(needed.items())))


def _made_within(recipe: Recipe, run: Path, name: str, entry: ModelRecipe) -> ModelRecipe:
    """Return the entry with the place of the language model it starts with; SettingsError if it knows every label."""
    folder = run / "models" / name
    if getattr(entry.compress, "soft_labels", None) is not None:
        raise SettingsError(
            f"{folder}: learned from soft labels, which tell of all folds; give teachers that learned from labels, or "
            "leave --folds out"
        )
    for other in entry.made_of:
        if other in recipe.models:
            if recipe.models[other].is_language_model:
                entry = replace(entry, pretrained=str(run / "models" / other))
        elif "language_model" not in read_files(model_folder(other))[0].provenance:
            raise SettingsError(
                f"{folder}: is made of {other}, which lies outside of its run and may know the labels of all folds; "
                "make both by one recipe, or leave --folds out"
            )
    return entry
