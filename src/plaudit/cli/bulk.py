"""Score files for `predict --input`: results go to stdout, to one file or to a folder of parts."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from plaudit.cli import base
from plaudit.errors import OutputError, SettingsError
from plaudit.settings import parse, unknown_name

if TYPE_CHECKING:
    from plaudit.data.formats.find import InputFile
    from plaudit.data.formats.read_options import ReadOptions
    from plaudit.predictor import Predictor
    from plaudit.scale.folder import Engine, Summary
    from plaudit.scale.part import Counts

_FOLDER_OPTIONS = ("format", "resume", "engine")
"""Options that need --out to be a folder."""
_OUTPUT_OPTIONS = ("on_error",)
"""Options that need --out."""
_CHOICES = {
    "format": ("csv", "jsonl", "parquet", "tsv"),
    "on_error": ("fail", "reject"),
    "engine": ("local", "ray"),
}

_MAX_DESCRIBED = 10
"""Of how many files the beginning is looked at before any is scored, to say how they are written."""


@dataclass(frozen=True)
class BulkOptions:
    """The options of `predict` about files; None and False stand for options that were not given."""

    inputs: Sequence[str]
    text: str | None
    separator: str | None
    encoding: str | None
    quoting: str | None
    header: bool | None
    table: str | None
    out: str | None
    format: str | None
    drop: Sequence[str]
    on_error: str | None
    resume: bool
    engine: str | None
    ray_address: str | None
    verbose: bool | None

    def __post_init__(self) -> None:
        """SettingsError if an option has no effect or an unknown value."""
        if not self.inputs:
            self._refuse([field.name for field in fields(self)], "without --input FILE")
            return
        _ = self.read_options
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in known:
                raise SettingsError(f"{_as_option(name)} {value} {unknown_name(value, known)}")
        if self.engine != "ray":
            self._refuse(["ray_address"], "without --engine ray")
        if self.out is None:
            self._refuse(_FOLDER_OPTIONS + _OUTPUT_OPTIONS, "without --out")
        elif "://" in self.out:
            raise OutputError(f"{self.out}: scores are written to this machine; name a local file or folder")
        elif not self.to_folder:
            self._refuse(_FOLDER_OPTIONS, f"on one file; let --out name a folder: {self.out}/")

    @property
    def to_folder(self) -> bool:
        """Whether --out names a folder: by its name, because there is one, or because there is a --format."""
        if self.out is None:
            return False
        path = Path(self.out)
        return self.format is not None or self.out.endswith("/") or not path.suffix or path.is_dir()

    @property
    def rejects(self) -> bool:
        """Whether rows that cannot be read are written to a side file."""
        return self.on_error != "fail"

    @property
    def read_options(self) -> "ReadOptions":
        """How the input is written; SettingsError if an option has no such value."""
        from plaudit.data.formats.read_options import ReadOptions

        values = {name: getattr(self, name) for name in ReadOptions.model_fields}
        return parse(ReadOptions, values, source="--input")

    def _refuse(self, names: Sequence[str], where: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value or (name == "header" and value is not None):
                raise SettingsError(f"{_as_option(name)} has no effect {where}")


def score_inputs(options: BulkOptions, *, model: str, abstain_below: float, as_json: bool) -> None:
    """Score the files in `options.inputs` to `options.out`."""
    from plaudit.data.formats.find import find_files
    from plaudit.data.formats.pipe import copied_pipes

    with copied_pipes(options.inputs) as locations:
        _score_files(find_files(locations), options, model=model, abstain_below=abstain_below, as_json=as_json)


def _score_files(
    files: "list[InputFile]", options: BulkOptions, *, model: str, abstain_below: float, as_json: bool
) -> None:
    from plaudit.data.formats.open import find_format
    from plaudit.predictor import load

    out = None if options.out is None else Path(options.out)
    if out is not None and options.to_folder:
        files = _without_own_output(out, files)
    elif len(files) > 1:
        place = "stdout" if out is None else f"--out {out}: one file"
        raise SettingsError(f"{place} cannot take the scores of {len(files):,} files; let --out name a folder")
    console = base.progress_console(options.verbose)
    predictor = load(model, abstain_below=abstain_below)
    for file in files[:_MAX_DESCRIBED]:
        found = find_format(file.location, options.read_options)
        if not found.is_standard:
            base.remark(console, f"{file.location}: {found.describe()}")
    if out is None:
        _print_scores(predictor, files[0], options, as_json=as_json)
    elif options.to_folder:
        _score_to_folder(predictor, files, out, options, _engine(options, model), console=console, as_json=as_json)
    else:
        _score_to_file(predictor, files[0], out, options, console=console, as_json=as_json)


def are_files(texts: Sequence[str]) -> bool:
    """Say whether texts are the names of files that can be scored; SettingsError if only some are."""
    files = [text for text in texts if _is_file(text)]
    if not files:
        return False  # without the imports that follow, which a short text need not wait for
    from plaudit.data.formats.open import ENDINGS

    files = [text for text in files if text.lower().endswith((*ENDINGS, ".txt"))]
    if files and len(files) < len(texts):
        raise SettingsError(f"{files[0]} is a file among texts; score it by --input {files[0]}, or leave it out")
    return bool(files)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # longer than a file's name may be
        return False


def _as_option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _without_own_output(out: Path, files: "list[InputFile]") -> "list[InputFile]":
    """Return the files that are not the output of an earlier run, whose folder may be inside the input's."""
    from plaudit.scale.job import MANIFEST

    if not (out / MANIFEST).is_file():
        return files
    inputs = [
        file
        for file in files
        if not (file.location.is_local and out.resolve() in Path(file.location.path).resolve().parents)
    ]
    if not inputs:
        raise SettingsError(f"--out {out}: all input files are in this folder; name another one")
    return inputs


