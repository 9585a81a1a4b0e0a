"""Verbs that judge models: evaluate, report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from undertone.cli.base import (
    JsonOption,
    SetOption,
    app,
    progress_console,
)
from undertone.errors import SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

    from undertone.data.table import Dataset


@app.command(epilog="Example:  undertone evaluate bow runs/plan/models/lstm --data imdb --out results.json")
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
    from undertone.data import DATASETS, DataSettings, load_dataset
    from undertone.evaluate import evaluate as score
    from undertone.evaluate.results import ResultsFile, add_results, read_results
    from undertone.evaluate.terminal import render
    from undertone.predictor import load
    from undertone.settings import override, parse

    console = progress_console()
    if out is not None and out.exists():
        read_results(out)  # what cannot be added to is refused now rather than after minutes of scoring
    results = []
    for model in models:
        predictor = load(model)
        values: dict[str, Any] = {"name": data}
        if data in DATASETS:
            trained_on = predictor.provenance.get("recipe", {}).get("data", {})
            values = dict(trained_on) if trained_on.get("name") == data else values
        else:
            values["labels"] = predictor.labels
        settings = parse(DataSettings, override(values, assignments or ()), source="--set")
        dataset = load_dataset(settings, console=console)
        where, table = _choose_split(dataset, settings, split)
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


def _choose_split(dataset: "Dataset", settings: Any, split: str | None) -> "tuple[str, pa.Table]":  # noqa: ANN401
    from undertone.data import DATASETS
    from undertone.data.split import prepare

    if split is None and dataset.name not in DATASETS and not len(dataset.split("test")):
        return "all", dataset.table
    name = split or "test"
    if name not in ("train", "validation", "test"):
        raise SettingsError(f"--split {name}: give train, validation or test")
    # Rows that the source itself calls by that name are taken as they are; else the training run's own split.
    own = dataset.split(name)
    table: pa.Table = own if len(own) and name == "test" else getattr(prepare(dataset, settings), name)
    return name, table


@app.command(epilog="Example:  undertone report runs/quick --out runs/quick/page")
def report(
    results: Annotated[Path, typer.Argument(help="A run's folder or a results.json.", readable=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for report.html.")],
    excerpt_characters: Annotated[
        int, typer.Option(min=0, help="Length of the excerpts of wrongly judged reviews; 0 leaves them out.")
    ] = 300,
) -> None:
    """Write one self-contained HTML page about a run."""
    from undertone.report import write_report

    page = write_report(results, out / "report.html", excerpt_characters=excerpt_characters)
    progress_console().print(f"report: {page}", highlight=False)
