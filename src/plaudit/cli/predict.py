"""Verb that judges texts: predict."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from plaudit.cli.base import JsonOption, ModelOption, app, lines_of_stdin
from plaudit.cli.bulk import Bulk, excerpt, score_inputs
from plaudit.errors import DataError, SettingsError

if TYPE_CHECKING:
    from plaudit.predictor import Predictor


@app.command(
    epilog="Examples:\n\nplaudit predict 'A fine film that I will watch again.'\n\nplaudit predict < lines.txt\n\n"
    "plaudit predict --input reviews.csv --output scored.parquet\n\n"
    "plaudit predict --input 'reviews/*.parquet' --output scored --drop text --resume"
)
def predict(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; without any, the lines of stdin.")] = None,
    model: ModelOption = "bow",
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="FILE",
            help="Score a CSV, TSV, JSON-lines or Parquet file, packed or not, all of a folder or of a glob in quotes, "
            "or what a URL names; may be given more than once.",
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option("--column", "-c", help="Their column of texts; by default the first usual name."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Write .csv, .tsv, .jsonl, .parquet or a folder; by default, stdout."),
    ] = None,
    output_format: Annotated[
        str | None, typer.Option("--format", help="Of a folder's parts: parquet (default), csv, tsv or jsonl.")
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="COLUMN", help="Do not write this column; may be given more than once."),
    ] = None,
    on_error: Annotated[
        str | None,
        typer.Option(metavar="HOW", help="Of a row that cannot be read: reject it to a side file (default), or fail."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the folder of --output, if it is there.")
    ] = False,
    engine: Annotated[
        str | None, typer.Option(help="Who scores a folder's parts: this machine, local (default), or a cluster, ray.")
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Of the cluster; by default RAY_ADDRESS, else Ray starts on this machine."
        ),
    ] = None,
    abstain_below: Annotated[
        float, typer.Option(metavar="P", help="Give no verdict of a lower probability, but - or null.")
    ] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Judge texts: the label and its probability for each, in order."""
    if inputs and texts:
        raise SettingsError("give either texts or --input FILE, not both; a glob stands in quotes")
    of_files = Bulk(
        inputs=tuple(inputs or ()),
        column=column,
        output=output,
        format=output_format,
        drop=tuple(drop or ()),
        on_error=on_error,
        resume=resume,
        engine=engine,
        ray_address=ray_address,
    )
    if inputs:
        score_inputs(of_files, model=model, abstain_below=abstain_below, as_json=as_json)
        return
    from plaudit.predictor import load

    _predict_texts(load(model, abstain_below=abstain_below), texts, as_json=as_json)


def _predict_texts(predictor: "Predictor", texts: list[str] | None, *, as_json: bool) -> None:
    if texts:
        _print_predictions(predictor, texts, as_json=as_json)
        return
    line = None
    for line in lines_of_stdin():
        _print_predictions(predictor, [line], as_json=as_json)
    if line is None:
        raise DataError("no texts: give some as arguments, as lines on stdin, or in a file by --input")


def _print_predictions(predictor: "Predictor", texts: list[str], *, as_json: bool) -> None:
    from plaudit.predictor import DECIMALS

    scores = predictor.predict_proba(texts)
    for text, row, verdict in zip(texts, scores, predictor.verdicts(scores), strict=True):
        if as_json:
            probabilities = {label: round(float(p), DECIMALS) for label, p in zip(predictor.labels, row, strict=True)}
            content = {"text": text, "label": verdict, "probabilities": probabilities}
            typer.echo(json.dumps(content, ensure_ascii=False))
        else:
            typer.echo(f"{verdict or '-'}\t{row.max():.3f}\t{excerpt(text)}")
