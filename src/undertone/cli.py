"""The command `undertone`: one verb a function, each importing what it needs when it runs.

Exit status: 0, or 2 after an error that the user can fix, or 130 after Ctrl-C.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

import undertone
from undertone.distributed.world import has_others
from undertone.errors import INTERRUPTED_STATUS, DataError, SettingsError, TrainingInterruptedError, UndertoneError

if TYPE_CHECKING:
    import pyarrow as pa

    from undertone.data.table import Dataset
    from undertone.predictor import Predictor

app = typer.Typer(
    help="Turn labelled reviews into the smallest, fastest sentiment model that is still right, and prove it.",
    epilog="Examples:\n\nundertone predict 'A film I would watch again.'\n\nundertone run recipes/quick.toml",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(
    help="Look at data sets: list, fetch, inspect.", epilog="Example:  undertone data list", no_args_is_help=True
)
app.add_typer(data_app, name="data")

ModelOption = Annotated[str, typer.Option("--model", "-m", help="A shipped model's name or a model folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=V", help="Change a setting, for example seed=1.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with the run that --out holds, if any.")]
RunFolderOption = Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; models go to OUT/models/NAME.")]
# An unreadable path is left to whoever reads it, who says so in one line where Typer would draw a box.
RecipeArgument = Annotated[Path, typer.Argument(help="A recipe, such as recipes/quick.toml.", readable=False)]


def main() -> None:
    """Run the command; what stops it is one line on stderr and the exit status."""
    # A text may hold what the terminal's encoding lacks, such as half of a surrogate pair.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a TextIOWrapper, as in every process
    try:
        app()
    except TrainingInterruptedError as error:
        _fail(str(error), INTERRUPTED_STATUS)
    except UndertoneError as error:
        _fail(str(error), 2)
    except BrokenPipeError:  # whoever read our output, `head` for one, has seen enough
        _drop_unwritten_output()
        sys.exit(1)
    except OSError as error:  # an unreadable recipe folder, a full disk behind stdout
        _drop_unwritten_output()
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}", 2)
    except SystemExit as stop:  # Typer's way to end, after Ctrl-C as well
        if stop.code == INTERRUPTED_STATUS:
            _fail("interrupted", INTERRUPTED_STATUS)
        raise


def _fail(message: str, status: int) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(message)}", highlight=False)
    sys.exit(status)


def _drop_unwritten_output() -> None:
    """Keep Python from writing once more, and failing once more, when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"undertone {undertone.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Turn labelled reviews into the smallest, fastest sentiment model that is still right, and prove it."""


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
    as_json: JsonOption = False,
) -> None:
    """Judge texts: the label and its probability for each, in order."""
    from undertone.predictor import load

    if file is None:
        for option, given in (("--column", column), ("--output", output)):
            if given is not None:
                raise SettingsError(f"{option} has no effect without --input FILE")
        _predict_texts(load(model), texts, as_json=as_json)
        return
    if texts:
        raise SettingsError("give either texts or --input FILE, not both")
    predictor = load(model)
    if output is None:
        _print_scored(predictor, file, column, as_json=as_json)
        return
    from undertone.scale.local import score_file

    console = _progress_console()
    num_rows, num_empty = score_file(predictor, file, output, column=column, console=console)
    without = f", {num_empty:,} of them without a text" if num_empty else ""
    if as_json:
        typer.echo(json.dumps({"output": str(output), "rows": num_rows, "rows_without_text": num_empty}))
    else:
        console.print(f"{num_rows:,} rows{without} scored, {output}", highlight=False)


def _predict_texts(predictor: "Predictor", texts: list[str] | None, *, as_json: bool) -> None:
    if texts:
        _print_predictions(predictor, texts, as_json=as_json)
        return
    if sys.stdin.isatty():
        Console(stderr=True).print("Type one review a line; Ctrl-D ends.", style="dim")
    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]  # stdin is a TextIOWrapper here
    line = None
    for line in sys.stdin:
        _print_predictions(predictor, [line.rstrip("\r\n")], as_json=as_json)
    if line is None:
        raise DataError("no texts: give some as arguments, as lines on stdin, or in a file by --input")


