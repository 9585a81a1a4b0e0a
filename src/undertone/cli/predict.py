"""Verb that judges texts: predict."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from undertone.cli.base import (
    JsonOption,
    ModelOption,
    app,
    lines_of_stdin,
    progress_console,
)
from undertone.errors import DataError, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

    from undertone.predictor import Predictor


@app.command(
    epilog="Examples:\n\nundertone predict 'A film I would watch again.'\n\nundertone predict < lines.txt\n\n"
    "undertone predict --input reviews.csv --output scored.parquet"
)
def predict(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; without any, the lines of stdin.")] = None,
    model: ModelOption = "bow",
    file: Annotated[
        Path | None,
        typer.Option("--input", "-i", help="Score a CSV, TSV, JSON-lines or Parquet file.", readable=False),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option("--column", "-c", help="Its column of texts; by default the first usual name."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write .csv, .tsv, .jsonl or .parquet; by default, stdout."),
    ] = None,
    abstain_below: Annotated[
        float, typer.Option(metavar="P", help="Give no verdict of a lower probability, but - or null.")
    ] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Judge texts: the label and its probability for each, in order."""
    from undertone.predictor import load

    if file is None:
        for option, given in (("--column", column), ("--output", output)):
            if given is not None:
                raise SettingsError(f"{option} has no effect without --input FILE")
        _predict_texts(load(model, abstain_below=abstain_below), texts, as_json=as_json)
        return
    if texts:
        raise SettingsError("give either texts or --input FILE, not both")
    predictor = load(model, abstain_below=abstain_below)
    if output is None:
        _print_scored(predictor, file, column, as_json=as_json)
        return
    from undertone.scale.local import score_file

    console = progress_console()
    scored = score_file(predictor, file, output, column=column, console=console)
    without = f", {scored.rows_without_text:,} of them without a text" if scored.rows_without_text else ""
    if scored.abstained:
        without += f", {scored.abstained:,} without a verdict"
    if as_json:
        typer.echo(json.dumps({"output": str(output), **scored._asdict()}))
    else:
        console.print(f"{scored.rows:,} rows{without} scored, {output}", highlight=False)


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
    scores = predictor.predict_proba(texts)
    for text, row, verdict in zip(texts, scores, predictor.verdicts(scores), strict=True):
        if as_json:
            probabilities = {label: round(float(p), 7) for label, p in zip(predictor.labels, row, strict=True)}
            content = {"text": text, "label": verdict, "probabilities": probabilities}
            typer.echo(json.dumps(content, ensure_ascii=False))
        else:
            typer.echo(f"{verdict or '-'}\t{row.max():.3f}\t{_excerpt(text)}")


def _print_scored(predictor: "Predictor", file: Path, column: str | None, *, as_json: bool) -> None:
    from undertone.data.own import required_column
    from undertone.scale.local import scored_batches, write_json_lines

    text_column = required_column(file, "text", column)
    for batch in scored_batches(predictor, file, text_column):
        if as_json:
            write_json_lines(batch, sys.stdout)
            continue
        for text, label, probability in _verdicts(batch, text_column, predictor.labels):
            shown = "-" if probability is None else f"{probability:.3f}"
            typer.echo(f"{label or '-'}\t{shown}\t{_excerpt(text or '')}")


def _verdicts(
    batch: "pa.RecordBatch", text_column: str, labels: tuple[str, ...]
) -> list[tuple[str | None, str | None, float | None]]:
    of_labels = [f"probability_{label}" for label in labels]
    rows = batch.select([text_column, "predicted", *of_labels]).to_pylist()
    return [
        (
            row[text_column],
            row["predicted"],
            max((p for name in of_labels if (p := row[name]) is not None), default=None),
        )
        for row in rows
    ]


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:79] + "…"
