"""`predict --input`: scores files to stdout, to one file or to a folder."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from plaudit.cli.base import progress_console
from plaudit.errors import OutputError, SettingsError
from plaudit.settings import unknown_name

if TYPE_CHECKING:
    import pyarrow as pa

    from plaudit.data.formats.location import InputFile
    from plaudit.predictor import Predictor
    from plaudit.scale.folder import Engine, Summary
    from plaudit.scale.part import Counts


_OF_FOLDERS = ("format", "resume", "engine")
"""Options that only a folder of parts takes."""
_OF_OUTPUTS = ("drop", "on_error")
"""Options that files and folders take."""


@dataclass(frozen=True)
class Bulk:
    """The options of `predict` that are about files; None and False stand for what was not given."""

    inputs: Sequence[str]
    text: str | None
    out: str | None
    format: str | None
    drop: Sequence[str]
    on_error: str | None
    resume: bool
    engine: str | None
    ray_address: str | None
    verbose: bool | None

    def __post_init__(self) -> None:
        """SettingsError if an option has no effect, or a value that it cannot have."""
        if not self.inputs:
            self._refuse([field.name for field in fields(self)], "without --input FILE")
            return
        for option, given, known in (
            ("--format", self.format, ("csv", "jsonl", "parquet", "tsv")),
            ("--on-error", self.on_error, ("fail", "reject")),
            ("--engine", self.engine, ("local", "ray")),
        ):
            if given is not None and given not in known:
                raise SettingsError(f"{option} {given} {unknown_name(given, known)}")
        if self.engine != "ray":
            self._refuse(["ray_address"], "without --engine ray")
        if self.out is None:
            self._refuse(_OF_FOLDERS + _OF_OUTPUTS, "without --out")
        elif "://" in self.out:
            raise OutputError(f"{self.out}: scores are written to this machine; name a file or a folder of its own")
        elif not self.to_folder:
            self._refuse(_OF_FOLDERS, f"on one file; let --out name a folder: {self.out}/")

    @property
    def to_folder(self) -> bool:
        """Whether --out names a folder: by its name, because there is one, or because --format says of what."""
        if self.out is None:
            return False
        path = Path(self.out)
        return self.format is not None or self.out.endswith("/") or not path.suffix or path.is_dir()

    def _refuse(self, names: Sequence[str], where: str) -> None:
        for name in names:
            if getattr(self, name):
                raise SettingsError(f"--{name.replace('_', '-')} has no effect {where}")


def score_inputs(options: Bulk, *, model: str, abstain_below: float, as_json: bool) -> None:
    """Score what `options.inputs` name to where `options.out` says."""
    from plaudit.data.formats.location import find_files
    from plaudit.data.formats.open import ENDINGS
    from plaudit.predictor import load

    files: Sequence[InputFile] = find_files(options.inputs, endings=ENDINGS)
    if options.to_folder and options.out is not None:
        files = _without_parts_of(Path(options.out), files)
    if len(files) > 1 and not options.to_folder:
        given = "stdout" if options.out is None else f"--out {options.out}: one file"
        raise SettingsError(f"{given} cannot take the scores of {len(files):,} files; let --out name a folder")
    console = progress_console(options.verbose)
    predictor = load(model, abstain_below=abstain_below)
    if options.out is None:
        _print_scored(predictor, files[0], options.text, as_json=as_json)
    elif options.to_folder:
        _score_to_folder(predictor, files, options, _engine(options, model), console=console, as_json=as_json)
    else:
        _score_to_file(predictor, files[0], options, console=console, as_json=as_json)


def _without_parts_of(out: Path, files: "Sequence[InputFile]") -> "Sequence[InputFile]":
    """Return the files less those of an earlier run, whose folder may lie below the input's."""
    from plaudit.scale.job import MANIFEST

    if not (out / MANIFEST).is_file():
        return files
    own = out.resolve()
    kept = [
        file for file in files if not (file.location.is_local and own in Path(file.location.path).resolve().parents)
    ]
    if not kept:
        raise SettingsError(f"--out {out}: holds all of the input; name a folder of its own")
    return kept


