"""Write docs/results/imdb/report.html and report.pdf from everything in docs/results: `python -m paper`."""

from pathlib import Path

from paper.compose import compose
from plaudit.report.run_folder import read_runs
from plaudit.report.write import write_document

RESULTS = Path(__file__).parent.parent / "docs" / "results"

if __name__ == "__main__":
    out = RESULTS / "imdb" / "report.html"
    write_document(compose(read_runs(RESULTS), RESULTS), out)
    print(f"report: {out}")
