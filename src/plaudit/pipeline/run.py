"""A run does what a recipe says: data → train → compress → evaluate → report, each step kept as a file.

    DIR/recipe.json               every setting, defaults included
    DIR/data.json                 what `plaudit data inspect` finds
    DIR/models/NAME/              the bundles, each with its model card
    DIR/training/NAME/            metrics.jsonl, checkpoint, soft labels
    DIR/results.json              one entry a model
    DIR/predictions/NAME.parquet  each model's predictions for the test reviews
    DIR/analysis.json             where each model errs, and which differences between models are real
    DIR/robustness.json           robustness of the models named in the recipe's report table
    DIR/errors.json               mistakes of the model named there
    DIR/words.json                the words that count most in the best bag of n-grams
    DIR/report.html, report.pdf

A step whose file exists is skipped, so an interrupted run resumes where it stopped.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape

from plaudit import storage
from plaudit.bundle.folder import CARD, read_files, save_bundle
from plaudit.bundle.locate import model_folder
from plaudit.bundle.trained import Provenance, RecipeExcerpt, TrainedModel
from plaudit.data.load import load_dataset
from plaudit.data.quality.report import inspect, unspaced_share, unspaced_warning
from plaudit.data.splits import Splits, prepare
from plaudit.distributed.world import current, has_others
from plaudit.errors import SettingsError
from plaudit.evaluate.analysis import analyze, write_analysis
from plaudit.evaluate.card import write_card
from plaudit.evaluate.errors.mistakes import find_errors, write_errors
from plaudit.evaluate.predictions import read_predictions, write_predictions
from plaudit.evaluate.results import add_results, read_results
from plaudit.evaluate.robustness.datasets import Reviews, find_sets_folder
from plaudit.evaluate.robustness.results import add_robustness, read_robustness
from plaudit.evaluate.robustness.run import robustness
from plaudit.evaluate.score import evaluate
from plaudit.evaluate.words import deciding_words, exact_part, write_words
from plaudit.pipeline.baselines import BASELINES, fit_baseline
from plaudit.pipeline.build import build
from plaudit.pipeline.recipe import LanguageModel, ModelRecipe, NewModel, Recipe, SmallerModel
from plaudit.predictor import load
from plaudit.report.write import write_report
from plaudit.storage import write_text
from plaudit.train.context import TrainingContext
from plaudit.train.labels import labels_of

_BEFORE_TRAINING = {"recipe.json", "data.json", "ranks", "recipe.toml", "choice.json"}
"""What a folder may hold before anything is trained."""

_BASELINE_SPEED_SECONDS = 0.2
"""What a baseline's speed is measured for: it matters less than the models'."""

NUM_ERRORS = 50
"""Length of each list of errors.json."""
NUM_WORDS = 30
"""Words of each label in words.json."""


def train(recipe: Recipe, out: Path, *, resume: bool, console: Console, wanted: Sequence[str] | None = None) -> Splits:
    """Train models of a recipe into `out`, all unless `wanted` names some.

    SettingsError if `out` holds another run, or one to resume.
    """
    is_begun = has_begun(recipe, out, resume=resume)
    for entry in recipe.models.values():
        for other in entry.made_of:
            if other not in recipe.models:
                model_folder(other)  # report a wrong name now, not after hours of training
    console.print(f"[bold]{recipe.name}[/bold]: reading {recipe.data.name}")
    world = current()
    with world.first_before_others("reading"):  # it may have to fetch and encode the reviews
        dataset = load_dataset(recipe.data, console=console)
    splits = prepare(dataset, recipe.data)
    if not is_begun and world.is_first:
        write_recipe(recipe, out)
        write_text(out / "data.json", inspect(dataset).to_json())
    sizes = ", ".join(
        f"{getattr(splits, name).num_rows:,} {name}" for name in ("train", "validation", "test", "unlabelled")
    )
    console.print(f"{sizes}" + "".join(f"; dropped {count:,} {why}" for why, count in splits.dropped.items()))

    unspaced = unspaced_share(splits.train["text"])

    def find(other: str) -> Path:
        return out / "models" / other if other in recipe.models else model_folder(other)

    for name in recipe.models if wanted is None else wanted:
        if _is_trained(find(name), splits):
            console.print(f"{name}: trained already, {find(name)}")
            continue
        if _needs_words(recipe.models[name]) and (warning := unspaced_warning(unspaced, model=name)):
            console.print(f"{name}: {warning}", highlight=False, markup=False, soft_wrap=True)
        if world.is_first or _shares_work(recipe.models[name]):
            context = TrainingContext(recipe.seed, out / "training" / name, resume, console)
            trained = build(recipe.models[name], splits, context, find=find)
            if world.is_first:
                save_trained(trained, find(name), excerpt(recipe, name), splits)
            console.print(f"{name}: {_figures(trained.provenance, splits)}, {find(name)}")
        world.wait_for_first(f"model {name}")
    return splits


def write_recipe(recipe: Recipe, out: Path) -> None:
    """Write recipe.json, by which `has_begun` knows a run's recipe; OutputError if it cannot be written."""
    write_text(out / "recipe.json", json.dumps(recipe.resolved(), indent=1, ensure_ascii=False) + "\n")


