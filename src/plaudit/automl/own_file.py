"""`plaudit train FILE`: chooses how to classify a file's texts, writes that as a recipe, and runs it.

OUT/recipe.toml     the recipe that trains the same model again
OUT/choice.json     the candidates, and how each did in cross-validation
OUT/…               what `plaudit run` writes: the model, its results beside the baselines', and the report
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from plaudit.automl.candidates import Candidate
from plaudit.automl.choose import BUDGET_SECONDS, STARTS, Choice, choose
from plaudit.bundle.folder import load_bundle
from plaudit.bundle.locate import model_folder
from plaudit.console import needs_extra
from plaudit.data.columns import usual_column
from plaudit.data.formats.open import column_names, options_for
from plaudit.data.load import DATASETS, DataSettings, load_dataset
from plaudit.data.source_files import printable
from plaudit.data.splits import Splits, label_ids, prepare, text_keys, units
from plaudit.errors import DataError, SettingsError
from plaudit.evaluate.results import Result, read_results
from plaudit.pipeline import run as runs
from plaudit.pipeline.recipe import read_recipe
from plaudit.settings import parse
from plaudit.storage import write_text
from plaudit.train.labels import labels_of

MODEL = "model"
"""The name of the model in the recipe, and of its folder."""

_FEW_TEXTS = 2_000


@dataclass(frozen=True)
class Trained:
    """What came of a file."""

    folder: Path
    """Of the model."""
    report: Path
    result: Result
    baselines: tuple[Result, ...]
    choice: dict[str, Any]
    """The content of choice.json."""


def train_file(
    data: dict[str, Any],
    out: Path,
    *,
    starts: Sequence[str] = STARTS,
    budget_seconds: float = BUDGET_SECONDS,
    seed: int = 0,
    resume: bool = False,
    console: Console,
) -> Trained:
    """Choose, train, score once and report; `data` are settings of the texts, as in a recipe's table.

    SettingsError if `out` holds something already and is not to be resumed, DataError if the file cannot be used.
    """
    for name in (data["name"], data.get("test_file"), data.get("unlabelled_file")):
        if name is not None and printable(name) != name:
            raise DataError(f"{printable(name)}: this name is not UTF-8, so that no recipe can have it; rename it")
    recipe_file = out / "recipe.toml"
    if not (resume and recipe_file.exists()):
        if out.exists() and any(out.iterdir()):
            hint = "resume it with --resume, or " if recipe_file.exists() else ""
            raise SettingsError(f"{out}: exists already; {hint}give another --out")
        with needs_extra("train", "writing a recipe"):
            import tomli_w
        settings, splits = _read(data, seed, console)
        choice = choose_for(splits, starts=starts, budget_seconds=budget_seconds, seed=seed, console=console)
        tables = {
            "seed": seed,
            "data": settings.model_dump(mode="json", exclude_defaults=True),
            "models": {MODEL: model_table(choice.best.chosen())},
            "report": {"baselines": True},
        }
        write_text(out / "choice.json", json.dumps(described(choice), indent=1) + "\n")
        tried = f"# Chosen by cross-validation of {len(choice.trials)} candidates"
        heading = f"{tried}: {choice.best.candidate.described()}\n"
        write_text(recipe_file, heading + tomli_w.dumps(tables))
    recipe = read_recipe(recipe_file).model_copy(update={"name": out.name})
    page = runs.run(recipe, out, resume=True, console=console)
    by_name = {result.model: result for result in read_results(out / "results.json").results}
    chosen = json.loads((out / "choice.json").read_text(encoding="utf-8"))
    baselines = tuple(result for name, result in by_name.items() if name != MODEL)
    return Trained(out / "models" / MODEL, page, by_name[MODEL], baselines, chosen)


def choose_for(splits: Splits, *, starts: Sequence[str], budget_seconds: float, seed: int, console: Console) -> Choice:
    """Choose by train and validation; the test split is never read."""
    table = pa.concat_tables([splits.train, splits.validation])
    # A model of these very texts would know the answers.
    starts = [name for name in starts if load_bundle(model_folder(name)).provenance.data_digest != splits.digest]
    return choose(
        table["text"].to_pylist(),
        labels_of(table),
        splits.labels,
        units(table, text_keys(table["text"])),
        unlabelled=splits.unlabelled["text"].to_pylist(),
        starts=starts,
        budget_seconds=budget_seconds,
        seed=seed,
        console=console,
    )


def model_table(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as the table of a recipe, without what is the default anyway."""
    settings = candidate.settings.model_dump(mode="json", exclude_defaults=True, exclude={"kind"})
    table: dict[str, Any] = {"kind": candidate.settings.kind, **settings}
    if candidate.start is not None:
        table |= {"start": candidate.start, "start_strength": candidate.strength}
    if candidate.self_training:
        table["self_training"] = candidate.self_training
    return table


def described(choice: Choice) -> dict[str, Any]:
    """Return a choice as it stands in choice.json."""
    return {
        "num_texts": choice.num_texts,
        "num_folds": choice.num_folds,
        "stopped_by_budget": choice.stopped,
        "candidates": [
            {
                "candidate": trial.candidate.described(),
                "chosen": trial is choice.best,
                "accuracy": round(trial.accuracy, 5),
                "log_loss": round(trial.log_loss, 5),
                "temperature": round(trial.temperature, 3),
                "seconds": round(trial.seconds, 2),
                "table": model_table(trial.candidate),
            }
            for trial in choice.trials
        ],
    }


def _read(data: dict[str, Any], seed: int, console: Console) -> tuple[DataSettings, Splits]:
    """Return the texts in their splits, and the settings of that: a larger test split where texts are few."""
    settings = parse(DataSettings, {**data, "seed": seed}, source=str(data.get("name")))
    dataset = load_dataset(settings, console=console)
    counts = np.bincount(label_ids(dataset.table) + 1, minlength=len(dataset.labels) + 1)[1:]
    classes = ", ".join(f"{name} {count:,}" for name, count in zip(dataset.labels, counts, strict=True))
    found = f"{dataset.name}: {_columns(settings)}{counts.sum():,} labelled texts: {classes}"
    console.print(found, highlight=False, markup=False, soft_wrap=True)
    if len(dataset.table) < _FEW_TEXTS and "test_fraction" not in data:
        settings = settings.model_copy(update={"test_fraction": 0.2})
    return settings, prepare(dataset, settings)


def _columns(settings: DataSettings) -> str:
    """Return which columns of a single file are text and label, as far as they had to be found; else nothing."""
    path = Path(settings.name)
    if settings.name in DATASETS or not path.is_file():
        return ""
    options = options_for(path, settings.read_options(), text=settings.text_column, label=settings.label_column)
    names = column_names(path, options)
    text = settings.text_column or usual_column(names, "text")
    label = settings.label_column or usual_column(names, "label")
    return f"text in column {text!r}, labels in column {label!r}; "
