"""Charts as SVG text to stand inside a page.

Texts and axes are drawn in `currentColor` and the background is left clear, so that one drawing serves a
light and a dark page. Series have the colours of Okabe and Ito, which colour-blind readers can tell apart,
and shapes or dashes of their own.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert

from undertone.data.quality import QualityReport
from undertone.data.quality_plots import charts
from undertone.evaluate.results import Result

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
WIDTH, HEIGHT = 400, 260
MAX_POINTS = 400
INK = "currentColor"


def accuracy_against_speed(results: Sequence[Result]) -> str:
    """Draw a point for each model, with its name and its 95 % interval; speed on a logarithmic axis."""
    fastest = max(result.reviews_per_second for result in results)
    slowest = min(result.reviews_per_second for result in results)
    low = min(result.accuracy_ci95[0] for result in results)
    high = max(result.accuracy_ci95[1] for result in results)
    ordered = sorted(results, key=lambda result: result.accuracy)
    heights = _apart([result.accuracy for result in ordered], gap=(high - low) * 0.07)
    rows = [
        {
            "model": result.model,
            "speed": result.reviews_per_second,
            "accuracy": result.accuracy,
            "low": result.accuracy_ci95[0],
            "high": result.accuracy_ci95[1],
            "label_height": height,
            # A name points inwards, so that it never leaves the chart.
            "inwards": "left" if result.reviews_per_second**2 > fastest * slowest else "right",
        }
        for result, height in zip(ordered, heights, strict=True)
    ]
    room = max(2.0, (fastest / slowest) ** 0.15)
    x = alt.X(
        "speed:Q",
        title="reviews per second, one machine",
        scale=alt.Scale(type="log", domain=[slowest / room, fastest * room]),
        axis=alt.Axis(format="~s", grid=True, labelOverlap=True, values=_decades(slowest / room, fastest * room)),
    )
    y = alt.Y("accuracy:Q", title="accuracy", scale=alt.Scale(zero=False, nice=True), axis=_percent_axis())
    chart = alt.Chart({"values": rows})
    models = sorted(result.model for result in results)  # a model keeps its colour from chart to chart
    intervals = chart.mark_rule(strokeWidth=2).encode(
        x=x, y=alt.Y("low:Q", title="accuracy"), y2="high:Q", color=_colour(models)
    )
    points = chart.mark_point(filled=True, size=90, opacity=1).encode(
        x=x, y=y, color=_colour(models), shape=_shape(models)
    )
    names = [
        chart.transform_filter(alt.datum.inwards == side)
        .mark_text(align="right" if side == "left" else "left", dx=-9 if side == "left" else 9, fontSize=14, fill=INK)
        .encode(x=x, y=alt.Y("label_height:Q", title="accuracy"), text="model:N")
        for side in ("left", "right")
    ]
    return _svg(alt.layer(intervals, points, *names).properties(width=WIDTH + 20, height=HEIGHT + 20))


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
            axis=_percent_axis() if quantity == "accuracy" else alt.Axis(format="~g", tickCount=6),
        ),
    )
    dashes = alt.StrokeDash("part:N", scale=alt.Scale(domain=parts, range=[[1, 0], [6, 3]]), legend=None)
    legend = alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=3, columnPadding=24)
    colours = alt.Color("part:N", scale=alt.Scale(domain=parts, range=list(PALETTE[:2])), legend=legend)
    lines = base.mark_line(strokeWidth=2).encode(strokeDash=dashes, color=colours)
    validation = base.transform_filter(alt.datum.part == "validation")
    points = validation.mark_point(filled=True, size=60, opacity=1, color=PALETTE[1])
    return _svg(alt.layer(lines, points).properties(width=WIDTH, height=HEIGHT))


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
        x=alt.X("confidence:Q", scale=span, title="confidence", axis=_percent_axis()),
        y=alt.Y("accuracy:Q", scale=span, title="accuracy", axis=_percent_axis()),
    )
    layers = (
        diagonal.encode(x=alt.X("v:Q", scale=span, title="confidence"), y=alt.Y("v:Q", scale=span, title="accuracy")),
        base.mark_line(color=PALETTE[0], strokeWidth=2),
        base.mark_point(filled=True, color=PALETTE[0], opacity=1).encode(
            size=alt.Size("reviews:Q", scale=alt.Scale(range=[15, 320], domainMin=0), legend=None)
        ),
    )
    return _svg(alt.layer(*layers).properties(width=HEIGHT, height=HEIGHT))


def pruning_sweep(table: Sequence[Mapping[str, Any]]) -> str:
    """Draw accuracy, speed and size against the pruned ratio, a line for each schedule, bars from least to greatest."""
    (whole,) = (row for row in table if row["schedule"] == "whole")
    schedules = sorted({row["schedule"] for row in table} - {"whole"})
    rows = [{**row, "megabytes": row["size_bytes"] / 1e6} for row in table if row["schedule"] != "whole"]
    rows += [{**whole, "schedule": schedule, "megabytes": whole["size_bytes"] / 1e6} for schedule in schedules]
    x = alt.X("ratio:Q", title="share pruned", axis=_percent_axis())
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
        axis = _percent_axis() if column == "accuracy" else alt.Axis(format="~s", tickCount=5)
        y = alt.Y(f"{column}:Q", title=title, scale=alt.Scale(zero=column != "accuracy"), axis=axis)
        layers = [base.mark_line(strokeWidth=2).encode(y=y), base.mark_point(filled=True, size=40).encode(y=y)]
        if column == "accuracy":
            layers.append(base.mark_rule().encode(y=alt.Y("lowest:Q", title=title), y2="highest:Q"))
        panels.append(alt.layer(*layers).properties(width=WIDTH - 140, height=HEIGHT - 40))
    return _svg(alt.hconcat(*panels))


def data_charts(report: QualityReport) -> dict[str, str]:
    """Draw what the counts of a quality report do not show, by name: lengths, and ratings if known."""
    drawn = charts(report)
    return {
        name: _svg(drawn[name].properties(width=WIDTH, height=HEIGHT))
        for name in ("lengths", "ratings")
        if name in drawn
    }


def _thinned(events: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """At most MAX_POINTS events and the last one; more could not be told apart."""
    stride = math.ceil(len(events) / MAX_POINTS)
    return [*events[: -1 : max(1, stride)], *events[-1:]]


def _percent_axis() -> alt.Axis:
    return alt.Axis(labelExpr="format(100 * datum.value, '~g') + '\u00a0%'", tickCount=5, labelOverlap=True)


def _colour(models: Sequence[str]) -> alt.Color:
    scale = alt.Scale(domain=models, range=[PALETTE[index % len(PALETTE)] for index in range(len(models))])
    return alt.Color("model:N", scale=scale, legend=None)


def _shape(models: Sequence[str]) -> alt.Shape:
    scale = alt.Scale(domain=models, range=[SHAPES[index % len(SHAPES)] for index in range(len(models))])
    return alt.Shape("model:N", scale=scale, legend=None)


def _apart(values: Sequence[float], *, gap: float) -> list[float]:
    """Rising values, moved up where they are nearer than `gap`, so that names do not cover each other."""
    placed: list[float] = []
    for value in values:
        placed.append(max(value, placed[-1] + gap) if placed else value)
    return placed


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten between two positive numbers, and 2 and 5 times them unless the range is wide."""
    steps = (1, 2, 5) if high / low < 300 else (1,)
    ticks = [step * 10.0**power for power in range(-3, 10) for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def _svg(chart: alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart) -> str:
    styled = (
        chart.properties(background="transparent")
        .configure(font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            **dict.fromkeys(("labelColor", "titleColor", "gridColor", "domainColor", "tickColor"), INK),
            gridOpacity=0.15,
            domainOpacity=0.5,
            tickOpacity=0.5,
            labelFontSize=13,
            labelSeparation=8,
            titleFontSize=14,
            titleFontWeight="normal",
            titlePadding=8,
        )
        .configure_text(color=INK)
        .configure_title(color=INK, fontSize=14, fontWeight="normal", anchor="start")
        .configure_legend(labelColor=INK, labelFontSize=13, orient="top")
    )
    svg = vl_convert.vegalite_to_svg(styled.to_dict())
    # The page names a chart as a whole; the parts' own roles would be read out mark by mark.
    return re.sub(r' (?:aria-\w+|role|pointer-events)="[^"]*"', "", svg)
