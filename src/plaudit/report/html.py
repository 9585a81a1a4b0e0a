"""A document as the text of one HTML file: no network, a small script of ours alone, the same bytes every time."""

import base64
import hashlib
import re
from pathlib import Path

import jinja2
from markupsafe import Markup

from plaudit.report.document import Document, spans

HERE = Path(__file__).parent


def render(document: Document) -> str:
    """Return the page. Its policy runs no script but the one whose digest it names, whatever a text holds."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"spans": spans, "kind": lambda block: type(block).__name__, "is_wide": _is_wide}
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_digest=Markup(f"sha256-{digest}"),
        document=document,
    )


def _is_wide(svg: str) -> bool:
    """Whether a chart shrunk to a phone's width could not be read."""
    width = re.search(r'width="([\d.]+)"', svg)
    return width is not None and float(width[1]) > 700
