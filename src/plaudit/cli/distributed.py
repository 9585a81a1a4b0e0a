"""Verbs for training on many GPUs and nodes: launch, doctor."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

import plaudit
from plaudit.cli import base
from plaudit.console import needs_extra, table
from plaudit.errors import SettingsError

STATUS_COLOURS = {"ok": "green", "warning": "yellow", "problem": "bold red"}

_LOG_LEVEL = "TORCH_CPP_LOG_LEVEL"

NodesOption = Annotated[int, typer.Option(min=1, help="Number of nodes; run this on each, or use Slurm.")]
RendezvousOption = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Where nodes meet: one of them, and a free port.")
]


@contextmanager
def _without_traces() -> Iterator[None]:
    """Let torch, where it is imported now, print no C++ traces; ranks keep theirs in their logs."""
    asked = os.environ.get(_LOG_LEVEL)
    os.environ.setdefault(_LOG_LEVEL, "FATAL")
    yield
    if asked is None:
        del os.environ[_LOG_LEVEL]


@base.app.command(
    epilog="Examples:\n\nplaudit launch imdb --out runs/imdb --gpus-per-node 4\n\n"
    "plaudit launch imdb --out runs/imdb --nodes 2 --gpus-per-node 4 --rendezvous node1:29400\n\n"
    "plaudit launch imdb --out runs/imdb --nodes 2 --gpus-per-node 4 --slurm --sbatch=--time=4:00:00"
)
def launch(
    recipe: base.RecipeArgument,
    out: base.RunFolderOption,
    nodes: NodesOption = 1,
    gpus_per_node: Annotated[
        int | None, typer.Option(min=1, help="Ranks on each node; by default one per GPU, or one if there is none.")
    ] = None,
    rendezvous: RendezvousOption = None,
    assignments: base.SetOption = None,
    resume: base.ResumeOption = False,
    max_restarts: Annotated[int, typer.Option(min=0, help="How often to restart the ranks after one is lost.")] = 3,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds of silence after which a rank is lost.")] = 300,
    slurm: Annotated[bool, typer.Option("--slurm", help="Write a job script into --out and submit it.")] = False,
    on_cpu: Annotated[bool, typer.Option("--cpu", help="--slurm: request no GPUs and train on CPUs.")] = False,
    sbatch: Annotated[
        list[str] | None, typer.Option(metavar="OPTION", help="--slurm: an option for sbatch; may be repeated.")
    ] = None,
    verbose: base.VerboseOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run, and run nothing.")] = False,
) -> None:
    """Train a recipe's models on many GPUs and nodes; a lost rank is started again."""
    import shlex

    with _without_traces():
        from plaudit.distributed.launch import Cluster, ranks_here, start_ranks
    from plaudit.distributed.slurm import job_script, submit
    from plaudit.pipeline import run as runs
    from plaudit.pipeline.recipe import read_recipe
    from plaudit.pipeline.shipped import find_recipe

    for option, is_given in (("--cpu", on_cpu), ("--sbatch", bool(sbatch))):
        if is_given and not slurm:
            raise SettingsError(f"{option} has no effect without --slurm")
    settings = read_recipe(recipe, assignments or ())
    runs.has_begun(settings, out, resume=resume)
    ranks = gpus_per_node or ranks_here()
    cluster = Cluster(nodes, ranks, rendezvous, max_restarts, timeout)
    given = [str(find_recipe(recipe).absolute()), "--out", str(out.absolute()), "--resume"]
    given += [f"--set={assignment}" for assignment in assignments or ()]
    given += [] if verbose is None else ["--verbose" if verbose else "--quiet"]
    console = base.progress_console(verbose)
    if slurm:
        options = [f"--gpus-per-node={ranks}", f"--max-restarts={max_restarts}", f"--timeout={timeout:g}"]
        script = job_script(
            cluster,
            ["launch", *given, *options],
            name=settings.name,
            log=out.absolute() / "ranks" / "slurm-%j.log",
            gpus=not on_cpu,
            options=sbatch or (),
        )
        if dry_run:
            typer.echo(script, nl=False)
        else:
            path = out / "ranks" / "job.sh"
            console.print(f"job {submit(script, path)}: {path}; its log: {path.parent}/slurm-*.log", soft_wrap=True)
        return
    cluster.check()
    if dry_run:
        typer.echo(f"{ranks} times on each of {nodes} nodes: {shlex.join(['plaudit', 'train', *given])}")
        return
    start_ranks(cluster, ["train", *given], log_dir=out / "ranks", run_id=f"plaudit-{settings.name}")
    again = ["run", str(recipe), "--out", str(out), "--resume", *(f"--set={each}" for each in assignments or ())]
    base.remark(console, f"score the models: plaudit {shlex.join(again)}")


@base.app.command(
    epilog="Examples:\n\nplaudit doctor\n\n"
    "plaudit doctor --nodes 2 --gpus-per-node 4 --rendezvous node1:29400 --shared runs\n\n"
    "srun --ntasks-per-node=1 plaudit doctor --nodes 2 --rendezvous node1:29400 --shared runs"
)
def doctor(
    nodes: NodesOption = 1,
    gpus_per_node: Annotated[
        int | None,
        typer.Option(min=1, help="Ranks on each node; by default one per GPU, else one, or two on a single node."),
    ] = None,
    rendezvous: RendezvousOption = None,
    shared: Annotated[Path | None, typer.Option(help="Folder for runs, which all nodes should share.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds of silence after which a rank is missing.")] = 60,
    verbose: base.VerboseOption = None,
    as_json: base.JsonOption = False,
    worker: Annotated[
        Path | None, typer.Option(hidden=True, help="Run as one of the ranks, and write what fails into this folder.")
    ] = None,
) -> None:
    """Check whether this node, or all nodes of a job, can train together, and suggest fixes.

    Exit status 1 if there is a problem.
    """
    from dataclasses import asdict

    os.environ.setdefault(_LOG_LEVEL, "FATAL")  # torch's stack traces; we report errors in one line
    with needs_extra("train", "plaudit doctor"):
        from plaudit.distributed import doctor
        from plaudit.distributed.launch import Cluster
    if worker is not None:
        doctor.take_part(shared, worker)
        return
    cluster = Cluster(
        nodes, gpus_per_node or doctor.default_ranks(nodes), rendezvous, max_restarts=0, timeout_s=timeout
    )
    with base.progress_console(verbose).status("nodes meet and exchange messages"):
        findings = doctor.examine(cluster, shared, version=plaudit.__version__)
    if as_json:
        typer.echo(json.dumps({"findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        shown = table("check", "found", "", "what to do")
        for finding in findings:
            status = f"[{STATUS_COLOURS[finding.status]}]{finding.status}[/]"
            shown.add_row(finding.name, escape(finding.found), status, escape(finding.advice))
        Console().print(shown)
    raise typer.Exit(int(doctor.has_problem(findings)))
