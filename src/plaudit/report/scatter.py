"""Charts of accuracy against what a model costs, each model a point with its 95 % interval."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt

from plaudit.report.chart_style import HEIGHT, INK, SHAPES, WIDTH, as_svg, percent_axis, series_colour
from plaudit.report.leaderboard import Entry
from plaudit.report.numbers import percent, rate


class Point(NamedTuple):
    """A model; `cost` may be anything positive, and points of one `series` share a colour and a shape."""

    name: str
    cost: float
    accuracy: float
    interval: tuple[float, float]
    series: str
    tooltip: str = ""
    is_labelled: bool = True


def accuracy_against_speed(models: Sequence[Entry]) -> str:
    """Draw accuracy against texts per second.

    Only models that no other beats in both are labelled; the others show their names when pointed at.
    """
    best = {model.name for model in unbeaten(models)}
    points = [
        Point(
            name=model.first.model,
            cost=model.first.reviews_per_second,
            accuracy=model.accuracy,
            interval=model.interval,
            series=model.first.kind,
            tooltip=f"{model.name}: {percent(model.accuracy, 2)} at {rate(model.first.reviews_per_second)} texts/s",
            is_labelled=model.name in best,
        )
        for model in models
    ]
    legend: dict[str, Any] | None = {} if len({point.series for point in points}) > 1 else None
    return draw_scatter(points, x_title="texts per second, one machine", y_title="accuracy", format="~s", legend=legend)


def draw_scatter(
    points: Sequence[Point], *, x_title: str, y_title: str, format: str, legend: Mapping[str, Any] | None
) -> str:
    """Draw accuracy against cost, on a logarithmic axis whose ticks have a format of d3."""
    ordered = sorted(points, key=lambda point: point.accuracy)
    cheapest, dearest = min(point.cost for point in points), max(point.cost for point in points)
    # A name points inwards, so that it never leaves the chart.
    inwards = ["left" if point.cost**2 > cheapest * dearest else "right" for point in ordered]
    rows = [
        {
            **point._asdict(),
            "low": point.interval[0],
            "high": point.interval[1],
            "inwards": side,
            "label_height": height,
        }
        for point, side, height in zip(ordered, inwards, label_heights(ordered, inwards), strict=True)
    ]
    room = max(2.0, (dearest / cheapest) ** 0.15)
    span = [cheapest / room, dearest * room]
    x = alt.X(
        "cost:Q",
        title=x_title,
        scale=alt.Scale(type="log", domain=span),
        axis=alt.Axis(format=format, labelOverlap=True, values=_decades(*span)),
    )
    chart = alt.Chart({"values": rows})
    series = sorted({point.series for point in points})
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(series))]
    shape = alt.Shape("series:N", scale=alt.Scale(domain=series, range=shapes), legend=None)
    marks = chart.encode(x=x, color=series_colour("series", series, legend=legend), description="tooltip:N")
    intervals = marks.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title=y_title), y2="high:Q")
    y = alt.Y("accuracy:Q", title=y_title, scale=alt.Scale(zero=False, nice=True), axis=percent_axis())
    dots = marks.mark_point(filled=True, size=90, opacity=1).encode(y=y, shape=shape)
    labels = [
        chart.transform_filter((alt.datum.inwards == side) & alt.expr.isValid(alt.datum.label_height))
        .mark_text(align="right" if side == "left" else "left", dx=-9 if side == "left" else 9, fontSize=14, fill=INK)
        .encode(x=x, y=alt.Y("label_height:Q", title=y_title), text="name:N")
        for side in ("left", "right")
    ]
    return as_svg(alt.layer(intervals, dots, *labels).properties(width=WIDTH + 160, height=HEIGHT + 40))


def unbeaten(models: Sequence[Entry]) -> list[Entry]:
    """Return the models that no other one beats: as accurate and faster, or as fast and more accurate."""

    def beats(one: Entry, other: Entry) -> bool:
        faster = one.first.reviews_per_second - other.first.reviews_per_second
        better = one.accuracy - other.accuracy
        return faster >= 0 and better >= 0 and (faster > 0 or better > 0)

    return [model for model in models if not any(beats(other, model) for other in models)]


def label_heights(points: Sequence[Point], inwards: Sequence[str]) -> list[float | None]:
    """Return heights for the labels, each as near to its point as other points and labels leave room for.

    None for a point without a label. `points` are in rising order of accuracy.
    """
    tallest, lowest = max(point.interval[1] for point in points), min(point.interval[0] for point in points)
    gap = (tallest - lowest) * 0.08 or 0.01
    span = max(0.3, math.log10(max(point.cost for point in points) / min(point.cost for point in points)))
    across = [math.log10(point.cost) / span * 400 for point in points]  # the points lie within about 400 pixels
    taken = [(x - 8, x + 8, point.accuracy) for x, point in zip(across, points, strict=True)]
    heights: list[float | None] = []
    for point, x, side in zip(points, across, inwards, strict=True):
        if not point.is_labelled:
            heights.append(None)
            continue
        width = 9 * len(point.name)
        left, right = (x - 9 - width, x - 9) if side == "left" else (x + 9, x + 9 + width)
        near = [y for start, end, y in taken if start < right and left < end]
        tried = (point.accuracy + gap * sign * step / 2 for step in range(2 * len(points) + 2) for sign in (1, -1))
        height = next((y for y in tried if all(abs(y - other) >= gap for other in near)), point.accuracy)
        taken.append((left, right, height))
        heights.append(height)
    return heights


def _decades(low: float, high: float) -> list[float]:
    """Return the powers of ten between two positive numbers, and 2 and 5 times them unless the range is wide."""
    steps = (1, 2, 5) if high / low < 300 else (1,)
    ticks = [step * 10.0**power for power in range(-3, 10) for step in steps]
    return [tick for tick in ticks if low <= tick <= high]
