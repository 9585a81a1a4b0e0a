"""The verb that tests models on edited and perturbed reviews, other kinds of review, and test sentences: robustness."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from plaudit.cli import base
from plaudit.errors import SettingsError

if TYPE_CHECKING:
    from plaudit.evaluate.robustness.datasets import Reviews
    from plaudit.predictor import Predictor

SPLITS = ("validation", "test", "train")


@base.app.command(epilog="Example:  plaudit robustness bow lstm --perturb imdb --out robustness.json")
def robustness(
    models: base.ModelsArgument,
    sets: Annotated[
        Path | None, typer.Option(help="Folder of edited pairs; by default $PLAUDIT_ROBUSTNESS, else ./robustness.")
    ] = None,
    data: Annotated[list[Path] | None, base.data_option("Your own file of other reviews; may be repeated.")] = None,
    perturb: Annotated[str | None, typer.Option(help="Reviews to perturb: a data set's name or your own file.")] = None,
    split: Annotated[str | None, typer.Option(help="--perturb: validation (the default), test or train.")] = None,
    seed: base.SeedOption = None,
    out: Annotated[Path | None, base.out_option("Results file to add to.")] = None,
    verbose: base.VerboseOption = None,
    as_json: base.JsonOption = False,
) -> None:
    """Test models on sentences from templates, edited and perturbed reviews, and other kinds of review.

    The sentences are always tested and need no data.
    """
    from plaudit.evaluate.robustness.datasets import find_sets_folder
    from plaudit.evaluate.robustness.results import add_robustness, read_robustness
    from plaudit.evaluate.robustness.run import robustness as test
    from plaudit.evaluate.robustness.view import print_robustness

    if split is not None and perturb is None:
        raise SettingsError(f"--split {split} has no effect without --perturb; name reviews to perturb")
    if split is not None and split not in SPLITS:
        raise SettingsError(f"--split {split}: give {', '.join(SPLITS)}")
    if out is not None and out.exists():
        read_robustness(out)  # fail now rather than after minutes of scoring
    console = base.progress_console(verbose)
    predictors = _loaded(models)
    reviews = None if perturb is None else _reviews(perturb, split or SPLITS[0], predictors, console=console)
    if perturb is not None:
        _remark_on_learned(predictors, perturb, split or SPLITS[0], console=console)
    result = test(
        predictors, sets=find_sets_folder(sets), files=data or (), perturbed=reviews, console=console, seed=seed or 0
    )
    if as_json:
        typer.echo(result.model_dump_json(indent=1))
    else:
        print_robustness(result, Console())
    if out is not None:  # last, so that the result is shown even if this fails
        add_robustness(out, result)


def _loaded(models: list[str]) -> "dict[str, Predictor]":
    from plaudit.bundle.names import distinct_names
    from plaudit.predictor import load

    return {name: load(model) for name, model in zip(distinct_names(models), models, strict=True)}


def _reviews(data: str, split: str, models: "dict[str, Predictor]", *, console: Console) -> "Reviews":
    """Load a split as it was when the models were trained; SettingsError if they were trained on different ones."""
    from plaudit.data.load import DataSettings, load_dataset
    from plaudit.data.splits import prepare
    from plaudit.evaluate.robustness.datasets import Reviews
    from plaudit.settings import parse

    chosen: dict[str, DataSettings] = {}
    for name, model in models.items():
        # These two only shrink a split, so reviews held out from one model are held out from the other.
        values = {k: v for k, v in model.provenance.data.items() if k not in ("leave_out", "limit")}
        same = values.get("name") == data
        chosen[name] = parse(DataSettings, values if same else {"name": data}, source=f"{name}, as it was trained")
    first, *others = chosen
    for other in others:
        if chosen[other] != chosen[first]:
            raise SettingsError(
                f"{first} and {other} were trained on different splits of {data}; test them one at a time"
            )
    dataset = load_dataset(chosen[first], console=console)
    table = getattr(prepare(dataset, chosen[first]), split)
    labels = [dataset.labels[i] for i in table["label"].to_pylist()]
    return Reviews(table["text"].to_pylist(), labels, f"{dataset.name}, {split}")


def _remark_on_learned(loaded: "dict[str, Predictor]", data: str, split: str, *, console: Console) -> None:
    for name, predictor in loaded.items():
        if predictor.provenance.data.get("name") != data or split == "test":
            continue
        if split == "train" or predictor.provenance.learned_validation:
            base.remark(console, f"{name}: was trained on these reviews, so its accuracy on them is too high")
