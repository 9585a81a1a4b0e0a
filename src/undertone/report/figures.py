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
from undertone.evaluate.analysis import ModelAnalysis
from undertone.report.numbers import percent, rate
from undertone.report.scored import Scored

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
WIDTH, HEIGHT = 400, 260
MAX_POINTS = 400
INK = "currentColor"
_STROKES = {"symbolType": "stroke", "symbolStrokeWidth": 3, "symbolOpacity": 1, "symbolSize": 200}
_DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3]]


def accuracy_against_speed(models: Sequence[Scored]) -> str:
    """Draw a point and a 95 % interval for each model; speed on a logarithmic axis.

    Only models that no other one beats in both have their names beside them; the others tell theirs when pointed at.
    """
    fastest = max(model.first.reviews_per_second for model in models)
    slowest = min(model.first.reviews_per_second for model in models)
    low = min(model.interval[0] for model in models)
    high = max(model.interval[1] for model in models)
    ordered = sorted(models, key=lambda model: model.accuracy)
    front = {model.name for model in unbeaten(models)}
    rows: list[dict[str, Any]] = [
        {
            "model": model.first.model,
            "kind": model.first.kind,
            "speed": model.first.reviews_per_second,
            "accuracy": model.accuracy,
            "low": model.interval[0],
            "high": model.interval[1],
            # A name points inwards, so that it never leaves the chart.
            "inwards": "left" if model.first.reviews_per_second**2 > fastest * slowest else "right",
            "says": f"{model.name}: {percent(model.accuracy, 2)} at {rate(model.first.reviews_per_second)} reviews/s",
        }
        for model in ordered
    ]
    room = max(2.0, (fastest / slowest) ** 0.15)
    named = [model.name in front for model in ordered]
    for row, height in zip(rows, label_heights(rows, named, gap=(high - low) * 0.08 or 0.01), strict=True):
        row["label_height"] = height
    x = alt.X(
        "speed:Q",
        title="reviews per second, one machine",
        scale=alt.Scale(type="log", domain=[slowest / room, fastest * room]),
        axis=alt.Axis(format="~s", grid=True, labelOverlap=True, values=decades(slowest / room, fastest * room)),
    )
    y = alt.Y("accuracy:Q", title="accuracy", scale=alt.Scale(zero=False, nice=True), axis=percent_axis())
    chart = alt.Chart({"values": rows})
    kinds = sorted({model.first.kind for model in models})
    colour = _colour("kind", kinds, legend={} if len(kinds) > 1 else None)
    intervals = chart.mark_rule(strokeWidth=2).encode(
        x=x, y=alt.Y("low:Q", title="accuracy"), y2="high:Q", color=colour, description="says:N"
    )
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=list(SHAPES[: len(kinds)])), legend=None)
    points = chart.mark_point(filled=True, size=90, opacity=1).encode(
        x=x, y=y, color=colour, shape=shape, description="says:N"
    )
    names = [
        chart.transform_filter((alt.datum.inwards == side) & alt.expr.isValid(alt.datum.label_height))
        .mark_text(align="right" if side == "left" else "left", dx=-9 if side == "left" else 9, fontSize=14, fill=INK)
        .encode(x=x, y=alt.Y("label_height:Q", title="accuracy"), text="model:N")
        for side in ("left", "right")
    ]
    return as_svg(alt.layer(intervals, points, *names).properties(width=WIDTH + 160, height=HEIGHT + 40))


def unbeaten(models: Sequence[Scored]) -> list[Scored]:
    """Return the models than which none is both as accurate and faster, or as fast and more accurate."""

    def beats(one: Scored, other: Scored) -> bool:
        faster, better = (
            one.first.reviews_per_second - other.first.reviews_per_second,
            one.accuracy - other.accuracy,
        )
        return faster >= 0 and better >= 0 and (faster > 0 or better > 0)

    return [model for model in models if not any(beats(other, model) for other in models)]


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
        color=_colour("model", models, legend=_STROKES),
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
        color=_colour("model", models, legend=_STROKES),
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
        color=_colour("exchange", ways, legend=_STROKES),
    )
    return as_svg(_lines(base, "exchange", ways).properties(width=WIDTH, height=HEIGHT))


