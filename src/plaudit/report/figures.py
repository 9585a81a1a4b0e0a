"""Charts of the report as SVG text."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from plaudit.data.quality.plots import charts
from plaudit.data.quality.report import QualityReport
from plaudit.evaluate.analysis import ModelAnalysis
from plaudit.report.chart_style import HEIGHT, INK, PALETTE, WIDTH, as_svg, percent_axis, series_colour
from plaudit.report.numbers import percent

MAX_POINTS = 400
_DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3]]


def line_chart(rows: Sequence[Mapping[str, Any]], x: alt.X, y: alt.Y, *, series: str, width: int = WIDTH) -> str:
    """Draw a line for each value of the column `series`.

    Rows with a `tooltip` have a point that shows it, rows with `low` and `high` an interval.
    """
    names = list(dict.fromkeys(row[series] for row in rows))
    stroke = {"symbolType": "stroke", "symbolStrokeWidth": 3, "symbolOpacity": 1, "symbolSize": 200}
    base = alt.Chart({"values": list(rows)}).encode(x=x, color=series_colour(series, names, legend=stroke))
    dash = alt.StrokeDash(f"{series}:N", scale=alt.Scale(domain=names, range=_DASHES[: len(names)]), legend=None)
    layers = [
        base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash),
        base.transform_filter(alt.expr.isValid(alt.datum.tooltip))
        .mark_point(filled=True, size=45, opacity=1)
        .encode(y=y, description="tooltip:N"),
    ]
    if "low" in rows[0]:
        low = y.copy()
        low["shorthand"] = "low:Q"
        layers.insert(0, base.mark_rule(opacity=0.5).encode(y=low, y2="high:Q"))
    return as_svg(alt.layer(*layers).properties(width=width, height=HEIGHT))


def share_axis(column: str, title: str) -> alt.Y:
    """Return an axis of shares in percent that need not begin at 0."""
    return alt.Y(f"{column}:Q", title=title, scale=alt.Scale(zero=False), axis=percent_axis())


def coverage(analyses: Sequence[ModelAnalysis]) -> str:
    """Draw each model's accuracy on the share of texts that it is most confident about."""
    rows = [
        {
            "model": analysis.model,
            "coverage": point.coverage,
            "accuracy": point.accuracy,
            "tooltip": f"{analysis.model}: {percent(point.accuracy)} accuracy on the most confident "
            f"{percent(point.coverage, 0)} (confidence at least {percent(point.threshold)})",
        }
        for analysis in analyses
        for point in analysis.coverage
    ]
    title = "share of texts, most confident first"
    x = alt.X("coverage:Q", title=title, axis=percent_axis(), scale=alt.Scale(reverse=True))
    return line_chart(rows, x, share_axis("accuracy", "accuracy on them"), series="model")


def slices(analyses: Sequence[ModelAnalysis], by: str) -> str | None:
    """Draw each model's accuracy in slices of one kind, with 95 % intervals; None if there are no such slices."""
    rows = [
        {
            "model": analysis.model,
            "slice": part.name,
            "accuracy": part.accuracy,
            "low": part.ci95[0],
            "high": part.ci95[1],
            "tooltip": f"{analysis.model}, {part.name}: {percent(part.accuracy)} of {part.n:,} texts",
        }
        for analysis in analyses
        for part in analysis.slices
        if part.by == by
    ]
    if not rows:
        return None
    order = [str(name) for name in dict.fromkeys(row["slice"] for row in rows)]
    x = alt.X("slice:N", title=by, sort=order, axis=alt.Axis(labelAngle=0 if by == "rating" else -30))
    return line_chart(rows, x, share_axis("accuracy", "accuracy"), series="model")


def perturbations(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw each model's `accuracy` on texts with each `change`, in the order of the rows."""
    order = list(dict.fromkeys(row["change"] for row in rows))
    x = alt.X("change:N", title="", sort=order, axis=alt.Axis(labelAngle=-40, labelLimit=220))
    return line_chart(rows, x, share_axis("accuracy", "accuracy"), series="model", width=WIDTH + 160)


def learning_curve(events: Sequence[Mapping[str, Any]], quantity: str) -> str | None:
    """Draw `loss` or `accuracy` of training and validation by step; None if the log has neither."""
    rows = [
        {"step": event["step"], "value": event[column], "part": part, "tooltip": _tooltip(event, quantity, kind)}
        for part, kind, column in (
            ("training", "step", f"train_{quantity}"),
            ("validation", "epoch", f"validation_{quantity}"),
        )
        for event in _thinned([e for e in events if e["event"] == kind and e.get(column) is not None])
    ]
    if not rows:
        return None
    axis = percent_axis() if quantity == "accuracy" else alt.Axis(format="~g", tickCount=6)
    x = alt.X("step:Q", title="step", axis=alt.Axis(format=",d", tickCount=5))
    y = alt.Y("value:Q", title=quantity, scale=alt.Scale(zero=False), axis=axis)
    return line_chart(rows, x, y, series="part")


def reliability_diagram(bins: Sequence[tuple[int, float, float]]) -> str:
    """Draw accuracy by confidence from bins of (texts, confidence, accuracy); larger points are more texts."""
    rows = [{"texts": count, "confidence": sure, "accuracy": right} for count, sure, right in bins]
    # In tenths, so that the charts of several models have the same axes.
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
            size=alt.Size("texts:Q", scale=alt.Scale(range=[15, 320], domainMin=0), legend=None)
        ),
    )
    return as_svg(alt.layer(*layers).properties(width=HEIGHT, height=HEIGHT))


def data_charts(report: QualityReport) -> dict[str, str]:
    """Draw the lengths of the texts, and their ratings if known, by name."""
    drawn = charts(report)
    names = [name for name in ("lengths", "ratings") if name in drawn]
    return {name: as_svg(drawn[name].properties(width=WIDTH, height=HEIGHT)) for name in names}


def _tooltip(event: Mapping[str, Any], quantity: str, kind: str) -> str | None:
    if kind == "step":
        return None
    value = event[f"validation_{quantity}"]
    return f"step {event['step']:,}: {percent(value, 2) if quantity == 'accuracy' else f'{value:.4f}'}"


def _thinned(events: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return at most MAX_POINTS events and the last one; more could not be told apart."""
    stride = math.ceil(len(events) / MAX_POINTS)
    return [*events[: -1 : max(1, stride)], *events[-1:]]
