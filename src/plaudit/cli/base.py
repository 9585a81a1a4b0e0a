"""The command itself, the options that several verbs share, and where progress is printed."""

import json
import logging
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

import plaudit
from plaudit.cli.streams import print_utf8
from plaudit.distributed.world import has_others
from plaudit.errors import SettingsError
from plaudit.threads import num_threads

PANELS = {
    "Common commands": ("predict", "train", "run", "evaluate", "compress", "serve"),
    "Prepare and train": ("data", "recipes", "select", "tune", "pretrain", "launch", "doctor"),
    "Understand a model": ("explain", "errors", "robustness", "report"),
    "Calibrate, label, export": ("calibrate", "label", "export"),
}
"""The groups of verbs that --help shows, in its order."""


class _Verbs(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401  # Typer has a click of its own
        for panel, verbs in PANELS.items():
            for verb in verbs:
                self.commands[verb].rich_help_panel = panel  # type: ignore[attr-defined]  # a TyperCommand or TyperGroup
        return [verb for verbs in PANELS.values() for verb in verbs]


app = typer.Typer(
    cls=_Verbs,
    help="Turn labelled reviews into the smallest, fastest sentiment model that is still accurate, and measure it.",
    epilog="Examples:\n\nplaudit predict 'A fine film that I will watch again.'\n\nplaudit run quick",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # Rich's own markup would swallow [brackets]
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(
    help="List, fetch and inspect data sets.", epilog="Example:  plaudit data list", no_args_is_help=True
)
app.add_typer(data_app, name="data")


def out_option(help: str) -> Any:  # noqa: ANN401  # what typer.Option returns
    """Return the option --out, which names a file or folder to write."""
    return typer.Option("--out", "-o", help=help)


def data_option(help: str) -> Any:  # noqa: ANN401
    """Return the option --data, which names reviews."""
    return typer.Option("--data", "-d", help=help)


ModelArgument = Annotated[str, typer.Argument(help="A shipped model or a model folder.")]
ModelsArgument = Annotated[list[str], typer.Argument(metavar="MODEL", help="Shipped models or model folders.")]
ModelOption = Annotated[str, typer.Option("--model", "-m", help="A shipped model or a model folder.")]
TextsArgument = Annotated[list[str] | None, typer.Argument(help="Texts; by default, the lines of stdin.")]
AbstainOption = Annotated[
    float, typer.Option(metavar="P", help="Predict no label (- or null) if its probability is lower.")
]
DataOption = Annotated[str, data_option("A data set's name or your own file.")]
TextOption = Annotated[
    str | None, typer.Option("--text", metavar="COLUMN", help="Your file's text column, if it has an unusual name.")
]
LabelOption = Annotated[
    str | None, typer.Option("--label", metavar="COLUMN", help="Your file's label column, if it has an unusual name.")
]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="CLASSES",
        help="Labels by the values that stand for them, as in 'negative=1,2 positive=4-5'; leaves out other rows.",
    ),
]
SeparatorOption = Annotated[
    str | None, typer.Option(metavar="CHARACTER", help="What separates cells of a text file: ';' or tab, for example.")
]
EncodingOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="A text file's encoding: cp1252 or utf-16, for example.")
]
QuotingOption = Annotated[
    str | None, typer.Option(metavar="HOW", help="Quotes in a quoted cell: double, backslash; none quotes no cell.")
]
HeaderOption = Annotated[
    bool | None,
    typer.Option("--header/--no-header", help="Whether the first row names the columns; else they are 1, 2, …"),
]
TableOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="The sheet of a spreadsheet, or the file in a zip archive.")
]
JsonOption = Annotated[bool, typer.Option("--json", callback=print_utf8, help="Print results as JSON.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a setting, for example seed=1; may be repeated."),
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Random seed; by default the recipe's, or 0.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Resume the run in --out, if there is one.")]
RunFolderOption = Annotated[Path, out_option("Folder of the run; models go to OUT/models/NAME.")]
VerboseOption = Annotated[
    bool | None,
    typer.Option(
        "--verbose/--quiet",
        "-v/-q",
        help="Show versions, and how long after the start each line came; or show only errors and results.",
    ),
]
# Whoever reads a path reports an unreadable one in a line, where Typer would draw a box.
RecipeArgument = Annotated[
    Path, typer.Argument(help="A recipe: a TOML file, or a name that `plaudit recipes` lists.", readable=False)
]


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"plaudit {plaudit.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the command itself; its help is that of `app`."""


def progress_console(verbose: bool | None = None) -> Console:
    """Return the console for progress and remarks: stderr, so that stdout holds only results.

    Only the first of many ranks prints. `verbose` is True for --verbose, False for --quiet.
    """
    quiet = verbose is False or (os.environ.get("RANK") or "0") != "0"
    if quiet:
        logging.getLogger("plaudit").setLevel(logging.WARNING)
    if not verbose:
        return Console(stderr=True, quiet=quiet)
    console = _TimedConsole(stderr=True, quiet=quiet)
    packages = [f"{name} {found}" for name in ("numpy", "numba", "torch") if (found := _installed(name))]
    about = [f"plaudit {plaudit.__version__}", f"Python {platform.python_version()}", *packages]
    console.print(f"{', '.join(about)}; {num_threads()} threads", highlight=False, soft_wrap=True)
    return console


def remark(console: Console, text: str) -> None:
    """Print a line as it is, however long."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


class _Remarks(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        remark(Console(stderr=True), record.getMessage())


def show_log(handler: logging.Handler | None = None) -> None:
    """Give what the package logs, from INFO on, to a handler; by default each message becomes a line on stderr."""
    logger = logging.getLogger("plaudit")
    logger.setLevel(logging.INFO)
    logger.handlers = [handler or _Remarks()]


class _TimedConsole(Console):
    """Begins each message with the seconds since the console was made."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self._start = time.perf_counter()

    def print(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401
        if objects and isinstance(objects[0], str):  # a progress bar is no message
            objects = (f"{time.perf_counter() - self._start:7.1f} s ", *objects)
        super().print(*objects, **options)


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def data_settings(
    assignments: Sequence[str] | None,
    *,
    text: str | None,
    label: str | None,
    labels: str | None = None,
    **file: str | bool | None,
) -> list[str]:
    """Return the assignments of --set, and those of --text, --label, --labels and options about the file."""
    values = {"text_column": text, "label_column": label, **file}
    named = [f"{setting}={_as_toml(value)}" for setting, value in values.items() if value is not None]
    if labels is not None:
        from plaudit.data.label_values import parse_classes

        classes = parse_classes(labels, source="--labels")
        listed = (f"{_as_toml(name)} = {_as_toml(values)}" for name, values in classes.items())
        named.append(f"labels={{{', '.join(listed)}}}")
    return [*named, *(assignments or ())]


def _as_toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def lines_of_stdin() -> Iterator[str]:
    """Yield what is typed or piped in, line by line, as soon as it arrives."""
    if sys.stdin.isatty():
        Console(stderr=True).print("Type one review per line; press Ctrl-D to finish.", style="dim")
    sys.stdin.reconfigure(encoding="utf-8-sig", errors="replace")  # type: ignore[union-attr]  # a TextIOWrapper here
    for line in sys.stdin:
        yield line.rstrip("\r\n")


@contextmanager
def among_ranks(*, resume: bool) -> Iterator[None]:
    """Join the other ranks, if `plaudit launch` or torchrun has started any."""
    if not has_others():
        yield
        return
    if not resume:
        raise SettingsError("ranks may be restarted: give --resume too, which also begins a new run")
    from plaudit.distributed.group import joined

    with joined():
        yield
