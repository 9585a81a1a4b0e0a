"""Show a quality report as tables on a terminal, or write it to a folder as JSON and plots."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from plaudit.console import needs_extra, table
from plaudit.data.quality.report import QualityReport, SplitQuality, unspaced_warning
from plaudit.storage import write_text

HINT = "give --out another folder"
IMBALANCE = 4
"""How many times as many rows the largest label has as the smallest before that is said."""


def print_report(report: QualityReport, console: Console) -> None:
    """Print the report as tables, one column for each split."""
    figures = table("", *(f"#{name}" for name in report.splits))
    figures.title = Text(f"{report.name}: {report.num_rows:,} rows")
    columns = [dict(_figures(split)) for split in report.splits.values()]
    for figure in dict.fromkeys(name for column in columns for name in column):
        figures.add_row(Text(figure), *(column.get(figure, "–") for column in columns))
    console.print(figures)
    if report.overlaps:
        shared = table(
            "splits", "#texts", "#rows in the first", "#rows in the second", "#groups", title="Shared between splits"
        )
        for overlap in report.overlaps:
            counts = (overlap.shared_texts, overlap.rows_in_first, overlap.rows_in_second, overlap.shared_groups)
            shared.add_row(f"{overlap.first}, {overlap.second}", *(f"{count:,}" for count in counts))
        console.print(shared)
    for warning in _warnings(report):
        console.print(warning, markup=False, highlight=False, soft_wrap=True)
    for reason, count in report.dropped.items():
        console.print(f"left out on loading, {reason}: {count:,} rows", markup=False)


def _warnings(report: QualityReport) -> Iterator[str]:
    """Yield a line about each thing that makes a model look better, or be worse, than one would think."""
    for name, split in report.splits.items():
        counts = {label: count for label, count in split.labels.items() if label in report.labels}
        largest, labelled = max(counts, key=lambda label: counts[label]), sum(counts.values())
        if labelled and counts[largest] > IMBALANCE * min(counts.values()):
            share = f"{100 * counts[largest] / labelled:.1f} %"
            yield (
                f"{name} is unbalanced: always answering {largest} has {share} accuracy; compare with that, and see "
                "class_weight of a bag of n-grams"
            )
    if warning := unspaced_warning(report.unspaced_share, model="bow"):
        yield warning


def write_report(report: QualityReport, out_dir: Path) -> list[Path]:
    """Write quality.json and the plots (SVG) into a folder and return their paths.

    MissingExtraError without the extra `report`, before anything is written; OutputError if the folder cannot
    be written.
    """
    with needs_extra("report", "drawing plots"):
        from plaudit.data.quality.plots import plots
    contents = {"quality.json": report.to_json(), **{f"{name}.svg": svg for name, svg in plots(report).items()}}
    for name, content in contents.items():
        write_text(out_dir / name, content, hint=HINT)
    return [out_dir / name for name in contents]


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
