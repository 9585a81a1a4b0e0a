"""Charts of a report as SVG text, in the style of style.py."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from plaudit.data.quality.plots import charts
from plaudit.data.quality.report import QualityReport
from plaudit.evaluate.analysis import ModelAnalysis
from plaudit.report.numbers import percent, rate
from plaudit.report.style import HEIGHT, INK, PALETTE, WIDTH, as_svg, colour, percent_axis

MAX_POINTS = 400
_STROKES = {"symbolType": "stroke", "symbolStrokeWidth": 3, "symbolOpacity": 1, "symbolSize": 200}
_DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3]]


def coverage(analyses: Sequence[ModelAnalysis]) -> str:
    """Draw accuracy against the share of reviews judged, the surest first; a line for each model."""
    models = [analysis.model for analysis in analyses]
    rows = [
        {
            "model": analysis.model,
            "coverage": point.coverage,
            "accuracy": point.accuracy,
            "says": f"{analysis.model}: of the surest {percent(point.coverage, 0)}, {percent(point.accuracy)} right "
            f"(at least {percent(point.threshold)} sure)",
        }
        for analysis in analyses
        for point in analysis.coverage
    ]
    base = alt.Chart({"values": rows}).encode(
        x=alt.X(
            "coverage:Q", title="reviews judged, the surest first", axis=percent_axis(), scale=alt.Scale(reverse=True)
        ),
        y=alt.Y("accuracy:Q", title="accuracy on them", scale=alt.Scale(zero=False), axis=percent_axis()),
        color=colour("model", models, legend=_STROKES),
    )
    return as_svg(_lines(base, "model", models).properties(width=WIDTH, height=HEIGHT))


def slices(analyses: Sequence[ModelAnalysis], by: str) -> str | None:
    """Draw accuracy in each slice of one kind, a line for each model with 95 % intervals; None if there are none."""
    models = [analysis.model for analysis in analyses]
    rows = [
        {
            "model": analysis.model,
            "slice": part.name,
            "accuracy": part.accuracy,
            "low": part.ci95[0],
            "high": part.ci95[1],
            "says": f"{analysis.model}, {part.name}: {percent(part.accuracy)} of {part.n:,} reviews",
        }
        for analysis in analyses
        for part in analysis.slices
        if part.by == by
    ]
    if not rows:
        return None
    names = list(dict.fromkeys(row["slice"] for row in rows))
    base = alt.Chart({"values": rows}).encode(
        x=alt.X(
            "slice:N",
            title=by,
            sort=[str(name) for name in names],
            axis=alt.Axis(labelAngle=0 if by == "rating" else -30),
        ),
        color=colour("model", models, legend=_STROKES),
    )
    y = alt.Y("accuracy:Q", title="accuracy", scale=alt.Scale(zero=False), axis=percent_axis())
    bars = base.mark_rule(opacity=0.5).encode(
        y=alt.Y("low:Q", title="accuracy", scale=alt.Scale(zero=False)), y2="high:Q"
    )
    return as_svg((bars + _lines(base.encode(y=y), "model", models)).properties(width=WIDTH, height=HEIGHT))


def link_speeds(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw tokens per second by link for each way of exchange; rows are in the order of slower links."""
    links, ways = (list(dict.fromkeys(row[name] for row in rows)) for name in ("link", "exchange"))
    values = [
        {**row, "says": f"{row['exchange']}, {row['link']}: {rate(row['tokens_per_second'])} tokens/s"} for row in rows
    ]
    base = alt.Chart({"values": values}).encode(
        x=alt.X("link:N", title="link", sort=links, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("tokens_per_second:Q", title="tokens per second", axis=alt.Axis(format="~s", tickCount=5)),
        color=colour("exchange", ways, legend=_STROKES),
    )
    return as_svg(_lines(base, "exchange", ways).properties(width=WIDTH, height=HEIGHT))


def by_level(rows: Sequence[Mapping[str, Any]], *, x: str, x_title: str, series: str, y_title: str) -> str:
    """Draw shares (`share`) in the order of the levels `x`, a line for each of `series`; `says` tells a point."""
    levels = list(dict.fromkeys(row[x] for row in rows))
    names = list(dict.fromkeys(row[series] for row in rows))
    base = alt.Chart({"values": list(rows)}).encode(
        x=alt.X(f"{x}:N", title=x_title, sort=levels, axis=alt.Axis(labelAngle=-40, labelLimit=220)),
        y=alt.Y("share:Q", title=y_title, scale=alt.Scale(zero=False), axis=percent_axis()),
        color=colour(series, names, legend=_STROKES),
    )
    return as_svg(_lines(base, series, names).properties(width=WIDTH + 160, height=HEIGHT))


def _lines(base: alt.Chart, series: str, names: Sequence[str]) -> alt.LayerChart | alt.FacetChart:
    dash = alt.StrokeDash(f"{series}:N", scale=alt.Scale(domain=list(names), range=_DASHES[: len(names)]), legend=None)
    points = base.mark_point(filled=True, size=45, opacity=1).encode(description="says:N")
    return alt.layer(base.mark_line(strokeWidth=2).encode(strokeDash=dash), points)


def learning_curve(events: Sequence[Mapping[str, Any]], quantity: str) -> str | None:
    """Draw `loss` or `accuracy` of training and validation by step; None if the log holds neither."""
    rows = [
        {"step": event["step"], "value": event[column], "part": part}
        for part, kind, column in (
            ("training", "step", f"train_{quantity}"),
            ("validation", "epoch", f"validation_{quantity}"),
        )
        for event in _thinned([e for e in events if e["event"] == kind and e.get(column) is not None])
    ]
    if not rows:
        return None
    parts = ["training", "validation"]
    base = alt.Chart({"values": rows}).encode(
        x=alt.X("step:Q", title="step", axis=alt.Axis(format=",d", tickCount=5)),
        y=alt.Y(
            "value:Q",
            title=quantity,
            scale=alt.Scale(zero=False),
            axis=percent_axis() if quantity == "accuracy" else alt.Axis(format="~g", tickCount=6),
        ),
    )
    dashes = alt.StrokeDash("part:N", scale=alt.Scale(domain=parts, range=[[1, 0], [6, 3]]), legend=None)
    legend = alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=3, columnPadding=24)
    colours = alt.Color("part:N", scale=alt.Scale(domain=parts, range=list(PALETTE[:2])), legend=legend)
    lines = base.mark_line(strokeWidth=2).encode(strokeDash=dashes, color=colours)
    validation = base.transform_filter(alt.datum.part == "validation")
    points = validation.mark_point(filled=True, size=60, opacity=1, color=PALETTE[1])
    return as_svg(alt.layer(lines, points).properties(width=WIDTH, height=HEIGHT))


