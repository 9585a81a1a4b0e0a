"""Verbs that explain models: explain a prediction, list errors."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from plaudit.cli import base
from plaudit.cli.reviews import reviews_for
from plaudit.errors import DataError, SettingsError

if TYPE_CHECKING:
    from plaudit.explain.explanation import Explanation


@base.app.command(
    epilog="Examples:\n\nplaudit explain 'A fine film that I will watch again.'\n\n"
    "plaudit explain --model lstm --html why.html < lines.txt\n\n"
    "plaudit explain --target negative 'A fine film that I will watch again.'"
)
def explain(
    texts: base.TextsArgument = None,
    model: base.ModelOption = "bow",
    method: Annotated[
        str | None, typer.Option(help="exact (bow), gradients (lstm) or occlusion; by default the best for the model.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Explain this label instead of the predicted one.")
    ] = None,
    top: Annotated[int | None, typer.Option(min=0, help="Words to list for and against; by default 5.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write an HTML page with all texts.")] = None,
    as_json: base.JsonOption = False,
) -> None:
    """Show how much each word of a text contributes to its label, in log-odds."""
    from plaudit.bundle.names import distinct_names
    from plaudit.explain.explanation import TOP, explanations
    from plaudit.explain.view import print_explanation, write_html
    from plaudit.predictor import load

    if top is not None and as_json and html is None:
        raise SettingsError("--top has no effect on --json, which lists every word; leave it out")
    listed = TOP if top is None else top
    predictor = load(model)
    console = Console()
    num_texts, on_page = 0, list["Explanation"]()
    for explanation in explanations(predictor, texts or base.lines_of_stdin(), method=method, label=target):
        if as_json:
            typer.echo(json.dumps(explanation.as_json(), ensure_ascii=False))
        else:
            if num_texts:
                console.print()
            print_explanation(explanation, console, top=listed)
        num_texts += 1
        if html is not None:
            on_page.append(explanation)
    if not num_texts:
        raise DataError("no texts: give some as arguments or as lines on stdin")
    if html is not None:
        write_html(html, on_page, model=distinct_names([model])[0], top=listed)
        base.progress_console().print(f"page: {html}", highlight=False, soft_wrap=True)


@base.app.command(epilog="Example:  plaudit errors bow --data imdb --out errors.json")
def errors(
    model: base.ModelArgument,
    data: base.DataOption,
    split: Annotated[
        str | None, typer.Option(help="validation or test; by default validation, or all rows of your own file.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Length of each list.")] = 20,
    out: Annotated[Path | None, base.out_option("File to write, for example errors.json; it holds no texts.")] = None,
    text: base.TextOption = None,
    label: base.LabelOption = None,
    labels: base.LabelsOption = None,
    assignments: base.SetOption = None,
    verbose: base.VerboseOption = None,
    as_json: base.JsonOption = False,
) -> None:
    """List labels that are probably wrong, misleading words, and training reviews similar to confident mistakes.

    If you change a model because of what --split test shows, its test accuracy no longer means anything.
    """
    from plaudit.bundle.names import distinct_names
    from plaudit.data.load import DATASETS
    from plaudit.evaluate.errors.mistakes import find_errors, write_errors
    from plaudit.evaluate.errors.view import print_errors
    from plaudit.predictor import load

    console = base.progress_console(verbose)
    predictor = load(model)
    reading = base.data_settings(assignments, text=text, label=label, labels=labels)
    chosen = split or ("validation" if data in DATASETS else None)
    dataset, where, table = reviews_for(predictor, data, chosen, reading, console=console)
    # With all rows, or those of train, the most similar training review would be the review itself.
    train = table[:0]
    if where in ("validation", "test"):
        train = reviews_for(predictor, data, "train", reading, console=console)[2]
    if where == "train" or (where == "validation" and predictor.provenance.learned_validation):
        base.remark(
            console, f"{model}: was trained on these reviews, so it makes few mistakes on them and doubts few labels"
        )
    found = find_errors(
        predictor,
        table,
        train,
        label_names=dataset.labels,
        model_name=distinct_names([model])[0],
        data_name=dataset.name,
        split=where,
        top=top,
        console=console,
    )
    if out is not None:
        write_errors(out, found)
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        print_errors(found, Console())