def _score_to_file(
    predictor: "Predictor", file: "InputFile", options: Bulk, *, console: Console, as_json: bool
) -> None:
    from plaudit.scale.local import score_file

    assert options.out is not None
    counts = score_file(
        predictor,
        file,
        Path(options.out),
        column=options.text,
        drop=options.drop,
        rejects=options.on_error != "fail",
        console=console,
    )
    if as_json:
        typer.echo(json.dumps({"output": options.out, **counts._asdict()}))
    else:
        _tell(console, f"{_counted(counts)} scored, {options.out}", counts, f"{options.out}.rejected.jsonl")


def _score_to_folder(
    predictor: "Predictor",
    files: "Sequence[InputFile]",
    options: Bulk,
    engine: "Engine",
    *,
    console: Console,
    as_json: bool,
) -> None:
    from plaudit.scale.folder import score_folder

    assert options.out is not None
    summary = score_folder(
        predictor,
        files,
        Path(options.out),
        suffix=f".{options.format or 'parquet'}",
        column=options.text,
        drop=options.drop,
        rejects=options.on_error != "fail",
        resume=options.resume,
        engine=engine,
        console=console,
    )
    if as_json:
        typer.echo(summary.model_dump_json())
        return
    pace = f"{summary.seconds:,.1f} s, {summary.rows_per_second:,} rows/s"
    if not summary.rows_of_this_run:
        pace = "all of it before"
    told = f"{_counted(summary)} scored, {options.out}: {summary.parts:,} parts, {pace}"
    _tell(console, told, summary, str(Path(options.out) / "_rejected"))


def _engine(options: Bulk, model: str) -> "Engine":
    if options.engine == "ray":
        from plaudit.bundle.locate import model_folder
        from plaudit.scale.cluster import ray_engine

        return ray_engine(model_folder(model), address=options.ray_address)
    from plaudit.scale.local import score_parts

    return score_parts


def _counted(counts: "Counts | Summary") -> str:
    told = f"{counts.rows:,} rows"
    if counts.rows_without_text:
        told += f", {counts.rows_without_text:,} of them without a text"
    if counts.abstained:
        told += f", {counts.abstained:,} without a verdict"
    return told


def _tell(console: Console, told: str, counts: "Counts | Summary", rejected_to: str) -> None:
    if counts.rejected:
        told += f"; {counts.rejected:,} rows could not be read, {rejected_to} says why"
    console.print(told, highlight=False, markup=False, soft_wrap=True)


def _print_scored(predictor: "Predictor", file: "InputFile", column: str | None, *, as_json: bool) -> None:
    from plaudit.scale.local import scored_batches
    from plaudit.scale.writers import write_json_lines

    text_column, batches = scored_batches(predictor, file.location, column=column)
    for batch in batches:
        if as_json:
            write_json_lines(batch, sys.stdout)
            continue
        for text, label, probability in _verdicts(batch, text_column, predictor.labels):
            shown = "-" if probability is None else f"{probability:.3f}"
            typer.echo(f"{label or '-'}\t{shown}\t{excerpt(text or '')}")


def _verdicts(
    batch: "pa.RecordBatch", text_column: str, labels: tuple[str, ...]
) -> list[tuple[str | None, str | None, float | None]]:
    from plaudit.scale.scorer import added_columns

    predicted, *of_labels = added_columns(labels)
    rows = batch.select([text_column, predicted, *of_labels]).to_pylist()
    return [
        (
            row[text_column],
            row[predicted],
            max((p for name in of_labels if (p := row[name]) is not None), default=None),
        )
        for row in rows
    ]


def excerpt(text: str) -> str:
    """Return the beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:79] + "…"
