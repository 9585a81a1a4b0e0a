"""What the verbs share: the command itself, options that mean the same everywhere, and where progress goes."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import plaudit
from plaudit.distributed.world import has_others
from plaudit.errors import SettingsError

app = typer.Typer(
    help="Turn labelled reviews into the smallest, fastest sentiment model that is still right, and prove it.",
    epilog="Examples:\n\nplaudit predict 'A fine film that I will watch again.'\n\nplaudit run recipes/quick.toml",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(
    help="Look at data sets: list, fetch, inspect.", epilog="Example:  plaudit data list", no_args_is_help=True
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


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"plaudit {plaudit.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Turn labelled reviews into the smallest, fastest sentiment model that is still right, and prove it."""


def progress_console() -> Console:
    """Progress and remarks go to stderr, so that stdout holds nothing but results; of many ranks the first one's."""
    return Console(stderr=True, quiet=os.environ.get("RANK", "0") != "0")


def lines_of_stdin() -> Iterator[str]:
    """Yield what is typed or piped in, a line at a time, as soon as it is there."""
    if sys.stdin.isatty():
        Console(stderr=True).print("Type one review a line; Ctrl-D ends.", style="dim")
    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]  # stdin is a TextIOWrapper here
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
