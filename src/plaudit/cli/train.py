"""Verbs that carry out a recipe: train, run, pretrain."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from plaudit.cli import base
from plaudit.errors import SettingsError


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


@base.app.command(
    epilog="Examples:\n\nplaudit train reviews.csv\n\nplaudit train reviews.csv --text body --label stars "
    "--out mine\n\nplaudit train plan --out runs/plan --resume"
)
def train(
    source: Annotated[Path, typer.Argument(metavar="FILE|RECIPE", help="Your file, or a recipe.", readable=False)],
    out: Annotated[Path | None, base.out_option("Folder of the run; by default runs/ and the name of FILE.")] = None,
    text: base.TextOption = None,
    label: base.LabelOption = None,
    labels: base.LabelsOption = None,
    separator: base.SeparatorOption = None,
    encoding: base.EncodingOption = None,
    quoting: base.QuotingOption = None,
    header: base.HeaderOption = None,
    table: base.TableOption = None,
    test: Annotated[Path | None, typer.Option(help="Score on this file instead of a part of FILE.")] = None,
    unlabelled: Annotated[Path | None, typer.Option(help="More texts, without labels, to learn from.")] = None,
    start: Annotated[
        str, typer.Option(metavar="MODEL", help="Start from this model; auto tries those that ship, none does without.")
    ] = "auto",
    budget: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="Time for comparing candidates; by default 40.")
    ] = None,
    curve: Annotated[bool, typer.Option("--curve", help="Also draw accuracy against the number of labels.")] = False,
    assignments: base.SetOption = None,
    resume: base.ResumeOption = False,
    verbose: base.VerboseOption = None,
    as_json: base.JsonOption = False,
) -> None:
    """Train a model on a file of labelled texts, or the models of a recipe.

    For a file: compare candidates by cross-validation, keep the best, score it once on texts that were held out, and
    write a report and a recipe. For a recipe: train its models; the test split is never read.
    """
    console = base.progress_console(verbose)
    of_file = {"separator": separator, "encoding": encoding, "quoting": quoting, "header": header, "table": table}
    if not _is_recipe(source):
        from plaudit.cli.own_file import train_own_file

        settings = base.data_settings(assignments, text=text, label=label, labels=labels, **of_file)
        files = {"test_file": test, "unlabelled_file": unlabelled}
        folder = out or Path("runs") / source.name.partition(".")[0]
        train_own_file(
            source, folder, settings, files, start, budget, curve=curve, resume=resume, console=console, as_json=as_json
        )
        return
    from plaudit.pipeline import run as runs
    from plaudit.pipeline.recipe import read_recipe

    for_files: dict[str, object] = {f"--{name}": value for name, value in of_file.items()}
    for_files |= {"--text": text, "--label": label, "--labels": labels, "--test": test, "--unlabelled": unlabelled}
    for_files |= {"--budget": budget}
    for_files |= {"--curve": curve or None, "--json": as_json or None, "--start": None if start == "auto" else start}
    for option, value in for_files.items():
        if value is not None:
            raise SettingsError(f"{option} is for a file of texts; {source} is a recipe, change it with --set")
    recipe = read_recipe(source, assignments or ())
    with base.among_ranks(resume=resume):
        runs.train(recipe, out or Path("runs") / recipe.name, resume=resume, console=console)


def _is_recipe(source: Path) -> bool:
    """Say whether this names a recipe rather than a file or data set: by its ending, or as one that ships."""
    from plaudit.pipeline.shipped import shipped_recipes

    return source.suffix == ".toml" or (not source.exists() and str(source) in shipped_recipes())
