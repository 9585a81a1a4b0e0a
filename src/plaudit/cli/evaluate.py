"""Verbs that judge models: evaluate, calibrate, report."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from plaudit.cli.base import (
    JsonOption,
    SetOption,
    app,
    progress_console,
)
from plaudit.cli.reviews import reviews_for


@app.command(epilog="Example:  plaudit evaluate bow runs/plan/models/lstm --data imdb --out results.json")
def evaluate(
    models: Annotated[list[str], typer.Argument(metavar="MODEL", help="Shipped models or model folders.")],
    data: Annotated[str, typer.Option("--data", "-d", help="A data set's name or an own file.")],
    split: Annotated[
        str | None, typer.Option(help="test, validation or train; by default test, or all rows of an own file.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Results file to add to.")] = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score finished models on labelled reviews: accuracy with its interval, calibration, speed.

    --set text_column=NAME, label_column=NAME … say how to read an own file.
    """
    from plaudit.evaluate.results import ResultsFile, add_results, read_results
    from plaudit.evaluate.score import evaluate as score
    from plaudit.evaluate.view import render
    from plaudit.predictor import load

    console = progress_console()
    if out is not None and out.exists():
        read_results(out)  # what cannot be added to is refused now rather than after minutes of scoring
    results = []
    for model in models:
        predictor = load(model)
        dataset, where, table = reviews_for(predictor, data, split, assignments or (), console=console)
        evaluation = score(
            predictor,
            table,
            label_names=dataset.labels,
            model_name=Path(model).name,
            data_name=dataset.name,
            split=where,
            console=console,
        )
        results.append(evaluation.result)
    if out is not None:
        add_results(out, results)
    if as_json:
        typer.echo(ResultsFile(results=tuple(results)).model_dump_json(indent=1))
    else:
        render(results, Console())


@app.command(epilog="Example:  plaudit calibrate runs/quick/models/lstm --data imdb-train --out calibrated")
def calibrate(
    model: Annotated[str, typer.Argument(help="A shipped model's name or a model folder.")],
    data: Annotated[str, typer.Option("--data", "-d", help="Reviews it has not learned from: a name or an own file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the calibrated model.")],
    method: Annotated[str, typer.Option("--method", help="temperature, or isotonic for many reviews.")] = "temperature",
    split: Annotated[str | None, typer.Option(help="By default validation, or all rows of an own file.")] = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Correct a model's probabilities, so that of the verdicts it is 90 % sure of, 90 % are right."""
    from dataclasses import asdict

    from plaudit.bundle.locate import model_folder
    from plaudit.data.load import DATASETS
    from plaudit.evaluate.calibrate import calibrate as fit
    from plaudit.models.calibration import known_method
    from plaudit.pipeline.recipe import missing_extra
    from plaudit.predictor import load

    way = known_method(method, source="--method")
    console = progress_console()
    chosen = split or ("validation" if data in DATASETS else None)
    dataset, where, table = reviews_for(load(model), data, chosen, assignments or (), console=console)
    try:
        done = fit(
            model_folder(model), out, table, method=way, label_names=dataset.labels, data=dataset.name, split=where
        )
    except ModuleNotFoundError as error:
        raise missing_extra(error) from None
    if as_json:
        typer.echo(json.dumps(asdict(done)))
    else:
        before, after = (f"ECE {100 * done.ece[i]:.2f} %, log loss {done.log_loss[i]:.4f}" for i in (0, 1))
        console.print(f"{done.reviews:,} reviews: {before}; now {after}; {out}", highlight=False)


@app.command(epilog="Example:  plaudit report runs/quick --out runs/quick/page")
def report(
    results: Annotated[
        Path, typer.Argument(help="A run's folder, a folder of such, or a results.json.", readable=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for report.html and report.pdf.")],
    excerpt_characters: Annotated[
        int, typer.Option(min=0, help="Length of the excerpts of wrongly judged reviews; 0 leaves them out.")
    ] = 300,
) -> None:
    """Write a self-contained HTML page, and a PDF of it, about a run or a folder of runs."""
    from plaudit.report.write import write_report

    page = write_report(results, out / "report.html", excerpt_characters=excerpt_characters)
    progress_console().print(f"report: {page}", highlight=False)
