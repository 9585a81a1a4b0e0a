"""A quality report in, its plots as SVG out. Needs the extra `report`."""

import altair as alt
import numpy as np
import vl_convert

from plaudit.data.quality.report import QualityReport

# Okabe and Ito's colours, told apart by the colour-blind as well.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
Row = dict[str, str | int | float]


def plots(report: QualityReport) -> dict[str, str]:
    """Return each chart as SVG by its name."""
    return {
        name: vl_convert.vegalite_to_svg(chart.configure_view(stroke=None).to_dict())
        for name, chart in charts(report).items()
    }


def charts(report: QualityReport) -> dict[str, alt.Chart | alt.LayerChart]:
    """Return the charts by name: labels, lengths, problems, and ratings where they are known."""
    labels = {name: split.labels for name, split in report.splits.items()}
    ratings = {name: split.ratings for name, split in report.splits.items()}
    stars = sorted({rating for counts in ratings.values() for rating in counts}, key=int)
    drawn: dict[str, alt.Chart | alt.LayerChart] = {
        "labels": _counts(report, "label", labels, order=[*report.labels, "(none)"]),
        "lengths": _lengths(report),
        "problems": _problems(report),
    }
    if stars:
        drawn["ratings"] = _counts(report, "rating", ratings, order=stars)
    return drawn


def _colour(report: QualityReport) -> alt.Color:
    splits = list(report.splits)
    return alt.Color("split:N", scale=alt.Scale(domain=splits, range=list(COLOURS[: len(splits)])), title=None)


def _counts(report: QualityReport, category: str, counts: dict[str, dict[str, int]], *, order: list[str]) -> alt.Chart:
    rows: list[Row] = [
        {"split": split, category: value, "rows": count}
        for split, by_value in counts.items()
        for value, count in by_value.items()
    ]
    chart: alt.Chart = (
        alt.Chart({"values": rows}, title=f"Rows by {category}", width=max(160, 60 * len(order)), height=220)
        .mark_bar()
        .encode(
            x=alt.X(f"{category}:N", sort=order, title=category, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("rows:Q", title="rows"),
            xOffset=alt.XOffset("split:N", sort=list(report.splits)),
            color=_colour(report),
        )
    )
    return chart


def _lengths(report: QualityReport) -> alt.Chart:
    """Draw shares of texts up to a length: they show what a limit cuts, and do not depend on the width of
    bins.
    """
    rows: list[Row] = [
        {"split": name, "words": words, "share": share}
        for name, split in report.splits.items()
        for words, share in zip(
            (edge - 1 for edge in report.num_words_edges[1:]),
            (np.cumsum(split.num_words_histogram) / max(1, sum(split.num_words_histogram))).tolist(),
            strict=True,
        )
    ]
    chart: alt.Chart = (
        alt.Chart({"values": rows}, title="Length of the texts", width=480, height=220)
        .mark_line(interpolate="monotone")
        .encode(
            x=alt.X("words:Q", scale=alt.Scale(type="log", nice=False), title="words (log scale)"),
            y=alt.Y("share:Q", title="share of texts no longer than this", axis=alt.Axis(format=".1~%")),
            color=_colour(report),
        )
    )
    return chart


def _problems(report: QualityReport) -> alt.LayerChart:
    problems = {name: split.problems() for name, split in report.splits.items()}
    found = [problem for problem in next(iter(problems.values())) if any(p[problem] for p in problems.values())]
    rows: list[Row] = [
        {
            "split": name,
            "problem": problem,
            "share": counts[problem] / report.splits[name].num_rows,
            "rows": f"{counts[problem]:,}",
        }
        for name, counts in problems.items()
        for problem in found
    ]
    height = max(60, (14 * len(report.splits) + 8) * len(found))
    title = "Rows to know about" if found else "Rows to know about: none"
    base = alt.Chart({"values": rows}, title=title, width=420, height=height).encode(
        y=alt.Y("problem:N", sort=found, title=None, axis=alt.Axis(labelLimit=260)),
        yOffset=alt.YOffset("split:N", sort=list(report.splits)),
        x=alt.X("share:Q", title="share of the split's rows", axis=alt.Axis(format=".1~%")),
    )
    # The number at a bar's end is that of rows.
    numbers = base.mark_text(align="left", dx=3, fontSize=9).encode(text="rows:N")
    chart: alt.LayerChart = base.mark_bar().encode(color=_colour(report)) + numbers
    return chart
