"""Plots of a quality report as SVG; needs the extra `report`."""

import altair as alt
import numpy as np
import vl_convert

from plaudit.data.quality.report import QualityReport

# Okabe and Ito's colours, which colour-blind people can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")


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
    by_name: dict[str, alt.Chart | alt.LayerChart] = {
        "labels": _counts(report, "label", labels, order=[*report.labels, "(none)"]),
        "lengths": _lengths(report),
        "problems": _problems(report),
    }
    if stars:
        by_name["ratings"] = _counts(report, "rating", ratings, order=stars)
    return by_name


def _colour(report: QualityReport) -> alt.Color:
    splits = list(report.splits)
    return alt.Color("split:N", scale=alt.Scale(domain=splits, range=list(COLOURS[: len(splits)])), title=None)


def _counts(report: QualityReport, category: str, counts: dict[str, dict[str, int]], *, order: list[str]) -> alt.Chart:
    rows = [
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
    """Draw the share of texts up to each length: it shows what a limit cuts, and does not depend on the bin width."""
    rows = []
    for name, split in report.splits.items():
        shares = np.cumsum(split.num_words_histogram) / max(1, sum(split.num_words_histogram))
        for edge, share in zip(report.num_words_edges[1:], shares.tolist(), strict=True):
            rows.append({"split": name, "words": edge - 1, "share": share})
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
    present = [problem for problem in next(iter(problems.values())) if any(p[problem] for p in problems.values())]
    rows = [
        {"split": name, "problem": problem, "share": counts[problem] / split.num_rows, "rows": f"{counts[problem]:,}"}
        for (name, split), counts in zip(report.splits.items(), problems.values(), strict=True)
        for problem in present
    ]
    height = max(60, (14 * len(report.splits) + 8) * len(present))
    title = "Rows to know about" if present else "Rows to know about: none"
    base = alt.Chart({"values": rows}, title=title, width=420, height=height).encode(
        y=alt.Y("problem:N", sort=present, title=None, axis=alt.Axis(labelLimit=260)),
        yOffset=alt.YOffset("split:N", sort=list(report.splits)),
        x=alt.X("share:Q", title="share of the split's rows", axis=alt.Axis(format=".1~%")),
    )
    # The number at the end of a bar counts rows.
    numbers = base.mark_text(align="left", dx=3, fontSize=9).encode(text="rows:N")
    chart: alt.LayerChart = base.mark_bar().encode(color=_colour(report)) + numbers
    return chart