def _shares_work(entry: ModelRecipe) -> bool:
    """Say whether many ranks can make such a model together; other kinds the first one makes for all."""
    return isinstance(entry, LanguageModel | SmallerModel) or (isinstance(entry, NewModel) and entry.train is not None)


def _is_trained(folder: Path, splits: Splits) -> bool:
    """Say whether a model is there; SettingsError if it learned from other reviews."""
    if not folder.exists():
        return False
    if read_files(folder)[0].provenance.data_digest != splits.digest:
        raise SettingsError(f"{folder}: was trained on other reviews than {splits.name} holds now; give another --out")
    return True


def _needs_words(entry: ModelRecipe) -> bool:
    """Say whether such a model learns words alone, rather than n-grams of characters or from other models too."""
    return isinstance(entry, NewModel) and entry.start is None and not getattr(entry.model, "characters", 0)


def _figures(provenance: Provenance, splits: Splits) -> str:
    if provenance.language_model is not None:
        reached = f"perplexity {provenance.language_model.perplexity:,.1f} on validation"
    else:
        reached = f"{provenance.validation_accuracy:.2%} accuracy on validation ({_always(splits)})"
    return f"{reached} after {provenance.train_seconds:,.1f} s"


def _always(splits: Splits) -> str:
    """Say how often the most frequent label of validation is right."""
    counts = np.bincount(labels_of(splits.validation), minlength=len(splits.labels))
    return f"{counts.max() / counts.sum():.2%} by always answering {escape(splits.labels[counts.argmax()])}"


def excerpt(recipe: Recipe, name: str) -> RecipeExcerpt:
    """Return the part of a recipe that makes one of its models."""
    data = recipe.data.model_dump(mode="json")
    return RecipeExcerpt(name=recipe.name, seed=recipe.seed, data=data, models={name: recipe.models[name].resolved()})


def save_trained(trained: TrainedModel, folder: Path, recipe: RecipeExcerpt, splits: Splits) -> None:
    """Write a bundle that records which recipe and reviews it comes from."""
    save_bundle(trained.with_provenance(recipe=recipe, data_digest=splits.digest), folder)


