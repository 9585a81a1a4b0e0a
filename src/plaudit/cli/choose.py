"""Verbs that choose on reviews which are no test: select between models, tune the settings of one."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from plaudit.cli.base import JsonOption, RecipeArgument, ResumeOption, SetOption, app, progress_console

SeedOption = Annotated[int | None, typer.Option(help="Seed of everything random; by default the recipe's.")]


@app.command(
    epilog="Example:  plaudit select recipes/select.toml --set data.name=reviews.csv --max-latency-ms 1 --out chosen"
)
def select(
    recipe: RecipeArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the comparison.")],
    folds: Annotated[int, typer.Option(help="Parts that the reviews are dealt into.")] = 5,
    max_latency_ms: Annotated[float | None, typer.Option(help="Greatest median time for one review.")] = None,
    max_size_mb: Annotated[float | None, typer.Option(help="Greatest size of a model's files.")] = None,
    min_accuracy: Annotated[float | None, typer.Option(help="Least accuracy, in percent.")] = None,
    seed: SeedOption = None,
    assignments: SetOption = None,
    resume: ResumeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare a recipe's models by cross-validation on your reviews, and say which to take; the test split rests.

    Exit status 1 if no model keeps to what is asked for.
    """
    from plaudit.pipeline.recipe import read_recipe
    from plaudit.search import select_view as view
    from plaudit.search.select import Constraints
    from plaudit.search.select import select as compare

    constraints = Constraints(max_latency_ms, max_size_mb, min_accuracy)
    settings = read_recipe(recipe, assignments or ())
    console = progress_console()
    seed = settings.seed if seed is None else seed
    selection = compare(settings, out, folds=folds, constraints=constraints, seed=seed, resume=resume, console=console)
    remark = view.draw(selection, out / "select.svg")
    if as_json:
        typer.echo(json.dumps(selection.as_json(), indent=1))
    else:
        view.render(selection, Console())
    if remark is not None:
        console.print(remark, highlight=False)
    if selection.most_accurate is None:
        raise typer.Exit(1)


@app.command(epilog="Example:  plaudit tune recipes/tune.toml --model bow --trials 20 --out tuned")
def tune(
    recipe: RecipeArgument,
    model: Annotated[str, typer.Option("--model", "-m", help="The model of the recipe whose settings are searched.")],
    trials: Annotated[int, typer.Option(help="Trials in all; those that --out holds count.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the study; the same command goes on in it.")],
    workers: Annotated[int, typer.Option(help="Trials at a time, each in a process.")] = 1,
    timeout_minutes: Annotated[float | None, typer.Option(help="Begin no trial after so long.")] = None,
    objective: Annotated[str, typer.Option(help="accuracy or log_loss, on validation.")] = "accuracy",
    seed: SeedOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search the settings of a recipe's model on validation, and write the recipe with the best ones.

    What may change stands in the recipe's [tune.MODEL] table; without one, each kind has a space of its own.
    """
    from plaudit.pipeline.recipe import missing_extra
    from plaudit.search import tune as tuning
    from plaudit.search import tune_view as view

    try:
        planned = tuning.plan(recipe, assignments or [], model=model, objective=objective, seed=seed)
    except ModuleNotFoundError as error:
        raise missing_extra(error) from None
    console = progress_console()
    found = tuning.tune(planned, out, trials=trials, workers=workers, timeout_minutes=timeout_minutes, console=console)
    remark = view.draw(found, out)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
    else:
        view.render(found, Console())
        console.print(f"plaudit train {out / 'best.toml'} --out OUT trains it.", highlight=False)
    if remark is not None:
        console.print(remark, highlight=False)
