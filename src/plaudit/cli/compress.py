"""Verbs that turn models into smaller models, labels or other formats: compress, label, export."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from plaudit.cli import base
from plaudit.errors import SettingsError


@base.app.command(
    epilog="Examples:\n\nplaudit compress runs/quick/models/lstm --method prune --ratio 0.5 --out small\n\n"
    "plaudit compress plan --method distill --teacher runs/quick/models/lstm --out student\n\n"
    "plaudit compress small --method quantize --out smaller"
)
def compress(
    model: Annotated[str, typer.Argument(help="A shipped model, a model folder or, for distill, a recipe.")],
    method: Annotated[str, typer.Option("--method", help="prune, distill or quantize.")],
    out: Annotated[Path, base.out_option("Folder of the smaller model, or of the sweep.")],
    teachers: Annotated[
        list[str] | None, typer.Option("--teacher", help="distill: a model to learn from; may be repeated.")
    ] = None,
    soft_labels: Annotated[Path | None, typer.Option(help="distill: a file from `plaudit label` instead.")] = None,
    ratio: Annotated[float | None, typer.Option(help="prune: fraction to remove.")] = None,
    max_accuracy_drop: Annotated[
        float | None, typer.Option(help="prune: percentage points of validation accuracy that may be lost.")
    ] = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="prune: try many ratios, seeds and schedules.")] = False,
    data: Annotated[str | None, base.data_option("Reviews to use; by default those it was trained on.")] = None,
    seed: base.SeedOption = None,
    assignments: base.SetOption = None,
    resume: base.ResumeOption = False,
    verbose: base.VerboseOption = None,
    as_json: base.JsonOption = False,
) -> None:
    """Make a model smaller: prune it, distill it from teachers, or quantize it."""
    from plaudit.pipeline import compress as compressing

    options = {
        "teachers": tuple(teachers) if teachers else None,
        "soft_labels": soft_labels,
        "ratio": ratio,
        "max_accuracy_drop": max_accuracy_drop,
    }
    given = {name: value for name, value in options.items() if value is not None}
    task = compressing.plan(model, method, given, assignments or (), data=data, seed=seed)
    console = base.progress_console(verbose)
    if sweep:
        if resume or seed is not None:
            raise SettingsError("--sweep always resumes and has its own seeds; leave out --resume and --seed")
        from plaudit.search import sweep_view
        from plaudit.search.sweep import sweep as run_sweep

        summary = run_sweep(task, out, console=console)
        if as_json:
            typer.echo(json.dumps(summary, indent=1))
        else:
            sweep_view.show(summary, Console())
        return
    step = compressing.compress(task, out, resume=resume, console=console)
    if as_json:
        typer.echo(json.dumps(step, indent=1))


@base.app.command(
    epilog="Example:  plaudit label runs/teachers/models/bow runs/teachers/models/lstm --data imdb "
    "--out soft-labels.parquet"
)
def label(
    models: Annotated[list[str], typer.Argument(metavar="TEACHER", help="Shipped models or model folders.")],
    data: base.DataOption,
    out: Annotated[Path, base.out_option("The file of soft labels to write.")],
    assignments: base.SetOption = None,
    verbose: base.VerboseOption = None,
    as_json: base.JsonOption = False,
) -> None:
    """Write the teachers' predictions for labelled and unlabelled reviews, for students to learn from.

    --set sources=["train"] leaves out the reviews without labels.
    """
    from plaudit.pipeline import compress as compressing

    provenance = compressing.label(models, out, assignments or (), data=data, console=base.progress_console(verbose))
    if as_json:
        typer.echo(json.dumps(provenance, indent=1))


@base.app.command(epilog="Example:  plaudit export lstm --format onnx --out lstm.onnx")
def export(
    model: base.ModelArgument,
    format: Annotated[str, typer.Option(help="onnx (lstm, transformer) or flat (bow).")],
    out: Annotated[Path, base.out_option("The file to write.")],
    verbose: base.VerboseOption = None,
    as_json: base.JsonOption = False,
) -> None:
    """Export a model as one file for other programs, and check its predictions against the original."""
    from plaudit.bundle.export import export_model
    from plaudit.bundle.folder import load_trainable
    from plaudit.bundle.locate import model_folder
    from plaudit.console import needs_extra

    with needs_extra("train", "exporting a model"):
        bundle = load_trainable(model_folder(model))
    if bundle.is_language_model:
        raise SettingsError(f"{model} is a language model, which predicts no labels; export one trained from it")
    exported = export_model(bundle.model, format=format, out=out, console=base.progress_console(verbose))
    if as_json:
        content = {"out": str(out), "size_bytes": exported.size_bytes, "max_difference": exported.max_difference}
        typer.echo(json.dumps(content))
