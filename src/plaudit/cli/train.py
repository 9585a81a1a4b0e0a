"""Verbs that carry out a recipe: train, run, pretrain."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from plaudit.cli import base


@base.app.command(epilog="Example:  plaudit run quick --out runs/quick --set models.lstm.train.epochs=2")
def run(
    recipe: base.RecipeArgument,
    out: Annotated[Path | None, base.out_option("Folder of the run; by default runs/RECIPE.")] = None,
    assignments: base.SetOption = None,
    resume: base.ResumeOption = False,
    verbose: base.VerboseOption = None,
    as_json: base.JsonOption = False,
) -> None:
    """Carry out a whole recipe: prepare data, train, compress, evaluate on the test split, write a report."""
    from plaudit.evaluate.results import read_results
    from plaudit.evaluate.view import print_results
    from plaudit.pipeline import run as runs
    from plaudit.pipeline.recipe import read_recipe

    settings = read_recipe(recipe, assignments or ())
    folder = out or Path("runs") / settings.name
    console = base.progress_console(verbose)
    page = runs.run(settings, folder, resume=resume, console=console)
    results = read_results(folder / "results.json")
    if as_json:
        typer.echo(results.model_dump_json(indent=1))
    else:
        print_results(results.results, Console())
        console.print(f"report: {page}", highlight=False)


@base.app.command(epilog="Example:  plaudit pretrain recipe.toml --out runs/mine --resume")
def pretrain(
    recipe: base.RecipeArgument,
    out: base.RunFolderOption,
    assignments: base.SetOption = None,
    resume: base.ResumeOption = False,
    verbose: base.VerboseOption = None,
) -> None:
    """Train only a recipe's language models, on train and unlabelled reviews."""
    from plaudit.pipeline import run as runs
    from plaudit.pipeline.recipe import read_recipe

    whole = read_recipe(recipe, assignments or ())
    with base.among_ranks(resume=resume):
        runs.train(whole, out, resume=resume, console=base.progress_console(verbose), wanted=whole.language_models())


@base.app.command(epilog="Example:  plaudit train plan --out runs/plan --resume")
def train(
    recipe: base.RecipeArgument,
    out: base.RunFolderOption,
    assignments: base.SetOption = None,
    resume: base.ResumeOption = False,
    verbose: base.VerboseOption = None,
) -> None:
    """Train a recipe's models; the test split is never read."""
    from plaudit.pipeline import run as runs
    from plaudit.pipeline.recipe import read_recipe

    settings = read_recipe(recipe, assignments or ())
    with base.among_ranks(resume=resume):
        runs.train(settings, out, resume=resume, console=base.progress_console(verbose))
