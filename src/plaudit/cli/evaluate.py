"""Verbs that measure models: evaluate, calibrate, report."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from plaudit.cli import base
from plaudit.cli.reviews import Unseen, reviews_for

if TYPE_CHECKING:
    from plaudit.evaluate.results import Result


@base.app.command(
    epilog="Examples:\n\nplaudit evaluate bow runs/plan/models/lstm --data imdb --out results.json\n\n"
    "plaudit evaluate bow --data reviews.csv --text body --label stars"
)
def evaluate(
    models: base.ModelsArgument,
    data: base.DataOption,
    split: Annotated[
        str | None, typer.Option(help="test, validation or train; by default test, or all rows of your own file.")
    ] = None,
    out: Annotated[Path | None, base.out_option("Results file to add to.")] = None,
    text: base.TextOption = None,
    label: base.LabelOption = None,
    labels: base.LabelsOption = None,
    include_trained_on: Annotated[
        bool, typer.Option("--include-trained-on", help="Score rows too that a model was trained on.")
    ] = False,
    assignments: base.SetOption = None,
    verbose: base.VerboseOption = None,
    as_json: base.JsonOption = False,
) -> None:
    """Evaluate models on labelled reviews: accuracy with a confidence interval, calibration, speed."""
    from plaudit.bundle.names import distinct_names
    from plaudit.evaluate.classes import cautions
    from plaudit.evaluate.results import ResultsFile, add_results, read_results
    from plaudit.evaluate.score import evaluate as score
    from plaudit.evaluate.view import print_results
    from plaudit.predictor import load

    console = base.progress_console(verbose)
    known: dict[tuple[str, str, str], Result] = {}
    if out is not None and out.exists():
        known = {result.key: result for result in read_results(out).results}  # fail now, not after minutes of scoring
    reading = base.data_settings(assignments, text=text, label=label, labels=labels)
    results = []
    predictors = {model: load(model) for model in models}
    unseen = Unseen(predictors, include_trained_on or split == "train", console)
    for model, name in zip(models, distinct_names(models), strict=True):
        predictor = predictors[model]
        dataset, where, table = reviews_for(predictor, data, split, reading, console=console)
        where, table = unseen.rows(dataset.name, where, table)
        evaluation = score(
            predictor,
            table,
            label_names=dataset.labels,
            model_name=name,
            data_name=dataset.name,
            split=where,
            console=console,
        )
        results.append(evaluation.result)
        before = known.get(evaluation.result.key)
        if before is not None and before.model_digest != evaluation.result.model_digest:
            base.remark(console, f"{out}: an earlier result of another model called {name} is replaced")
    if out is not None:
        add_results(out, results)
    if as_json:
        for caution in cautions(results):
            base.remark(console, caution)
        typer.echo(ResultsFile(results=tuple(results)).model_dump_json(indent=1))
    else:
        print_results(results, Console())


@base.app.command(epilog="Example:  plaudit calibrate runs/quick/models/lstm --data imdb-train --out calibrated")
def calibrate(
    model: base.ModelArgument,
    data: base.DataOption,
    out: Annotated[Path, base.out_option("Folder of the calibrated model.")],
    method: Annotated[str, typer.Option("--method", help="temperature, or isotonic for many reviews.")] = "temperature",
    split: Annotated[str | None, typer.Option(help="By default validation, or all rows of your own file.")] = None,
    text: base.TextOption = None,
    label: base.LabelOption = None,
    labels: base.LabelsOption = None,
    assignments: base.SetOption = None,
    verbose: base.VerboseOption = None,
    as_json: base.JsonOption = False,
) -> None:
    """Calibrate a model's probabilities, so that 90 % of its predictions at 90 % confidence are right.

    Use reviews that the model was not trained on.
    """
    from dataclasses import asdict

    from plaudit.bundle.locate import model_folder
    from plaudit.console import needs_extra
    from plaudit.data.load import DATASETS
    from plaudit.evaluate.calibrate import calibrate as fit
    from plaudit.models.calibration import known_method
    from plaudit.predictor import load

    checked = known_method(method, source="--method")
    console = base.progress_console(verbose)
    reading = base.data_settings(assignments, text=text, label=label, labels=labels)
    chosen = split or ("validation" if data in DATASETS else None)
    dataset, where, table = reviews_for(load(model), data, chosen, reading, console=console)
    with needs_extra("train", "calibrating"):
        done = fit(
            model_folder(model), out, table, method=checked, label_names=dataset.labels, data=dataset.name, split=where
        )
    if as_json:
        typer.echo(json.dumps(asdict(done)))
    else:
        before, after = (f"ECE {100 * done.ece[i]:.2f} %, log loss {done.log_loss[i]:.4f}" for i in (0, 1))
        console.print(f"{done.reviews:,} reviews: {before}; now {after}; {out}", highlight=False)


@base.app.command(epilog="Example:  plaudit report runs/quick --out runs/quick/page")
def report(
    results: Annotated[Path, typer.Argument(help="A run, a folder of runs, or a results.json.", readable=False)],
    out: Annotated[Path, base.out_option("Folder for report.html and report.pdf.")],
    excerpt_characters: Annotated[
        int, typer.Option(min=0, help="Length of excerpts of misclassified reviews; 0 leaves them out.")
    ] = 300,
) -> None:
    """Write a report on one or more runs as a self-contained HTML page and a PDF."""
    from plaudit.report.write import write_report

    page = write_report(results, out / "report.html", excerpt_characters=excerpt_characters)
    base.progress_console().print(f"report: {page}", highlight=False)
