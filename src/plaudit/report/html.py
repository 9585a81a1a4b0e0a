"""Renders a document as one HTML file that loads nothing and runs only its own small script."""

import base64
import hashlib
import re
from pathlib import Path

import jinja2
from markupsafe import Markup

from plaudit.report.document import Document, spans

HERE = Path(__file__).parent


def render(document: Document) -> str:
    """Return the page; its content security policy allows no script but its own, whatever the texts hold."""
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
    """Say whether a chart would be unreadable if shrunk to a phone's width."""
    width = re.search(r'width="([\d.]+)"', svg)
    return width is not None and float(width[1]) > 700
