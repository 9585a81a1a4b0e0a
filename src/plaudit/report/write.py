"""Results, training logs, predictions and studies in; one self-contained HTML page and a PDF out."""

from pathlib import Path

from plaudit.errors import MissingExtraError
from plaudit.report.evidence import read_evidence
from plaudit.storage import replacing

EXTRA = {"altair", "jinja2", "markupsafe", "typst", "vl_convert"}
_HINT = "name a file in a folder with room to write to"


def write_report(path: Path, out: Path, *, excerpt_characters: int = 300) -> Path:
    """Write the report on a run folder, a folder of such folders, or a results file alone, and return `out`.

    `out` is the HTML file; a PDF of the same content is written beside it. A part whose file is missing is named as
    missing. `excerpt_characters` is how much of a wrongly judged review is shown; 0 leaves the texts out, so that the
    report may be published where the reviews may not. DataError if a file is damaged or contradicts another,
    MissingExtraError without the extra `report`, OutputError if a file cannot be written.
    """
    evidence = read_evidence(path)
    try:
        from plaudit.report import html, pdf
        from plaudit.report.compose import compose
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise MissingExtraError(f"a report needs {error.name}: pip install 'plaudit[report]'") from None
    document = compose(evidence, excerpt_characters=excerpt_characters)
    with replacing(out, hint=_HINT) as temporary:
        temporary.write_text(html.render(document), encoding="utf-8")
    with replacing(out.with_suffix(".pdf"), hint=_HINT) as temporary:
        temporary.write_bytes(pdf.render(document))
    return out
