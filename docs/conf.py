"""The documentation site: `make site` builds it into build/site, with every warning an error."""

import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from docs._reference import filled_in  # noqa: E402

from plaudit import __version__  # noqa: E402

project = "Plaudit"
author = "The Plaudit authors"
version = release = __version__
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_*"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(numpy|pa|pyarrow|pathlib|collections|rich|pydantic|sklearn|mlflow|pandas)\..*|ModelInfo"),
    ("py:obj", r"typing\.Annotated.*"),
]
myst_heading_anchors = 3
default_role = "code"  # docstrings write `code` as Markdown does

autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
add_module_names = False

html_theme = "furo"
html_title = "Plaudit"
html_static_path = ["_static"]
html_css_files = ["site.css"]
_ACCENT = {"light": "#0072b2", "dark": "#56b4e9"}  # as in the report
html_theme_options = {
    f"{mode}_css_variables": {f"color-brand-{name}": color for name in ("primary", "content", "visited")}
    for mode, color in _ACCENT.items()
}
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"


def _fill_in(app: Sphinx, name: str, source: list[str]) -> None:
    """Put what follows from the code into a page of the reference, and let links find the anchors of list items."""
    text = filled_in(name, source[0])
    source[0] = re.sub(r'^- <a id="([\w-]+)"></a>', r"- (\1)=\n  ", text, flags=re.MULTILINE)


def _open_documents(app: Sphinx, page: nodes.document, name: str) -> None:
    """Let links to reports open in the browser, where Sphinx would have every linked file saved."""
    for link in list(page.findall(addnodes.download_reference)):
        if link.get("filename", "").endswith((".html", ".pdf")):
            up = "../" * name.count("/")
            target = nodes.reference("", "", *link.children, refuri=f"{up}_downloads/{link['filename']}", internal=True)
            link.replace_self(target)


def setup(app: Sphinx) -> None:
    """Connect the two."""
    app.connect("source-read", _fill_in)
    app.connect("doctree-resolved", _open_documents)
