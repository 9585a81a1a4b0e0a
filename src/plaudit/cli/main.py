"""The command `plaudit`: runs a verb and turns errors into one line and an exit status.

Exit status: 0; 2 after an error that the user can fix; 130 after Ctrl-C. Each verb imports what it needs when it runs.
"""

import os
import sys
from typing import NoReturn

from rich.console import Console
from rich.markup import escape

from plaudit.cli import (  # noqa: F401
    choose,
    compress,
    data,
    distributed,
    evaluate,
    explain,
    predict,
    recipes,
    robustness,
    serve,
    train,
)
from plaudit.cli.base import app, show_log
from plaudit.cli.streams import open_streams
from plaudit.errors import INTERRUPTED_STATUS, PlauditError, TrainingInterruptedError
from plaudit.threads import wait_briefly


def main() -> None:
    """Run the command; an error becomes one line on stderr."""
    wait_briefly()
    show_log()
    open_streams()
    try:
        app()
    except TrainingInterruptedError as error:
        _fail(str(error), INTERRUPTED_STATUS)
    except PlauditError as error:
        _fail(str(error), 2)
    except BrokenPipeError:  # the reader of our output, such as `head`, has stopped
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
    """Keep Python from writing, and failing, again when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