def reliability_diagram(bins: Sequence[tuple[int, float, float]]) -> str:
    """Draw accuracy by confidence from bins of (reviews, confidence, accuracy); larger points hold more."""
    rows = [{"reviews": count, "confidence": sure, "accuracy": right} for count, sure, right in bins]
    # In tenths, so that the charts of several models look alike.
    start = math.floor(10 * min(0.5, *(min(row["confidence"], row["accuracy"]) for row in rows))) / 10
    span = alt.Scale(domain=[start, 1], nice=False)
    diagonal = alt.Chart({"values": [{"v": start}, {"v": 1}]}).mark_line(
        strokeDash=[2, 4], strokeWidth=1.5, color=INK, opacity=0.6
    )
    base = alt.Chart({"values": rows}).encode(
        x=alt.X("confidence:Q", scale=span, title="confidence", axis=percent_axis()),
        y=alt.Y("accuracy:Q", scale=span, title="accuracy", axis=percent_axis()),
    )
    layers = (
        diagonal.encode(x=alt.X("v:Q", scale=span, title="confidence"), y=alt.Y("v:Q", scale=span, title="accuracy")),
        base.mark_line(color=PALETTE[0], strokeWidth=2),
        base.mark_point(filled=True, color=PALETTE[0], opacity=1).encode(
            size=alt.Size("reviews:Q", scale=alt.Scale(range=[15, 320], domainMin=0), legend=None)
        ),
    )
    return as_svg(alt.layer(*layers).properties(width=HEIGHT, height=HEIGHT))


def pruning_sweep(table: Sequence[Mapping[str, Any]]) -> str:
    """Draw accuracy, speed and size against the pruned ratio, a line for each schedule, bars from least to greatest."""
    (whole,) = (row for row in table if row["schedule"] == "whole")
    schedules = sorted({row["schedule"] for row in table} - {"whole"})
    rows = [{**row, "megabytes": row["size_bytes"] / 1e6} for row in table if row["schedule"] != "whole"]
    rows += [{**whole, "schedule": schedule, "megabytes": whole["size_bytes"] / 1e6} for schedule in schedules]
    x = alt.X("ratio:Q", title="share pruned", axis=percent_axis())
    colour = alt.Color(
        "schedule:N",
        scale=alt.Scale(domain=schedules, range=list(PALETTE[: len(schedules)])),
        legend=alt.Legend(title=None, orient="top", symbolStrokeWidth=3),
    )
    base = alt.Chart({"values": rows}).encode(x=x, color=colour)
    panels = []
    for column, title in (
        ("accuracy", "validation accuracy"),
        ("reviews_per_second", "reviews per second"),
        ("megabytes", "megabytes"),
    ):
        axis = percent_axis() if column == "accuracy" else alt.Axis(format="~s", tickCount=5)
        y = alt.Y(f"{column}:Q", title=title, scale=alt.Scale(zero=column != "accuracy"), axis=axis)
        layers = [base.mark_line(strokeWidth=2).encode(y=y), base.mark_point(filled=True, size=40).encode(y=y)]
        if column == "accuracy":
            layers.append(base.mark_rule().encode(y=alt.Y("lowest:Q", title=title), y2="highest:Q"))
        panels.append(alt.layer(*layers).properties(width=WIDTH - 140, height=HEIGHT - 40))
    return as_svg(alt.hconcat(*panels))


def data_charts(report: QualityReport) -> dict[str, str]:
    """Draw what the counts of a quality report do not show, by name: lengths, and ratings if known."""
    drawn = charts(report)
    return {
        name: as_svg(drawn[name].properties(width=WIDTH, height=HEIGHT))
        for name in ("lengths", "ratings")
        if name in drawn
    }


def _thinned(events: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """At most MAX_POINTS events and the last one; more could not be told apart."""
    stride = math.ceil(len(events) / MAX_POINTS)
    return [*events[: -1 : max(1, stride)], *events[-1:]]
