"""Writes the report on a run: one self-contained HTML page, and a PDF of the same content."""

from pathlib import Path
from typing import TYPE_CHECKING

from plaudit.console import needs_extra
from plaudit.report.run_folder import read_runs
from plaudit.storage import replacing

if TYPE_CHECKING:
    from plaudit.report.document import Document

_HINT = "name a file in a folder with room to write to"


def write_report(path: Path, out: Path, *, excerpt_characters: int = 300) -> Path:
    """Write the report on a run folder, a folder of run folders or a results file, and return `out`, the HTML file.

    The PDF is written next to it. A part whose file is missing is left out. `excerpt_characters` is how much of
    a misclassified text is shown; 0 omits the texts, so that the report can be published where they cannot.
    DataError if a file is damaged or contradicts another, MissingExtraError without the extra `report`, OutputError if
    a file cannot be written.
    """
    runs = read_runs(path)
    with needs_extra("report", "a report"):
        from plaudit.report.compose import compose
    write_document(compose(runs, excerpt_characters=excerpt_characters), out)
    return out


def write_document(document: "Document", out: Path) -> None:
    """Write a document as the HTML file `out` and a PDF next to it."""
    with needs_extra("report", "a report"):
        from plaudit.report import html, pdf
    with replacing(out, hint=_HINT) as temporary:
        temporary.write_text(html.render(document), encoding="utf-8")
    with replacing(out.with_suffix(".pdf"), hint=_HINT) as temporary:
        temporary.write_bytes(pdf.render(document))
