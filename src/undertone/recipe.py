"""A recipe composes settings and runs the stages: data → train → evaluate → report, each step kept as a file.

    DIR/recipe.json               every setting, defaults included
    DIR/data.json                 what `undertone data inspect` finds
    DIR/models/NAME/              the bundles
    DIR/training/NAME/            metrics.jsonl, checkpoint
    DIR/results.json              one entry a model
    DIR/predictions/NAME.parquet  what each model says of each test review
    DIR/report.html

A step whose file is there is not done again, so a run that was cut short goes on where it was.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field
from rich.console import Console

from undertone.bundle import save_bundle
from undertone.data import DataSettings, load_dataset
from undertone.data.atomic import replacing
from undertone.data.quality import inspect
from undertone.data.split import Splits, prepare
from undertone.errors import MissingExtraError, SettingsError
from undertone.evaluate import evaluate, write_predictions
from undertone.evaluate.results import add_results, read_results
from undertone.models import model_class
from undertone.models.base import ModelSettings
from undertone.predictor import load
from undertone.report import write_report
from undertone.settings import Settings, override, parse, read_toml

if TYPE_CHECKING:
    from undertone.train.settings import TrainSettings


class ReportSettings(Settings):
    """Settings of the report page."""

    excerpt_characters: int = Field(default=300, ge=0)
    """How much of a wrongly judged review the page shows; 0 leaves the texts out."""


class _Tables(Settings):
    """The tables of a recipe file."""

    seed: int = 0
    data: DataSettings
    models: dict[str, dict[str, Any]]
    report: ReportSettings = ReportSettings()


@dataclass(frozen=True)
class ModelRecipe:
    """One model: its settings and, for a torch model, how it is trained."""

    model: ModelSettings
    train: "TrainSettings | None"


@dataclass(frozen=True)
class Recipe:
    """Validated settings of a whole run."""

    name: str
    seed: int
    data: DataSettings
    models: dict[str, ModelRecipe]
    report: ReportSettings

    def resolved(self) -> dict[str, Any]:
        """Return every setting, defaults included, as it stands in recipe.json."""
        models = {}
        for name, entry in self.models.items():
            models[name] = entry.model.model_dump(mode="json")
            if entry.train is not None:
                models[name]["train"] = entry.train.model_dump(mode="json")
        return {
            "name": self.name,
            "seed": self.seed,
            "data": self.data.model_dump(mode="json"),
            "models": models,
            "report": self.report.model_dump(mode="json"),
        }


def read_recipe(path: Path, assignments: Iterable[str] = ()) -> Recipe:
    """Read a TOML recipe and apply `a.b=value` assignments; SettingsError names file and setting."""
    tables = parse(_Tables, override(read_toml(path), assignments), source=str(path))
    if not tables.models:
        raise SettingsError(f'{path}: has no model; add a table such as [models.bow] with kind = "bow"')
    models = {name: _model_recipe(name, values, source=str(path)) for name, values in tables.models.items()}
    return Recipe(path.stem, tables.seed, tables.data, models, tables.report)


def _model_recipe(name: str, values: dict[str, Any], *, source: str) -> ModelRecipe:
    prefix = f"models.{name}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise SettingsError(f"{source}: {prefix}: a model's name takes letters, digits, '.', '-' and '_'")
    if not isinstance(values.get("kind"), str):
        raise SettingsError(f'{source}: {prefix}.kind is missing or no name; for example kind = "bow"')
    values = dict(values)
    train_values = values.pop("train", None)
    try:
        cls = model_class(values["kind"])
    except SettingsError as error:
        raise SettingsError(f"{source}: {prefix}.kind: {error}") from None
    except ModuleNotFoundError as error:
        raise _missing_extra(error) from None
    model = parse(cls.Settings, values, source=source, prefix=prefix)
    try:
        from undertone.train.fit import check_train_table
        from undertone.train.settings import TrainSettings
    except ModuleNotFoundError as error:
        raise _missing_extra(error) from None
    train = None
    if train_values is not None:
        train = parse(TrainSettings, train_values, source=source, prefix=f"{prefix}.train")
    try:
        check_train_table(model, train)
    except SettingsError as error:
        raise SettingsError(f"{source}: {prefix}: {error}") from None
    return ModelRecipe(model, train)


def _missing_extra(error: ModuleNotFoundError) -> MissingExtraError:
    extra = "transformer" if error.name in ("transformers", "tokenizers") else "train"
    return MissingExtraError(f"this recipe needs {error.name}: pip install 'undertone[{extra}]'")


def train(recipe: Recipe, out: Path, *, resume: bool, console: Console) -> Splits:
    """Train every model of a recipe into `out`; SettingsError if `out` holds another run, or one to resume."""
    has_begun = _has_begun(recipe, out, resume=resume)
    console.print(f"[bold]{recipe.name}[/bold]: reading {recipe.data.name}")
    dataset = load_dataset(recipe.data, console=console)
    splits = prepare(dataset, recipe.data)
    if not has_begun:
        _write(out / "recipe.json", json.dumps(recipe.resolved(), indent=1, ensure_ascii=False) + "\n")
        _write(out / "data.json", inspect(dataset).to_json())
    sizes = ", ".join(
        f"{getattr(splits, name).num_rows:,} {name}" for name in ("train", "validation", "test", "unlabelled")
    )
    console.print(f"{sizes}" + "".join(f"; dropped {count:,} {why}" for why, count in splits.dropped.items()))
    for name, entry in recipe.models.items():
        _train_model(recipe, name, entry, splits, out, resume=resume, console=console)
    return splits


def _train_model(
    recipe: Recipe,
    name: str,
    entry: ModelRecipe,
    splits: Splits,
    out: Path,
    *,
    resume: bool,
    console: Console,
) -> None:
    folder = out / "models" / name
    if folder.exists():
        if load(folder).provenance.get("data_digest") != splits.digest:
            raise SettingsError(
                f"{folder}: was trained on other reviews than {splits.name} holds now; give another --out"
            )
        console.print(f"{name}: trained already, {folder}")
        return
    try:
        from undertone.train.fit import fit
    except ModuleNotFoundError as error:
        raise _missing_extra(error) from None
    run_dir = out / "training" / name
    fitted = fit(entry.model, entry.train, splits, seed=recipe.seed, run_dir=run_dir, resume=resume, console=console)
    resolved = recipe.resolved()
    provenance = {
        "recipe": {**resolved, "models": {name: resolved["models"][name]}},
        "seed": recipe.seed,
        "train_seconds": round(fitted.train_seconds, 2),
        "validation_accuracy": round(fitted.validation_accuracy, 5),
        "data_digest": splits.digest,
    }
    save_bundle(fitted.model, folder, provenance=provenance)
    console.print(
        f"{name}: {fitted.validation_accuracy:.2%} of validation after {fitted.train_seconds:,.1f} s, {folder}"
    )


def run(recipe: Recipe, out: Path, *, resume: bool, console: Console) -> Path:
    """Train, score each finished model once on the test split, and write the report; returns its path."""
    splits = train(recipe, out, resume=resume, console=console)
    results_file = out / "results.json"
    scored = {result.model for result in read_results(results_file).results} if results_file.exists() else set()
    for name in recipe.models:
        if name in scored:
            continue
        evaluation = evaluate(
            load(out / "models" / name),
            splits.test,
            label_names=splits.labels,
            model_name=name,
            data_name=splits.name,
            split="test",
            console=console,
        )
        write_predictions(out / "predictions" / f"{name}.parquet", splits.test, evaluation)
        add_results(results_file, [evaluation.result])
    return write_report(out, out / "report.html", excerpt_characters=recipe.report.excerpt_characters)


def _has_begun(recipe: Recipe, out: Path, *, resume: bool) -> bool:
    """Say whether `out` holds models of this very recipe; SettingsError if of another, or if it holds something else.

    Until something is trained, a recipe may still change: settings that turn out wrong leave a folder to use again.
    """
    path = out / "recipe.json"
    found = {entry.name for entry in out.iterdir() if not entry.name.startswith(".")} if out.is_dir() else set()
    if found <= {"recipe.json", "data.json"}:
        return False
    if not path.exists():
        raise SettingsError(f"{out}: is not empty and holds no run; give a new folder as --out")
    if not resume:
        raise SettingsError(f"{out}: holds a run already; go on with it by --resume, or give another --out")
    try:
        before = json.loads(path.read_bytes())
    except ValueError:
        raise SettingsError(f"{path}: damaged, not JSON; give another --out") from None
    changed = _first_difference(before, recipe.resolved())
    if changed is not None:
        raise SettingsError(f"{out}: its run began with another {changed}; undo that, or give another --out")
    return True


def _first_difference(before: Any, now: Any, path: str = "") -> str | None:  # noqa: ANN401
    if isinstance(before, dict) and isinstance(now, dict):
        for name in [*before, *(name for name in now if name not in before)]:
            difference = _first_difference(before.get(name), now.get(name), f"{path}.{name}" if path else name)
            if difference is not None:
                return difference
        return None
    return None if before == now else f"{path} ({before!r}, now {now!r})"


def _write(path: Path, text: str) -> None:
    with replacing(path, hint="give a folder with room as --out") as temporary:
        temporary.write_text(text, encoding="utf-8")
