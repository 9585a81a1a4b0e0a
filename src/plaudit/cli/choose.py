"""Verbs that choose without the test split: select between models, tune the settings of one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from plaudit.cli import base
from plaudit.errors import MissingExtraError


@base.app.command(epilog="Example:  plaudit select select --set data.name=reviews.csv --max-latency-ms 1 --out chosen")
def select(
    recipe: base.RecipeArgument,
    out: Annotated[Path, base.out_option("Folder of the comparison.")],
    folds: Annotated[int, typer.Option(help="Number of folds for cross-validation.")] = 5,
    max_latency_ms: Annotated[float | None, typer.Option(help="Longest median time for one review.")] = None,
    max_size_mb: Annotated[float | None, typer.Option(help="Largest size of a model's files.")] = None,
    min_accuracy: Annotated[float | None, typer.Option(help="Lowest accuracy, in percent.")] = None,
    seed: base.SeedOption = None,
    assignments: base.SetOption = None,
    resume: base.ResumeOption = False,
    verbose: base.VerboseOption = None,
    as_json: base.JsonOption = False,
) -> None:
    """Compare a recipe's models by cross-validation and recommend one; the test split is never read.

    Exit status 1 if no model is within the limits.
    """
    from plaudit.pipeline.recipe import read_recipe
    from plaudit.search import select_view as view
    from plaudit.search.comparison import Constraints
    from plaudit.search.select import select as run_selection

    constraints = Constraints(max_latency_ms, max_size_mb, min_accuracy)
    settings = read_recipe(recipe, assignments or ())
    console = base.progress_console(verbose)
    seed = settings.seed if seed is None else seed
    selection = run_selection(
        settings, out, folds=folds, constraints=constraints, seed=seed, resume=resume, console=console
    )
    if as_json:
        typer.echo(json.dumps(selection.as_json(), indent=1))
    else:
        view.show(selection, Console())
    with _charts_optional(console):
        view.draw(selection, out / "select.svg")
    if selection.most_accurate is None:
        raise typer.Exit(1)


@base.app.command(epilog="Example:  plaudit tune tune --model bow --trials 20 --out tuned")
def tune(
    recipe: base.RecipeArgument,
    model: Annotated[str, typer.Option("--model", "-m", help="The model in the recipe to tune.")],
    trials: Annotated[int, typer.Option(help="Number of trials in total, including those already in --out.")],
    out: Annotated[Path, base.out_option("Folder of the study; the same command resumes it.")],
    workers: Annotated[int, typer.Option(help="Trials that run at the same time, each in a process.")] = 1,
    timeout_minutes: Annotated[float | None, typer.Option(help="Start no trial after this long.")] = None,
    objective: Annotated[str, typer.Option(help="What to optimize on validation: accuracy or log_loss.")] = "accuracy",
    seed: base.SeedOption = None,
    assignments: base.SetOption = None,
    verbose: base.VerboseOption = None,
    as_json: base.JsonOption = False,
) -> None:
    """Search for the settings of a recipe's model that do best on validation, and write a recipe with them.

    The recipe's [tune.MODEL] table says what may change; without it, each kind of model has a default search space.
    """
    from plaudit.console import needs_extra
    from plaudit.search import tune_view as view
    from plaudit.search.study import read_search
    from plaudit.search.tune import tune as run_search

    search = read_search(recipe, assignments or [], model=model, objective=objective, seed=seed)
    console = base.progress_console(verbose)
    with needs_extra("train", "tune"):
        tuning = run_search(
            search, out, trials=trials, workers=workers, timeout_minutes=timeout_minutes, console=console
        )
    if as_json:
        typer.echo(json.dumps(tuning.as_json(), indent=1))
    else:
        view.show(tuning, Console())
        console.print(f"Train the best with: plaudit train {out / 'best.toml'} --out RUN", highlight=False)
    with _charts_optional(console):
        view.draw(tuning, out)


@contextmanager
def _charts_optional(console: Console) -> Iterator[None]:
    """Turn the error that charts need an extra into a remark."""
    try:
        yield
    except MissingExtraError as error:
        console.print(str(error), markup=False, highlight=False)
