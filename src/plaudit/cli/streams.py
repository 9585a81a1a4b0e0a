"""Makes stdin and stdout lose nothing: what an encoding lacks is escaped, JSON is UTF-8, closed ones are empty."""

import os
import sys
from pathlib import Path


def open_streams() -> None:
    """Prepare the streams of the process; a closed stdout swallows what is printed, a closed stdin is empty."""
    if sys.stdout is None:  # the shell's >&-
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # as long as the process lives
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115
    # A text may hold characters that the terminal cannot encode, such as half of a surrogate pair.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a TextIOWrapper, as in every process


def print_utf8(is_asked: bool) -> bool:
    """Have stdout take UTF-8, which JSON is, whatever the terminal does; half a surrogate pair is escaped."""
    if is_asked:
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    return is_asked
