"""The verb that classifies texts: predict."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from plaudit.cli import base
from plaudit.cli.bulk import BulkOptions, are_files, excerpt, score_inputs
from plaudit.errors import DataError, SettingsError

if TYPE_CHECKING:
    from plaudit.predictor import Predictor


@base.app.command(
    epilog="Examples:\n\nplaudit predict 'A fine film that I will watch again.'\n\nplaudit predict < lines.txt\n\n"
    "plaudit predict --input reviews.csv --out scored.parquet\n\n"
    "plaudit predict --input 'reviews/*.parquet' --out scored --drop text --resume"
)
def predict(
    texts: base.TextsArgument = None,
    model: base.ModelOption = "bow",
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="FILE",
            help="Reviews to score: a file, folder, quoted glob, URL, or - for standard input; may be repeated.",
        ),
    ] = None,
    text: base.TextOption = None,
    separator: base.SeparatorOption = None,
    encoding: base.EncodingOption = None,
    quoting: base.QuotingOption = None,
    header: base.HeaderOption = None,
    table: base.TableOption = None,
    out: Annotated[
        str | None, base.out_option("A .csv, .tsv, .jsonl or .parquet file to write, or a folder; by default, stdout.")
    ] = None,
    output_format: Annotated[
        str | None, typer.Option("--format", help="Format of an output folder: parquet (default), csv, tsv or jsonl.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option("--drop", metavar="COLUMN", help="Leave this column out; may be repeated.")
    ] = None,
    on_error: Annotated[
        str | None, typer.Option(metavar="HOW", help="Unreadable rows: reject them to a side file (default), or fail.")
    ] = None,
    resume: base.ResumeOption = False,
    engine: Annotated[str | None, typer.Option(help="Score on this machine (local, the default) or ray.")] = None,
    ray_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="The cluster; by default $RAY_ADDRESS, else Ray starts here.")
    ] = None,
    abstain_below: base.AbstainOption = 0.0,
    verbose: base.VerboseOption = None,
    as_json: base.JsonOption = False,
) -> None:
    """Classify texts: print the label and its probability for each, in order.

    The name of a file of reviews stands for --input. The options from --text to --ray-address are for --input.
    """
    if inputs and texts:
        raise SettingsError("give either texts or --input FILE, not both; put quotes around a glob")
    if texts and are_files(texts):
        base.remark(base.progress_console(verbose), f"scoring the file {texts[0]}, as with --input")
        inputs, texts = texts, None
    options = BulkOptions(
        inputs=tuple(inputs or ()),
        text=text,
        separator=separator,
        encoding=encoding,
        quoting=quoting,
        header=header,
        table=table,
        out=out,
        format=output_format,
        drop=tuple(drop or ()),
        on_error=on_error,
        resume=resume,
        engine=engine,
        ray_address=ray_address,
        verbose=verbose,
    )
    if inputs:
        score_inputs(options, model=model, abstain_below=abstain_below, as_json=as_json)
        return
    from plaudit.predictor import load

    _predict_texts(load(model, abstain_below=abstain_below), texts, as_json=as_json)


def _predict_texts(predictor: "Predictor", texts: list[str] | None, *, as_json: bool) -> None:
    if texts:
        _print_predictions(predictor, texts, as_json=as_json)
        return
    line = None
    for line in base.lines_of_stdin():
        _print_predictions(predictor, [line], as_json=as_json)
    if line is None:
        raise DataError("no texts: give them as arguments, as lines on stdin, or in a file with --input")


def _print_predictions(predictor: "Predictor", texts: list[str], *, as_json: bool) -> None:
    from plaudit.models.base import DECIMALS
    from plaudit.predictor import is_blank

    scores = predictor.predict_proba(texts)
    for text, row, verdict in zip(texts, scores, predictor.verdicts(texts, scores), strict=True):
        if as_json:
            probabilities = {label: round(float(p), DECIMALS) for label, p in zip(predictor.labels, row, strict=True)}
            content = {"text": text, "label": verdict, "probabilities": probabilities}
            if verdict is None:
                content["reason"] = predictor.reason(text, verdict)
            typer.echo(json.dumps(content, ensure_ascii=False))
        else:
            shown = "-" if is_blank(text) else f"{row.max():.3f}"
            typer.echo(f"{verdict or '-'}\t{shown}\t{excerpt(text)}")