def run(recipe: Recipe, out: Path, *, resume: bool, console: Console) -> Path:
    """Train, score each finished model once on the test split, and write the report; returns its path."""
    if has_others():
        raise SettingsError("ranks only train: use plaudit launch, and then plaudit run --resume in one process")
    finished = [name for name, entry in recipe.models.items() if not entry.is_language_model]
    if not finished:
        raise SettingsError(f"{recipe.name}: has only language models, which cannot be scored; use plaudit train")
    splits = train(recipe, out, resume=resume, console=console)
    results_file = out / "results.json"
    scored = {result.model for result in read_results(results_file).results} if results_file.exists() else set()
    baselines = BASELINES if recipe.report.baselines else ()
    for name in (*finished, *baselines):
        if name in scored:
            continue
        evaluation = evaluate(
            fit_baseline(name, splits) if name in baselines else load(out / "models" / name),
            splits.test,
            label_names=splits.labels,
            model_name=name,
            data_name=splits.name,
            split="test",
            console=console,
            **({"speed_seconds": _BASELINE_SPEED_SECONDS} if name in baselines else {}),
        )
        write_predictions(out / "predictions" / f"{name}.parquet", splits.test, evaluation)
        add_results(results_file, [evaluation.result])
    if not (scored.issuperset((*finished, *baselines)) and (out / "analysis.json").exists()):
        judged = [read_predictions(out / "predictions" / f"{name}.parquet") for name in (*finished, *baselines)]
        with console.status("comparing models"):
            write_analysis(out / "analysis.json", analyze(judged, splits.test, data=splits.name, split="test"))
    for result in read_results(results_file).results:
        if result.model in finished and not (out / "models" / result.model / CARD).exists():
            folder = out / "models" / result.model
            write_card(folder, result.model, [result], address=folder.as_posix())
    _explain(splits, [name for name in finished if name not in scored], out, console)
    _probe(recipe, splits, out, console)
    return write_report(out, out / "report.html", excerpt_characters=recipe.report.excerpt_characters)


def _probe(recipe: Recipe, splits: Splits, out: Path, console: Console) -> None:
    """Test the models that the recipe's report table names, and look into one's mistakes, unless that is done."""
    path = out / "robustness.json"
    tested = {entry.model for entry in read_robustness(path).models} if path.exists() else set()
    wanted = {name: load(out / "models" / name) for name in recipe.report.robustness if name not in tested}
    if wanted:
        names = [splits.labels[i] for i in splits.test["label"].to_pylist()]
        reviews = Reviews(splits.test["text"].to_pylist(), names, f"{splits.name}, test")
        found = robustness(wanted, sets=find_sets_folder(None), files=(), perturbed=reviews, console=console)
        add_robustness(path, found)
    if recipe.report.errors is not None and not (out / "errors.json").exists():
        errors = find_errors(
            load(out / "models" / recipe.report.errors),
            splits.test,
            splits.train,
            label_names=splits.labels,
            model_name=recipe.report.errors,
            data_name=splits.name,
            split="test",
            top=NUM_ERRORS,
            console=console,
        )
        write_errors(out / "errors.json", errors)


def _explain(splits: Splits, new: Sequence[str], out: Path, console: Console) -> None:
    """Write the words that decide in the most accurate model with exact contributions, if any, unless that is done."""
    if not new and (out / "words.json").exists():
        return
    results = [result for result in read_results(out / "results.json").results if result.split == "test"]
    for result in sorted(results, key=lambda result: -result.accuracy):
        folder = out / "models" / result.model
        if folder.exists() and exact_part(model := load(folder).model) is not None:
            texts = splits.train["text"].to_pylist()
            words = deciding_words(
                model, texts, model_name=result.model, data_name=splits.name, top=NUM_WORDS, console=console
            )
            write_words(out / "words.json", words)
            return


def has_begun(recipe: Recipe, out: Path, *, resume: bool) -> bool:
    """Say whether `out` holds models of this very recipe; SettingsError if of another, or if it holds something else.

    Until something is trained, a recipe may still change: settings that turn out wrong leave a folder to use again.
    """
    path = out / "recipe.json"
    if not storage.has_begun(out, path.name, of="run", resume=resume, ignored=_BEFORE_TRAINING):
        return False
    try:
        before = {**json.loads(path.read_bytes())}
    except (ValueError, TypeError):
        raise SettingsError(f"{path}: damaged, not JSON; give another --out") from None
    # What a report shows may change: it is written again each time.
    storage.refuse_change(out, {**before, "report": None}, {**recipe.resolved(), "report": None}, of="run")
    return True