def _score_to_file(
    predictor: "Predictor", file: "InputFile", out: Path, options: BulkOptions, *, console: Console, as_json: bool
) -> None:
    from plaudit.scale.local import score_file

    counts = score_file(
        predictor,
        file,
        out,
        column=options.text,
        read_options=options.read_options,
        drop=options.drop,
        rejects=options.rejects,
        console=console,
    )
    if as_json:
        typer.echo(json.dumps({"output": options.out, **counts._asdict()}))
    else:
        _print_summary(console, counts, str(out), f"{out}.rejected.jsonl")


def _score_to_folder(
    predictor: "Predictor",
    files: "Sequence[InputFile]",
    out: Path,
    options: BulkOptions,
    engine: "Engine",
    *,
    console: Console,
    as_json: bool,
) -> None:
    from plaudit.scale.folder import score_folder

    summary = score_folder(
        predictor,
        files,
        out,
        suffix=f".{options.format or 'parquet'}",
        column=options.text,
        read_options=options.read_options,
        drop=options.drop,
        rejects=options.rejects,
        resume=options.resume,
        engine=engine,
        console=console,
    )
    if as_json:
        typer.echo(summary.model_dump_json())
        return
    pace = f"{summary.seconds:,.1f} s, {summary.rows_per_second:,} rows/s"
    if not summary.rows_of_this_run:
        pace = "all done before"
    _print_summary(console, summary, f"{options.out}: {summary.parts:,} parts, {pace}", str(out / "_rejected"))


def _engine(options: BulkOptions, model: str) -> "Engine":
    if options.engine == "ray":
        from plaudit.bundle.locate import model_folder
        from plaudit.scale.cluster import ray_engine

        return ray_engine(model_folder(model), address=options.ray_address)
    from plaudit.scale.local import score_parts

    return score_parts


def _print_summary(console: Console, counts: "Counts | Summary", output: str, rejected_to: str) -> None:
    line = f"{counts.rows:,} rows"
    if counts.rows_without_text:
        line += f", {counts.rows_without_text:,} of them without a text"
    if counts.abstained:
        line += f", {counts.abstained:,} without a label"
    line += f" scored, {output}"
    if counts.rejected:
        line += f"; {counts.rejected:,} rows could not be read, {rejected_to} says why"
    base.remark(console, line)


def _print_scores(predictor: "Predictor", file: "InputFile", options: BulkOptions, *, as_json: bool) -> None:
    from plaudit.scale.arrow_scorer import added_columns
    from plaudit.scale.local import scored_batches
    from plaudit.scale.writers import write_json_lines

    text_column, batches = scored_batches(
        predictor,
        file.location,
        column=options.text,
        drop=options.drop,
        texts_only=not as_json,
        read_options=options.read_options,
    )
    shown_columns = (text_column, *added_columns(predictor.labels))
    for batch in batches:
        if as_json:
            write_json_lines(batch, sys.stdout)
            continue
        for row in batch.to_pylist():
            text, predicted, *probabilities = (row[name] for name in shown_columns)
            shown = "-" if probabilities[0] is None else f"{max(probabilities):.3f}"
            typer.echo(f"{predicted or '-'}\t{shown}\t{excerpt(text or '')}")


def excerpt(text: str) -> str:
    """Return the beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:79] + "…"
