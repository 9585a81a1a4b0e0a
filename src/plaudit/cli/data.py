"""Verbs about reviews: data list, fetch, inspect, leaks."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from plaudit.cli.base import (
    JsonOption,
    SetOption,
    data_app,
    progress_console,
)
from plaudit.errors import SettingsError


@data_app.command("list", epilog="Example:  plaudit data list --json")
def data_list(as_json: JsonOption = False) -> None:
    """List the data sets and where each would come from now."""
    from rich.table import Table

    from plaudit.data.load import DATASETS, available

    places = available()
    if as_json:
        rows = {
            name: {"description": DATASETS[name].description, "local": place.local, "where": place.where}
            for name, place in places.items()
        }
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table("name", "what", "here", "from")
    for name, place in places.items():
        table.add_row(name, DATASETS[name].description, "yes" if place.local else "no", place.where)
    Console().print(table)


@data_app.command("fetch", epilog="Example:  plaudit data fetch imdb")
def data_fetch(name: Annotated[str, typer.Argument(help="A name that `plaudit data list` shows.")]) -> None:
    """Get a data set onto this machine; an interrupted download goes on where it broke off."""
    from plaudit.data.load import DATASETS, DataSettings, load_dataset
    from plaudit.settings import unknown_name

    if name not in DATASETS:
        raise SettingsError(f"data set {name} {unknown_name(name, DATASETS)}")
    console = progress_console()
    dataset = load_dataset(DataSettings(name=name), console=console)
    console.print(f"{name}: {dataset.table.num_rows:,} reviews are here", highlight=False)


@data_app.command("inspect", epilog="Example:  plaudit data inspect reviews.csv --set label_column=stars --out look")
def data_inspect(
    name: Annotated[str, typer.Argument(help="A data set's name or an own file.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for quality.json and plots.")] = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report what is odd about a data set: gaps, duplicates, leaks, balance, lengths, HTML, broken encoding."""
    from plaudit.data.load import DataSettings, load_dataset
    from plaudit.data.quality.report import inspect
    from plaudit.data.quality.view import render, write
    from plaudit.settings import override, parse

    settings = parse(DataSettings, override({"name": name}, assignments or ()), source="--set")
    console = progress_console()
    report = inspect(load_dataset(settings, console=console))
    if out is not None:
        written = write(report, out)
        console.print(f"{len(written)} files in {out}", highlight=False)
    if as_json:
        typer.echo(report.to_json())
    else:
        render(report, Console())


@data_app.command(
    "leaks", epilog="Example:  plaudit data leaks imdb --predictions runs/students/predictions/bow.parquet"
)
def data_leaks(
    name: Annotated[str, typer.Argument(help="A data set's name or an own file.")],
    predictions: Annotated[
        list[Path] | None, typer.Option("--predictions", help="A run's predictions, judged without the overlap too.")
    ] = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find texts of test and validation that train or unlabelled texts repeat, or nearly repeat, after the split."""
    from dataclasses import asdict

    from plaudit.data.load import DataSettings, load_dataset
    from plaudit.data.splits import prepare
    from plaudit.evaluate import leaks
    from plaudit.settings import override, parse

    settings = parse(DataSettings, override({"name": name}, assignments or ()), source="--set")
    console = progress_console()
    splits = prepare(load_dataset(settings, console=console), settings)
    with console.status("comparing texts"):
        found = leaks.overlaps(splits)
    judged = [leaks.worth(path, splits, found) for path in predictions or ()]
    if as_json:
        typer.echo(
            json.dumps({"overlaps": [asdict(o) for o in found], "models": [asdict(w) for w in judged]}, indent=1)
        )
    else:
        leaks.render(found, judged, Console())
