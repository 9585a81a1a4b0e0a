"""Renders a document as a PDF with Typst, by the template document.typ."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typst

from plaudit.report.document import Code, Document, Figure, Heading, Paragraph, SideBySide, Table, spans

TEMPLATE = Path(__file__).parent / "document.typ"
INK = "#1b1d20"
MAX_CODE_LINES = 120


def render(document: Document) -> bytes:
    """Return the file's bytes, the same every time."""
    content = {
        "title": document.title,
        "kicker": document.kicker,
        "cautions": [_spans(text) for text in document.cautions],
        "abstract": [_spans(text) for text in document.abstract],
        "sections": [
            {"title": section.title, "blocks": [_block(block) for block in section.blocks]}
            for section in document.sections
        ],
    }
    made: bytes = typst.compile(str(TEMPLATE), sys_inputs={"document": json.dumps(content)}, timestamp=0)
    return made


def _spans(text: str) -> list[dict[str, str]]:
    return [asdict(span) for span in spans(text)]


def _longest(table: Table, column: int) -> int:
    """Return how wide a column wants to be, in characters up to 60."""
    return min(60, max((len(row[column]) for row in table.rows), default=0))


def _block(block: object) -> dict[str, Any]:
    match block:
        case Paragraph():
            return {"kind": "paragraph", "text": _spans(block.text), "is_quiet": block.is_quiet}
        case Heading():
            return {"kind": "heading", "text": _spans(block.text)}
        case Table():
            return {
                "kind": "table",
                "caption": _spans(block.caption),
                "names": [column.name for column in block.columns],
                "numbers": [column.is_number for column in block.columns],
                "longest": [_longest(block, i) for i in range(len(block.columns))],
                "shares": block.shares,
                "rows": [[_spans(cell) for cell in row] for row in block.rows],
            }
        case Figure():
            svg = block.svg.replace("currentColor", INK)
            width = re.search(r'width="([\d.]+)"', svg)
            assert width is not None, "charts have a width"
            return {
                "kind": "figure",
                "svg": svg,
                "width": float(width[1]),
                "alt": block.label,
                "caption": _spans(block.caption),
            }
        case SideBySide():
            return {"kind": "side-by-side", "blocks": [_block(part) for part in block.blocks]}
        case Code():
            lines = block.text.splitlines()
            cut = (
                [f"… {len(lines) - MAX_CODE_LINES} more lines: see recipe.json"] if len(lines) > MAX_CODE_LINES else []
            )
            return {"kind": "code", "text": "\n".join([*lines[:MAX_CODE_LINES], *cut])}
        case _:
            raise AssertionError(block)
