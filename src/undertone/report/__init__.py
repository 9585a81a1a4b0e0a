"""Results, training logs and predictions in; one self-contained HTML page out."""

from pathlib import Path

from undertone.data.atomic import replacing
from undertone.errors import MissingExtraError
from undertone.report.run import read_run

EXTRA = {"altair", "jinja2", "markupsafe", "vl_convert"}


def write_report(path: Path, out: Path, *, excerpt_characters: int = 300) -> Path:
    """Write the report on a run folder, or on a results file alone, to the HTML file `out`, and return `out`.

    A part whose file is missing is named as missing. `excerpt_characters` is how much of a wrongly judged
    review is shown; 0 leaves the texts out, so that the page may be published where the reviews may not.
    DataError if a file is damaged, MissingExtraError without the extra `report`, OutputError if the page
    cannot be written.
    """
    run = read_run(path)
    try:
        from undertone.report.page import render
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise MissingExtraError(f"a report needs {error.name}: pip install 'undertone[report]'") from None
    html = render(run, excerpt_characters=excerpt_characters)
    with replacing(out, hint="name a file in a folder with room to write to") as temporary:
        temporary.write_text(html, encoding="utf-8")
    return out
