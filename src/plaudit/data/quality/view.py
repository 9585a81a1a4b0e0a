"""A quality report in; tables on a terminal, or a folder with JSON and plots, out."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from plaudit.data.quality.report import QualityReport, SplitQuality
from plaudit.errors import MissingExtraError
from plaudit.storage import replacing

HINT = "give --out another folder"


def render(report: QualityReport, console: Console) -> None:
    """Print the report as tables, one column for each split."""
    table = Table(title=Text(f"{report.name}: {report.num_rows:,} rows"), title_justify="left")
    table.add_column("")
    for name in report.splits:
        table.add_column(name, justify="right")
    columns = [dict(_figures(split)) for split in report.splits.values()]
    for figure in dict.fromkeys(name for column in columns for name in column):
        table.add_row(Text(figure), *(column.get(figure, "–") for column in columns))
    console.print(table)
    if report.overlaps:
        shared = Table(title="Shared between splits", title_justify="left")
        for heading in ("splits", "texts", "rows in the first", "rows in the second", "groups"):
            shared.add_column(heading, justify="left" if heading == "splits" else "right")
        for overlap in report.overlaps:
            counts = (
                overlap.shared_texts,
                overlap.rows_in_first,
                overlap.rows_in_second,
                overlap.shared_groups,
            )
            shared.add_row(f"{overlap.first}, {overlap.second}", *(f"{count:,}" for count in counts))
        console.print(shared)
    for reason, count in report.dropped.items():
        console.print(f"left out on loading, {reason}: {count:,} rows", markup=False)


def write(report: QualityReport, out_dir: Path) -> list[Path]:
    """Write quality.json and the plots (SVG) into a folder and return their paths.

    MissingExtraError without the extra `report`, before anything is written; OutputError if the folder cannot
    be written.
    """
    try:
        from plaudit.data.quality.plots import plots
    except ImportError:
        raise MissingExtraError("plots need altair and vl-convert; pip install 'plaudit[report]'") from None
    paths = [out_dir / "quality.json"]
    with replacing(paths[0], hint=HINT) as temporary:
        temporary.write_text(report.to_json(), encoding="utf-8")
    for name, svg in plots(report).items():
        paths.append(out_dir / f"{name}.svg")
        with replacing(paths[-1], hint=HINT) as temporary:
            temporary.write_text(svg, encoding="utf-8")
    return paths


def _figures(split: SplitQuality) -> Iterator[tuple[str, str]]:
    """Yield name and value of each line that the terminal shows for one split."""
    yield "rows", f"{split.num_rows:,}"
    for label, count in split.labels.items():
        yield f"label {label}", f"{count:,} ({count / split.num_rows:.1%})"
    for rating, count in split.ratings.items():
        yield f"rating {rating}", f"{count:,}"
    lengths = split.num_words
    yield "words: median, mean", f"{lengths.median:,.0f}, {lengths.mean:,.0f}"
    yield "words: 95 %, 99 %", f"{lengths.p95:,.0f}, {lengths.p99:,.0f}"
    yield "words: least, most", f"{lengths.min:,}, {lengths.max:,}"
    yield "groups (movies)", f"{split.num_groups:,}"
    yield "rows without a group", f"{split.without_group:,}"
    yield from ((name, f"{count:,}") for name, count in split.problems().items())
