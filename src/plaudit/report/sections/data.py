"""The data: how many texts of which labels, how long, and what is odd about them."""

from collections.abc import Sequence

from plaudit.data.quality.report import QualityReport, SplitQuality
from plaudit.report import figures
from plaudit.report.document import Block, Figure, Paragraph, Section, SideBySide, Table, columns, literal
from plaudit.report.run_folder import RunFolder

MAX_LABELS = 10

_Counts = tuple[str, Sequence[float]]
"""A name and a number for each split."""


def data(runs: Sequence[RunFolder]) -> Section:
    """A sentence on a file of one split, or a table and charts of several; then what was dropped or occurs twice."""
    report = next((run.data for run in runs if run.data is not None), None)
    if report is None:
        return Section("data", "The data", ())
    if len(report.splits) == 1:
        blocks: list[Block] = [_sentence(report, *report.splits.values())]
    else:
        labels = {"lengths": "Share of texts by length in words", "ratings": "Texts by rating"}
        charts = figures.data_charts(report).items()
        drawn = tuple(Figure(svg, f"{labels[name]}, for each split", "") for name, svg in charts)
        blocks = [SideBySide((_splits(report), *drawn))]
    rows = tuple(
        (
            f"{o.first}, {o.second}",
            f"{o.shared_texts:,}",
            f"{o.rows_in_first:,}",
            f"{o.rows_in_second:,}",
            f"{o.shared_groups:,}",
        )
        for o in report.overlaps
        if o.shared_texts
    )
    if rows:
        caption = "Texts in more than one split; training leaves out those that test or validation repeat"
        heads = columns("Splits", "#Texts", "#Rows in the first", "#Rows in the second", "#Groups in both")
        blocks.append(Table(caption, heads, rows))
    if report.dropped:
        reasons = ", ".join(f"{count:,} ({reason})" for reason, count in report.dropped.items())
        blocks.append(Paragraph(f"Dropped on loading: {reasons}."))
    return Section("data", "The data", tuple(blocks))


def _sentence(report: QualityReport, part: SplitQuality) -> Paragraph:
    counts = sorted(((name, part.labels.get(name, 0)) for name in report.labels), key=lambda one: -one[1])
    labelled = [f"{count:,} “{literal(name)}”" for name, count in counts[:MAX_LABELS]]
    if len(counts) > MAX_LABELS:
        labelled.append(f"{sum(count for _, count in counts[MAX_LABELS:]):,} of {len(counts) - MAX_LABELS} more labels")
    words = part.num_words
    odd = [f"{name} ({count:,})" for name, count in part.problems().items() if count]
    groups = f" They belong to {part.num_groups:,} groups." if part.num_groups else ""
    return Paragraph(
        f"{literal(report.name)} holds {report.num_rows:,} texts: {', '.join(labelled)}. Half of them have at most "
        f"{words.median:,.0f} words, 95 % at most {words.p95:,.0f}.{groups}"
        + (f" Found in them: {', '.join(odd)}." if odd else "")
    )


def _splits(report: QualityReport) -> Table:
    parts = list(report.splits.values())
    by_label: list[_Counts] = [
        (f"labelled {literal(name)}", [part.labels.get(name, 0) for part in parts]) for name in report.labels
    ]
    if len(by_label) > MAX_LABELS:
        by_label.sort(key=lambda row: -sum(row[1]))
        rest = [sum(values) for values in zip(*(row[1] for row in by_label[MAX_LABELS:]), strict=True)]
        by_label[MAX_LABELS:] = [(f"{len(by_label) - MAX_LABELS} more labels", rest)]
    # What no split has is not worth a row.
    odd: list[_Counts] = [("groups", [part.num_groups for part in parts])]
    odd += [(problem, [part.problems()[problem] for part in parts]) for problem in parts[0].problems()]
    rows: list[_Counts] = [
        ("texts", [part.num_rows for part in parts]),
        *by_label,
        ("words, median", [part.num_words.median for part in parts]),
        ("words, 95th percentile", [part.num_words.p95 for part in parts]),
        *(row for row in odd if any(row[1])),
    ]
    caption = f"{literal(report.name)}: {report.num_rows:,} texts as loaded, sha256 `{report.digest[:12]}`"
    shown = tuple((name, *(f"{value:,.0f}" for value in values)) for name, values in rows)
    return Table(caption, columns("", *(f"#{name}" for name in report.splits)), shown)