def _print_predictions(predictor: "Predictor", texts: list[str], *, as_json: bool) -> None:
    for text, row in zip(texts, predictor.predict_proba(texts), strict=True):
        best = int(row.argmax())
        if as_json:
            probabilities = {label: round(float(p), 7) for label, p in zip(predictor.labels, row, strict=True)}
            content = {"text": text, "label": predictor.labels[best], "probabilities": probabilities}
            typer.echo(json.dumps(content, ensure_ascii=False))
        else:
            typer.echo(f"{predictor.labels[best]}\t{row[best]:.3f}\t{_excerpt(text)}")


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
    rows = batch.select([text_column, "predicted", *(f"probability_{label}" for label in labels)]).to_pylist()
    return [(row[text_column], row["predicted"], row.get(f"probability_{row['predicted']}")) for row in rows]


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:79] + "…"


@app.command(epilog="Example:  undertone run recipes/quick.toml --out runs/quick --set models.lstm.train.epochs=2")
def run(
    recipe: RecipeArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the run; by default runs/RECIPE.")] = None,
    assignments: SetOption = None,
    resume: ResumeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Do everything a recipe says: data, training, evaluation on the test split, report."""
    from undertone import runs
    from undertone.evaluate.results import read_results
    from undertone.evaluate.terminal import render
    from undertone.recipe import read_recipe

    settings = read_recipe(recipe, assignments or ())
    folder = out or Path("runs") / settings.name
    console = _progress_console()
    page = runs.run(settings, folder, resume=resume, console=console)
    results = read_results(folder / "results.json")
    if as_json:
        typer.echo(results.model_dump_json(indent=1))
    else:
        render(results.results, Console())
        console.print(f"report: {page}", highlight=False)


@app.command(epilog="Example:  undertone pretrain recipes/teachers.toml --out runs/teachers --resume")
def pretrain(
    recipe: RecipeArgument,
    out: RunFolderOption,
    assignments: SetOption = None,
    resume: ResumeOption = False,
) -> None:
    """Train a recipe's language models, which read train and unlabelled reviews, and leave the rest to `train`."""
    from undertone import runs
    from undertone.recipe import read_recipe

    whole = read_recipe(recipe, assignments or ())
    with _among_ranks(resume=resume):
        runs.train(whole, out, resume=resume, console=_progress_console(), wanted=whole.language_models())


@app.command(epilog="Example:  undertone train recipes/plan.toml --out runs/plan --resume")
def train(
    recipe: RecipeArgument,
    out: RunFolderOption,
    assignments: SetOption = None,
    resume: ResumeOption = False,
) -> None:
    """Train a recipe's models; nothing looks at the test split."""
    from undertone import runs
    from undertone.recipe import read_recipe

    settings = read_recipe(recipe, assignments or ())
    with _among_ranks(resume=resume):
        runs.train(settings, out, resume=resume, console=_progress_console())


@app.command(
    epilog="Examples:\n\nundertone launch recipes/imdb.toml --out runs/imdb --gpus-per-node 4\n\n"
    "undertone launch recipes/imdb.toml --out runs/imdb --nodes 2 --gpus-per-node 4 --rendezvous node1:29400\n\n"
    "undertone launch recipes/imdb.toml --out runs/imdb --nodes 2 --gpus-per-node 4 --slurm --sbatch=--time=4:00:00"
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

    from undertone import runs
    from undertone.distributed.launch import Cluster, ranks_here, start_ranks
    from undertone.distributed.slurm import job_script, submit
    from undertone.recipe import read_recipe

    for option, is_given in (("--cpu", on_cpu), ("--sbatch", bool(sbatch))):
        if is_given and not slurm:
            raise SettingsError(f"{option} has no effect without --slurm")
    settings = read_recipe(recipe, assignments or ())
    runs.has_begun(settings, out, resume=resume)
    ranks = gpus_per_node or ranks_here()
    cluster = Cluster(nodes, ranks, rendezvous, max_restarts, timeout)
    given = [str(recipe.absolute()), "--out", str(out.absolute()), "--resume"]
    given += [f"--set={assignment}" for assignment in assignments or ()]
    console = _progress_console()
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
        typer.echo(f"{ranks} times on each of {nodes} nodes: {shlex.join(['undertone', 'train', *given])}")
        return
    start_ranks(cluster, ["train", *given], log_dir=out / "ranks", run_id=f"undertone-{settings.name}")
    console.print(f"score the models: undertone run {recipe} --out {out} --resume", highlight=False, soft_wrap=True)


@app.command(
    epilog="Examples:\n\nundertone doctor\n\n"
    "undertone doctor --nodes 2 --gpus-per-node 4 --rendezvous node1:29400 --shared runs\n\n"
    "srun --ntasks-per-node=1 undertone doctor --nodes 2 --rendezvous node1:29400 --shared runs"
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

    from undertone.recipe import missing_extra

    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # torch's stack traces, of what we say in one line
    try:
        from undertone.distributed.doctor import run as doctor_run
        from undertone.distributed.doctor.node import render
        from undertone.distributed.launch import Cluster
    except ModuleNotFoundError as error:
        raise missing_extra(error) from None
    if worker is not None:
        raise typer.Exit(doctor_run.take_part(shared, worker, version=undertone.__version__))
    ranks = gpus_per_node or doctor_run.ranks_by_default(nodes)
    cluster = Cluster(nodes, ranks, rendezvous, max_restarts=0, timeout_s=timeout)
    given = ["doctor"] if shared is None else ["doctor", "--shared", str(shared.absolute())]
    console = _progress_console()
    with console.status("ranks meet and measure"):
        examination = doctor_run.examine(cluster, given)
    if as_json and examination.findings:
        typer.echo(json.dumps({"findings": [asdict(finding) for finding in examination.findings]}, indent=1))
    elif examination.findings:
        render(examination.findings, Console())
    else:
        console.print("the node of the first rank shows what was found")
    raise typer.Exit(int(examination.has_problem))


@app.command(
    epilog="Examples:\n\nundertone compress runs/quick/models/lstm --method prune --ratio 0.5 --out small\n\n"
    "undertone compress student.toml --method distill --teacher runs/quick/models/lstm --out student\n\n"
    "undertone compress small --method quantize --out smaller"
)
def compress(
    model: Annotated[str, typer.Argument(help="A shipped model, a model folder, or for distill also a recipe.")],
    method: Annotated[str, typer.Option("--method", help="prune, distill or quantize.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the smaller model, or of a sweep.")],
    teachers: Annotated[list[str] | None, typer.Option("--teacher", help="distill: a model to learn from.")] = None,
    soft_labels: Annotated[Path | None, typer.Option(help="distill: a file in the place of teachers.")] = None,
    ratio: Annotated[float | None, typer.Option(help="prune: share that goes.")] = None,
    max_accuracy_drop: Annotated[
        float | None, typer.Option(help="prune: points of validation accuracy that may be lost.")
    ] = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="prune: try many ratios, seeds and schedules.")] = False,
    data: Annotated[str | None, typer.Option("--data", "-d", help="Reviews; by default those it learned from.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the training; by default the recipe's, or 0.")] = None,
    assignments: SetOption = None,
    resume: ResumeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a model smaller: prune it, distill it from teachers, or quantize it."""
    from undertone import compressing

    options = {
        "teachers": tuple(teachers) if teachers else None,
        "soft_labels": soft_labels,
        "ratio": ratio,
        "max_accuracy_drop": max_accuracy_drop,
    }
    given = {name: value for name, value in options.items() if value is not None}
    task = compressing.plan(model, method, given, assignments or (), data=data, seed=seed)
    console = _progress_console()
    if sweep:
        if resume or seed is not None:
            raise SettingsError("--sweep goes on by itself and has seeds of its own; leave out --resume and --seed")
        rows = compressing.sweep(task, out, console=console)
        typer.echo(json.dumps(rows, indent=1)) if as_json else compressing.render(rows, Console())
        return
    step = compressing.compress(task, out, resume=resume, console=console)
    if as_json:
        typer.echo(json.dumps(step, indent=1))


@app.command(
    epilog="Example:  undertone label runs/teachers/models/bow runs/teachers/models/lstm --data imdb "
    "--set variants.crop=1 --out soft-labels.parquet"
)
def label(
    models: Annotated[list[str], typer.Argument(metavar="TEACHER", help="Shipped models or model folders.")],
    data: Annotated[str, typer.Option("--data", "-d", help="A data set's name or an own file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file of soft labels to write.")],
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what teachers say of the reviews, with labels and without, for students to learn from.

    --set sources=["train"], variants.mask=1 … say which texts.
    """
    from undertone import compressing

    told = compressing.label(models, out, assignments or (), data=data, console=_progress_console())
    if as_json:
        typer.echo(json.dumps(told, indent=1))


@app.command(epilog="Example:  undertone evaluate bow runs/plan/models/lstm --data imdb --out results.json")
def evaluate(
    models: Annotated[list[str], typer.Argument(metavar="MODEL", help="Shipped models or model folders.")],
    data: Annotated[str, typer.Option("--data", "-d", help="A data set's name or an own file.")],
    split: Annotated[
        str | None, typer.Option(help="test, validation or train; by default test, or all rows of an own file.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Results file to add to.")] = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score finished models on labelled reviews: accuracy with its interval, calibration, speed.

    --set text_column=NAME, label_column=NAME … say how to read an own file.
    """
    from undertone.data import DATASETS, DataSettings, load_dataset
    from undertone.evaluate import evaluate as score
    from undertone.evaluate.results import ResultsFile, add_results, read_results
    from undertone.evaluate.terminal import render
    from undertone.predictor import load
    from undertone.settings import override, parse

    console = _progress_console()
    if out is not None and out.exists():
        read_results(out)  # what cannot be added to is refused now rather than after minutes of scoring
    results = []
    for model in models:
        predictor = load(model)
        values: dict[str, Any] = {"name": data}
        if data in DATASETS:
            trained_on = predictor.provenance.get("recipe", {}).get("data", {})
            values = dict(trained_on) if trained_on.get("name") == data else values
        else:
            values["labels"] = predictor.labels
        settings = parse(DataSettings, override(values, assignments or ()), source="--set")
        dataset = load_dataset(settings, console=console)
        where, table = _choose_split(dataset, settings, split)
        evaluation = score(
            predictor,
            table,
            label_names=dataset.labels,
            model_name=Path(model).name,
            data_name=dataset.name,
            split=where,
            console=console,
        )
        results.append(evaluation.result)
    if out is not None:
        add_results(out, results)
    if as_json:
        typer.echo(ResultsFile(results=tuple(results)).model_dump_json(indent=1))
    else:
        render(results, Console())


def _choose_split(dataset: "Dataset", settings: Any, split: str | None) -> "tuple[str, pa.Table]":  # noqa: ANN401
    from undertone.data import DATASETS
    from undertone.data.split import prepare

    if split is None and dataset.name not in DATASETS and not len(dataset.split("test")):
        return "all", dataset.table
    name = split or "test"
    if name not in ("train", "validation", "test"):
        raise SettingsError(f"--split {name}: give train, validation or test")
    # Rows that the source itself calls by that name are taken as they are; else the training run's own split.
    own = dataset.split(name)
    table: pa.Table = own if len(own) and name == "test" else getattr(prepare(dataset, settings), name)
    return name, table


@app.command(epilog="Example:  undertone export lstm --format onnx --out lstm.onnx")
def export(
    model: Annotated[str, typer.Argument(help="A shipped model's name or a model folder.")],
    format: Annotated[str, typer.Option(help="onnx (lstm, transformer) or flat (bow).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write a model as one file for other programs, checked against the original."""
    from undertone.bundle import load_trainable
    from undertone.export import export_model
    from undertone.predictor import model_folder
    from undertone.recipe import missing_extra

    try:
        bundle = load_trainable(model_folder(model))
    except ModuleNotFoundError as error:
        raise missing_extra(error) from None
    if bundle.is_language_model:
        raise SettingsError(f"{model} is a language model, which knows no labels; export one trained from it")
    exported = export_model(bundle.model, format=format, out=out, console=_progress_console())
    if as_json:
        content = {"out": str(out), "size_bytes": exported.size_bytes, "max_difference": exported.max_difference}
        typer.echo(json.dumps(content))


@app.command(epilog="Example:  undertone report runs/quick --out runs/quick/page")
def report(
    results: Annotated[Path, typer.Argument(help="A run's folder or a results.json.", readable=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for report.html.")],
    excerpt_characters: Annotated[
        int, typer.Option(min=0, help="Length of the excerpts of wrongly judged reviews; 0 leaves them out.")
    ] = 300,
) -> None:
    """Write one self-contained HTML page about a run."""
    from undertone.report import write_report

    page = write_report(results, out / "report.html", excerpt_characters=excerpt_characters)
    _progress_console().print(f"report: {page}", highlight=False)


@data_app.command("list", epilog="Example:  undertone data list --json")
def data_list(as_json: JsonOption = False) -> None:
    """List the data sets and where each would come from now."""
    from rich.table import Table

    from undertone.data import DATASETS, available

    places = available()
    if as_json:
        rows = {
            name: {"description": DATASETS[name].description, "local": place.local, "where": place.where}
            for name, place in places.items()
        }
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table("name", "what", "here", "from")
    for name, place in places.items():
        table.add_row(name, DATASETS[name].description, "yes" if place.local else "no", place.where)
    Console().print(table)


@data_app.command("fetch", epilog="Example:  undertone data fetch imdb")
def data_fetch(name: Annotated[str, typer.Argument(help="A name that `undertone data list` shows.")]) -> None:
    """Get a data set onto this machine; an interrupted download goes on where it broke off."""
    from undertone.data import DATASETS, DataSettings, load_dataset
    from undertone.settings import unknown_name

    if name not in DATASETS:
        raise SettingsError(f"data set {name} {unknown_name(name, DATASETS)}")
    console = _progress_console()
    dataset = load_dataset(DataSettings(name=name), console=console)
    console.print(f"{name}: {dataset.table.num_rows:,} reviews are here", highlight=False)


@data_app.command("inspect", epilog="Example:  undertone data inspect reviews.csv --set label_column=stars --out look")
def data_inspect(
    name: Annotated[str, typer.Argument(help="A data set's name or an own file.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for quality.json and plots.")] = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report what is odd about a data set: gaps, duplicates, leaks, balance, lengths, HTML, broken encoding."""
    from undertone.data import DataSettings, load_dataset
    from undertone.data.quality import inspect
    from undertone.data.quality_view import render, write
    from undertone.settings import override, parse

    settings = parse(DataSettings, override({"name": name}, assignments or ()), source="--set")
    console = _progress_console()
    report = inspect(load_dataset(settings, console=console))
    if out is not None:
        written = write(report, out)
        console.print(f"{len(written)} files in {out}", highlight=False)
    if as_json:
        typer.echo(report.to_json())
    else:
        render(report, Console())


@data_app.command(
    "leaks", epilog="Example:  undertone data leaks imdb --predictions runs/students/predictions/bow.parquet"
)
def data_leaks(
    name: Annotated[str, typer.Argument(help="A data set's name or an own file.")],
    predictions: Annotated[
        list[Path] | None, typer.Option("--predictions", help="A run's predictions, judged without the overlap too.")
    ] = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find texts of test and validation that train or unlabelled texts repeat, or nearly repeat, after the split."""
    from dataclasses import asdict

    from undertone.data import DataSettings, load_dataset
    from undertone.data.split import prepare
    from undertone.evaluate import leaks
    from undertone.settings import override, parse

    settings = parse(DataSettings, override({"name": name}, assignments or ()), source="--set")
    console = _progress_console()
    splits = prepare(load_dataset(settings, console=console), settings)
    with console.status("comparing texts"):
        found = leaks.overlaps(splits)
    judged = [leaks.worth(path, splits, found) for path in predictions or ()]
    if as_json:
        typer.echo(
            json.dumps({"overlaps": [asdict(o) for o in found], "models": [asdict(w) for w in judged]}, indent=1)
        )
    else:
        leaks.render(found, judged, Console())


def _progress_console() -> Console:
    """Progress and remarks go to stderr, so that stdout holds nothing but results; of many ranks the first one's."""
    return Console(stderr=True, quiet=os.environ.get("RANK", "0") != "0")


@contextmanager
def _among_ranks(*, resume: bool) -> Iterator[None]:
    """Join the other ranks, if `undertone launch` or torchrun has started any."""
    if not has_others():
        yield
        return
    if not resume:
        raise SettingsError("ranks may be restarted: give --resume too, which also begins a new run")
    from undertone.distributed.group import joined

    with joined():
        yield