def by_level(rows: Sequence[Mapping[str, Any]], *, x: str, x_title: str, series: str, y_title: str) -> str:
    """Draw shares (`share`) in the order of the levels `x`, a line for each of `series`; `says` tells a point."""
    levels = list(dict.fromkeys(row[x] for row in rows))
    names = list(dict.fromkeys(row[series] for row in rows))
    base = alt.Chart({"values": list(rows)}).encode(
        x=alt.X(f"{x}:N", title=x_title, sort=levels, axis=alt.Axis(labelAngle=-40, labelLimit=220)),
        y=alt.Y("share:Q", title=y_title, scale=alt.Scale(zero=False), axis=percent_axis()),
        color=_colour(series, names, legend=_STROKES),
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


def percent_axis() -> alt.Axis:
    """Return an axis of shares that is read in percent."""
    return alt.Axis(labelExpr="format(100 * datum.value, '~g') + '\u00a0%'", tickCount=5, labelOverlap=True)


def _colour(field: str, names: Sequence[str], *, legend: Mapping[str, Any] | None) -> alt.Color:
    """A name keeps its colour from chart to chart as long as the order of names does."""
    scale = alt.Scale(domain=list(names), range=[PALETTE[index % len(PALETTE)] for index in range(len(names))])
    shown = None
    if legend is not None:
        # Browsers set names wider than they were measured here; the padding is room for that.
        shown = alt.Legend(title=None, orient="top", columns=4, labelLimit=220, columnPadding=24, **legend)
    return alt.Color(f"{field}:N", scale=scale, legend=shown)


def label_heights(rows: Sequence[Mapping[str, Any]], named: Sequence[bool], *, gap: float) -> list[float | None]:
    """Heights for the names of some points, each as near to its own as other points and names leave room for."""
    span = max(0.3, math.log10(max(row["speed"] for row in rows) / min(row["speed"] for row in rows)))
    # The points lie within about 400 pixels.
    across = [math.log10(row["speed"]) / span * 400 for row in rows]
    taken = [(x - 8, x + 8, row["accuracy"]) for x, row in zip(across, rows, strict=True)]
    found: list[float | None] = []
    for row, x, is_named in zip(rows, across, named, strict=True):
        if not is_named:
            found.append(None)
            continue
        length = 9 * len(row["model"])
        left, right = (x - 9 - length, x - 9) if row["inwards"] == "left" else (x + 9, x + 9 + length)
        near = [y for start, end, y in taken if start < right and left < end]
        steps = (row["accuracy"] + gap * sign * step / 2 for step in range(2 * len(rows) + 2) for sign in (1, -1))
        height = next((y for y in steps if all(abs(y - other) >= gap for other in near)), row["accuracy"])
        taken.append((left, right, height))
        found.append(height)
    return found


def apart(values: Sequence[float], *, gap: float) -> list[float]:
    """Rising values, moved up where they are nearer than `gap`, so that names do not cover each other."""
    placed: list[float] = []
    for value in values:
        placed.append(max(value, placed[-1] + gap) if placed else value)
    return placed


def decades(low: float, high: float) -> list[float]:
    """Powers of ten between two positive numbers, and 2 and 5 times them unless the range is wide."""
    steps = (1, 2, 5) if high / low < 300 else (1,)
    ticks = [step * 10.0**power for power in range(-3, 10) for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def as_svg(chart: alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart) -> str:
    """Return a chart as SVG that takes its ink from the page; what its points say is kept as data-says."""
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
    # What a point says is kept, to be shown when it is pointed at. The page names a chart as a whole, so the parts' own
    # roles would only be read out mark by mark.
    svg = re.sub(r'aria-label=("[^"]*")(?=[^>]*aria-roledescription="(?:point|bar|rule mark)")', r"data-says=\1", svg)
    return re.sub(r' (?:aria-\w+|role|pointer-events)="[^"]*"', "", svg)
