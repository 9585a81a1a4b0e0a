"""Tables, progress and missing extras look the same everywhere."""

import io

import pytest
from rich.console import Console

from plaudit.console import needs_extra, progress, table
from plaudit.errors import MissingExtraError


def printed(shown):
    out = io.StringIO()
    Console(file=out, width=60).print(shown)
    return [line.rstrip() for line in out.getvalue().splitlines() if line.strip()]


def test_numbers_stand_to_the_right():
    shown = table("model", "#accuracy", title="Two models")
    shown.add_row("bow", "9.5")
    shown.add_row("lstm", "10.5")
    lines = printed(shown)
    assert lines[0] == "Two models"
    assert [line.index("9.5") + 3 for line in lines if "9.5" in line] == [
        line.index("10.5") + 4 for line in lines if "10.5" in line
    ]


def test_progress_is_shown_on_a_terminal_alone():
    for is_terminal in (True, False):
        out = io.StringIO()
        with progress(Console(file=out, force_terminal=is_terminal), "reading", total=4) as move_to:
            move_to(3)
        assert ("reading" in out.getvalue()) is is_terminal


def test_missing_module_names_its_extra():
    sentence = r"a report needs altair: pip install 'plaudit\[report\]'"
    with pytest.raises(MissingExtraError, match=sentence), needs_extra("report", "a report"):
        raise ModuleNotFoundError("No module named 'altair.vega'", name="altair.vega")
    with pytest.raises(MissingExtraError, match=r"plaudit\[transformer\]"), needs_extra("train", "training"):
        raise ModuleNotFoundError("No module named 'transformers'", name="transformers")


def test_a_module_of_ours_that_is_missing_is_no_missing_extra():
    with pytest.raises(ModuleNotFoundError), needs_extra("train", "training"):
        raise ModuleNotFoundError("No module named 'plaudit.nothing'", name="plaudit.nothing")
