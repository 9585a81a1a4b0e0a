"""Verbs about data sets: data list, fetch, inspect and leaks."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from plaudit.cli import base
from plaudit.errors import SettingsError

if TYPE_CHECKING:
    from plaudit.data.load import DataSettings
    from plaudit.data.table import Dataset

NameArgument = Annotated[str, typer.Argument(help="A data set's name or your own file.")]


@base.data_app.command("list", epilog="Example:  plaudit data list --json")
def data_list(as_json: base.JsonOption = False) -> None:
    """List the data sets and where each one would come from."""
    from plaudit.console import table
    from plaudit.data.load import DATASETS, available

    places = available()
    if as_json:
        rows = {name: {"description": DATASETS[name].description, **asdict(place)} for name, place in places.items()}
        typer.echo(json.dumps(rows, indent=1))
        return
    shown = table("name", "what", "here", "from")
    for name, place in places.items():
        shown.add_row(name, DATASETS[name].description, "yes" if place.local else "no", place.where)
    Console().print(shown)


@base.data_app.command("fetch", epilog="Example:  plaudit data fetch imdb")
def data_fetch(
    name: Annotated[str, typer.Argument(help="A name that `plaudit data list` shows.")],
    verbose: base.VerboseOption = None,
) -> None:
    """Download a data set to this machine; an interrupted download is resumed."""
    from plaudit.data.load import DATASETS
    from plaudit.settings import unknown_name

    if name not in DATASETS:
        raise SettingsError(f"data set {name} {unknown_name(name, DATASETS)}")
    console = base.progress_console(verbose)
    dataset, _ = _load(name, (), console)
    console.print(f"{name}: {dataset.table.num_rows:,} reviews are here", highlight=False)


@base.data_app.command("inspect", epilog="Example:  plaudit data inspect reviews.csv --label stars --out look")
def data_inspect(
    name: NameArgument,
    out: Annotated[Path | None, base.out_option("Folder for quality.json and plots.")] = None,
    text: base.TextOption = None,
    label: base.LabelOption = None,
    labels: base.LabelsOption = None,
    separator: base.SeparatorOption = None,
    encoding: base.EncodingOption = None,
    quoting: base.QuotingOption = None,
    header: base.HeaderOption = None,
    table: base.TableOption = None,
    assignments: base.SetOption = None,
    verbose: base.VerboseOption = None,
    as_json: base.JsonOption = False,
) -> None:
    """Check a data set for gaps, duplicates, leaks, imbalance, odd lengths, HTML and broken encoding."""
    from plaudit.data.quality.report import inspect
    from plaudit.data.quality.view import print_report, write_report

    console = base.progress_console(verbose)
    options = base.data_settings(
        assignments,
        text=text,
        label=label,
        labels=labels,
        separator=separator,
        encoding=encoding,
        quoting=quoting,
        header=header,
        table=table,
    )
    dataset, _ = _load(name, options, console)
    report = inspect(dataset)
    if out is not None:
        written = write_report(report, out)
        console.print(f"{len(written)} files in {out}", highlight=False)
    if as_json:
        typer.echo(report.to_json())
    else:
        print_report(report, Console())


@base.data_app.command(
    "leaks", epilog="Example:  plaudit data leaks imdb --predictions runs/students/predictions/bow.parquet"
)
def data_leaks(
    name: NameArgument,
    predictions: Annotated[
        list[Path] | None,
        typer.Option("--predictions", help="A run's predictions: also give their accuracy without the overlap."),
    ] = None,
    text: base.TextOption = None,
    label: base.LabelOption = None,
    labels: base.LabelsOption = None,
    assignments: base.SetOption = None,
    verbose: base.VerboseOption = None,
    as_json: base.JsonOption = False,
) -> None:
    """Find test and validation texts that also occur, exactly or nearly, among train or unlabelled texts."""
    from plaudit.data.splits import prepare
    from plaudit.evaluate import leaks

    console = base.progress_console(verbose)
    splits = prepare(*_load(name, base.data_settings(assignments, text=text, label=label, labels=labels), console))
    with console.status("comparing texts"):
        overlaps = leaks.find_overlaps(splits)
    accuracies = [leaks.clean_accuracy(path, splits, overlaps) for path in predictions or ()]
    if as_json:
        content = {"overlaps": [asdict(each) for each in overlaps], "models": [asdict(each) for each in accuracies]}
        typer.echo(json.dumps(content, indent=1))
    else:
        leaks.print_overlaps(overlaps, accuracies, Console())


def _load(name: str, assignments: Sequence[str], console: Console) -> "tuple[Dataset, DataSettings]":
    from plaudit.data.load import DataSettings, load_dataset
    from plaudit.settings import override, parse

    settings = parse(DataSettings, override({"name": name}, assignments), source="--set")
    return load_dataset(settings, console=console), settings
