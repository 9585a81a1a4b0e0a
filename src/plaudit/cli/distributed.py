"""Verbs of many ranks: launch, doctor."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import plaudit
from plaudit.cli.base import (
    JsonOption,
    RecipeArgument,
    ResumeOption,
    RunFolderOption,
    SetOption,
    app,
    progress_console,
)
from plaudit.errors import SettingsError


@app.command(
    epilog="Examples:\n\nplaudit launch recipes/imdb.toml --out runs/imdb --gpus-per-node 4\n\n"
    "plaudit launch recipes/imdb.toml --out runs/imdb --nodes 2 --gpus-per-node 4 --rendezvous node1:29400\n\n"
    "plaudit launch recipes/imdb.toml --out runs/imdb --nodes 2 --gpus-per-node 4 --slurm --sbatch=--time=4:00:00"
)
def launch(
    recipe: RecipeArgument,
    out: RunFolderOption,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes; run this on each of them, or give --slurm.")] = 1,
    gpus_per_node: Annotated[
        int | None, typer.Option(min=1, help="Ranks on each node; by default its GPUs, or one without any.")
    ] = None,
    rendezvous: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where nodes meet: one of them, and a free port.")
    ] = None,
    assignments: SetOption = None,
    resume: ResumeOption = False,
    max_restarts: Annotated[int, typer.Option(min=0, help="How often ranks begin again after one is lost.")] = 3,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds after which a rank that is silent is lost.")] = 300,
    slurm: Annotated[bool, typer.Option("--slurm", help="Write a job script into --out and submit it.")] = False,
    on_cpu: Annotated[bool, typer.Option("--cpu", help="--slurm: ask for no GPUs; ranks use processors.")] = False,
    sbatch: Annotated[list[str] | None, typer.Option(metavar="OPTION", help="--slurm: an option of sbatch.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be run, and run nothing.")] = False,
) -> None:
    """Train a recipe's models on many GPUs and nodes, as `train` does on one; a lost rank is started again."""
    import shlex

    from plaudit.distributed.launch import Cluster, ranks_here, start_ranks
    from plaudit.distributed.slurm import job_script, submit
    from plaudit.pipeline import run as runs
    from plaudit.pipeline.recipe import read_recipe

    for option, is_given in (("--cpu", on_cpu), ("--sbatch", bool(sbatch))):
        if is_given and not slurm:
            raise SettingsError(f"{option} has no effect without --slurm")
    settings = read_recipe(recipe, assignments or ())
    runs.has_begun(settings, out, resume=resume)
    ranks = gpus_per_node or ranks_here()
    cluster = Cluster(nodes, ranks, rendezvous, max_restarts, timeout)
    given = [str(recipe.absolute()), "--out", str(out.absolute()), "--resume"]
    given += [f"--set={assignment}" for assignment in assignments or ()]
    console = progress_console()
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
    console.print(f"score the models: plaudit run {recipe} --out {out} --resume", highlight=False, soft_wrap=True)


@app.command(
    epilog="Examples:\n\nplaudit doctor\n\n"
    "plaudit doctor --nodes 2 --gpus-per-node 4 --rendezvous node1:29400 --shared runs\n\n"
    "srun --ntasks-per-node=1 plaudit doctor --nodes 2 --rendezvous node1:29400 --shared runs"
)
def doctor(
    nodes: Annotated[int, typer.Option(min=1, help="Nodes; run this on each of them, or by srun.")] = 1,
    gpus_per_node: Annotated[
        int | None,
        typer.Option(min=1, help="Ranks on each node; by default its GPUs, or without any one, or two alone."),
    ] = None,
    rendezvous: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where nodes meet: one of them, and a free port.")
    ] = None,
    shared: Annotated[Path | None, typer.Option(help="Folder of runs, which all nodes should see.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds after which a silent node or rank is missing.")] = 60,
    as_json: JsonOption = False,
    worker: Annotated[Path | None, typer.Option(hidden=True, help="Be a rank; leave findings in this folder.")] = None,
) -> None:
    """Say whether this node, or all nodes of a job, are fit to train with many ranks, and what to do if not.

    Exit status 1 if there is a problem.
    """
    from dataclasses import asdict

    from plaudit.pipeline.recipe import missing_extra

    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # torch's stack traces, of what we say in one line
    try:
        from plaudit.distributed.doctor import run as doctor_run
        from plaudit.distributed.doctor.node import render
        from plaudit.distributed.launch import Cluster
    except ModuleNotFoundError as error:
        raise missing_extra(error) from None
    if worker is not None:
        raise typer.Exit(doctor_run.take_part(shared, worker, version=plaudit.__version__))
    ranks = gpus_per_node or doctor_run.ranks_by_default(nodes)
    cluster = Cluster(nodes, ranks, rendezvous, max_restarts=0, timeout_s=timeout)
    given = ["doctor"] if shared is None else ["doctor", "--shared", str(shared.absolute())]
    console = progress_console()
    with console.status("ranks meet and measure"):
        examination = doctor_run.examine(cluster, given)
    if as_json and examination.findings:
        typer.echo(json.dumps({"findings": [asdict(finding) for finding in examination.findings]}, indent=1))
    elif examination.findings:
        render(examination.findings, Console())
    else:
        console.print("the node of the first rank shows what was found")
    raise typer.Exit(int(examination.has_problem))
