"""Execute the notebooks and store what they show: `python examples/execute.py [NAME …]`.

Outputs are stored without times, colour codes and warnings, so that they change only where results do.
"""

import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
_FORMS = ("image/png", "text/html", "text/plain")
"""The forms of an output that are kept."""


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Return a notebook run from top to bottom in a folder; nbclient's CellExecutionError if a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    options = {"timeout": 600, "record_timing": False, "resources": {"metadata": {"path": str(folder)}}}
    NotebookClient(notebook, **options).execute()
    return notebook


def stored(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a notebook with only what a reader sees, and nothing of the machine that it ran on."""
    for cell in notebook.cells:
        cell.metadata.clear()
        if cell.cell_type == "code":
            cell.outputs = [_shown(output) for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def _shown(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    if "data" in output:
        output.data = {form: output.data[form] for form in _FORMS if form in output.data}
        if "text/plain" in output.data:
            output.data["text/plain"] = re.sub(r"\x1b\[[\d;]*m", "", output.data["text/plain"])
        output.metadata = {}
    return output


def main() -> None:
    """Execute the named notebooks, or all."""
    for path in [FOLDER / f"{name}.ipynb" for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            notebook = stored(executed(path, Path(folder)))
        text = nbformat.writes(notebook, version=4)
        path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
