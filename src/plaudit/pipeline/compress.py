"""`plaudit compress`: one compression step outside of a recipe, and the sweep over many of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from plaudit.bundle.folder import load_bundle, load_trainable, read_files
from plaudit.bundle.locate import model_folder, shipped_models
from plaudit.bundle.names import distinct_names
from plaudit.bundle.trained import RecipeExcerpt
from plaudit.compress.methods import COMPRESSORS, compressor
from plaudit.console import needs_extra
from plaudit.data.load import DataSettings, load_dataset
from plaudit.data.splits import Splits, prepare
from plaudit.errors import SettingsError
from plaudit.pipeline.build import build, teacher
from plaudit.pipeline.recipe import ModelRecipe, NewModel, SmallerModel, model_recipe, read_recipe
from plaudit.pipeline.run import save_trained
from plaudit.pipeline.shipped import shipped_recipes
from plaudit.predictor import load
from plaudit.settings import override, parse, unknown_name
from plaudit.train.context import TrainingContext


@dataclass(frozen=True)
class Task:
    """One step: what to make of which model, from which reviews."""

    name: str
    entry: ModelRecipe
    data: DataSettings
    seed: int

    def splits(self, console: Console) -> Splits:
        """Return the reviews, split as for training."""
        return prepare(load_dataset(self.data, console=console), self.data)

    def recipe(self) -> RecipeExcerpt:
        """Return what the bundle records of how it was made."""
        data, models = self.data.model_dump(mode="json"), {self.name: self.entry.resolved()}
        return RecipeExcerpt(name=self.name, seed=self.seed, data=data, models=models)


def plan(
    model: str,
    method: str,
    options: Mapping[str, Any],
    assignments: Iterable[str],
    *,
    data: str | None,
    seed: int | None,
) -> Task:
    """Check a step before anything is read or trained; SettingsError names the option that is wrong.

    `options` are settings of the method with an option of their own, `assignments` are `a.b=value` for the others.
    """
    with needs_extra("train", "compress"):
        compressor(method)  # an unknown method or a missing extra is reported first
        settings = parse(COMPRESSORS[method], override(dict(options), assignments), source=f"--method {method}")
        entry: ModelRecipe
        if method == "distill":
            student, reviews, own_seed = _student(model)
            seed = own_seed if seed is None else seed
            entry = student.model_copy(update={"distill": settings})
        else:
            reviews = load_trainable(model_folder(model)).provenance.data
            entry = SmallerModel.model_validate({"from": model, method: settings})
    if data is None and not reviews:
        raise SettingsError(f"{model}: does not record which reviews it was trained on; name some with --data")
    return Task(Path(model).stem, entry, _reviews(reviews, data), seed or 0)


def _reviews(known: Mapping[str, Any] | None, data: str | None) -> DataSettings:
    """Return the settings of the reviews `data`: those that a model learned by, if it learned from them."""
    values = known if known and data in (None, known["name"]) else {"name": data}
    return parse(DataSettings, values, source="--data")


def _student(model: str) -> tuple[NewModel, dict[str, Any] | None, int]:
    """Return a student, its reviews and its seed: those of a recipe's only model, or of a trained model."""
    if _is_recipe(model):
        recipe = read_recipe(model)
        students = [entry for entry in recipe.models.values() if isinstance(entry, NewModel)]
        if len(recipe.models) != 1 or not students:
            raise SettingsError(f"{model}: a student's recipe has one new model; this has {len(recipe.models)} models")
        if students[0].distill is not None:
            raise SettingsError(f"{model}: has a distill table; use plaudit train {model}, or take that table out")
        if students[0].objective is not None:
            raise SettingsError(f"{model}: objective has no effect on a student; use --set objective.losses=...")
        return students[0], recipe.data.model_dump(mode="json"), recipe.seed
    bundle = load_trainable(model_folder(model))
    table = bundle.model.settings.model_dump(mode="json")
    if bundle.provenance.train is not None:
        table["train"] = bundle.provenance.train
    student = model_recipe("student", table, source=model)
    if not isinstance(student, NewModel):
        raise SettingsError(f"{model}: is an ensemble, which cannot be a student; give a model of another kind")
    return student, bundle.provenance.data, 0


def _is_recipe(student: str) -> bool:
    """Say whether a recipe is meant; a shipped model goes before a shipped recipe of the same name."""
    if student.endswith(".toml"):
        return True
    if student in shipped_models() or student.startswith("hf://") or Path(student).is_dir():
        return False
    if Path(student).exists() or student in shipped_recipes():
        return True
    known = [*shipped_models(), *shipped_recipes()]
    raise SettingsError(f"{student} {unknown_name(student, known)}; or give a model folder or the path of a recipe")


def compress(task: Task, out: Path, *, resume: bool, console: Console) -> dict[str, Any]:
    """Do the step, save the model as `out`, and return the step's record in its bundle.

    Metrics and checkpoints of training are in a folder next to `out`, whose name ends in `.training`.
    """
    if out.exists():
        raise SettingsError(f"{out}: exists already; give a new folder as --out")
    splits = task.splits(console)
    context = TrainingContext(task.seed, out.with_name(f"{out.name}.training"), resume, console)
    trained = build(task.entry, splits, context, find=model_folder)
    save_trained(trained, out, task.recipe(), splits)
    smaller, provenance = load(out), trained.provenance
    # A bag of n-grams may be fitted again on train and validation, which then measures nothing.
    refitted = " (which it was fitted on)" if provenance.learned_validation else ""
    size = f"{smaller.size_bytes / 1e6:.2f} MB, {smaller.num_parameters:,} parameters"
    message = f"{provenance.validation_accuracy:.2%} accuracy on validation{refitted}, {size}"
    if isinstance(task.entry, SmallerModel):
        before = load(task.entry.source)
        message += f" (before: {before.size_bytes / 1e6:.2f} MB, {before.num_parameters:,} parameters)"
    console.print(f"{message}, {out}", highlight=False)
    step = provenance.compression[-1]
    described = {"method": step.method, "from": step.source, "settings": step.settings, "seconds": step.seconds}
    return {
        **described,
        **step.figures,
        "validation_accuracy": provenance.validation_accuracy,
        "size_bytes": smaller.size_bytes,
    }


def label(
    models: Sequence[str], out: Path, assignments: Iterable[str], *, data: str, console: Console
) -> dict[str, Any]:
    """Let models read a transfer set of `data`, write their blended soft labels, and return the file's provenance.

    `assignments` are settings of the transfer set. Needs the extra `train`.
    """
    with needs_extra("train", "label"):
        from plaudit.compress.distill import label as ask
        from plaudit.compress.settings import TransferSettings
        from plaudit.compress.soft_labels import write_soft_labels
        from plaudit.compress.transfer import transfer_set
    settings = parse(TransferSettings, override({}, assignments), source="--set")
    folders = [model_folder(model) for model in models]  # a wrong name is reported before reviews are fetched
    reviews = _reviews(read_files(folders[0])[0].provenance.data, data)
    splits = prepare(load_dataset(reviews, console=console), reviews)
    teachers = [
        teacher(name, load_bundle(folder), splits) for name, folder in zip(distinct_names(models), folders, strict=True)
    ]
    transfer = transfer_set(splits, settings)
    soft = ask(teachers, splits, transfer, weights=None, console=console)
    write_soft_labels(soft, out)
    console.print(f"{len(transfer):,} texts labelled, {out.stat().st_size / 1e6:.2f} MB, {out}", highlight=False)
    return dict(soft.provenance)
