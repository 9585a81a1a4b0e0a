"""Draws what bench/own_texts.py measured: accuracy by set and model, and accuracy against labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert

from peers.own import MAJORITY, OURS

WIDTH = 640
PADDING = {"left": 30, "top": 5, "right": 5, "bottom": 5}  # px; a browser's font may be wider than the one measured
ROW_HEIGHT = 9  # px, of one model in one set
COLOURS = ("#D55E00", "#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#E69F00", "#7F7F7F", "#8C510A")
SHAPES = ("diamond", "circle", "square", "triangle-up", "triangle-down", "triangle-right", "cross", "triangle-left")


def draw_sets(rows: Sequence[Any], averages: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    """Return SVG text: a point with its interval for each set and model, and the means without; majority as words."""
    models = [name for name in names if name != MAJORITY and any(row.model == name for row in rows)]
    majority = {row.set: row.accuracy for row in rows if row.model == MAJORITY}
    points = [
        {
            "set": row.set + (f" (majority {majority[row.set]:.1%})" if row.set in majority else ""),
            "model": row.model,
            "accuracy": row.accuracy,
            "low": row.accuracy_ci95[0],
            "high": row.accuracy_ci95[1],
        }
        for row in rows
        if row.model in models
    ]
    points += [
        {"set": f"mean: {group}", "model": name, "accuracy": found[name]["accuracy"]}
        for group, found in averages.items()
        for name in models
        if name in found
    ]
    order = list(dict.fromkeys(point["set"] for point in points))
    floor = min((point.get("low", point["accuracy"]) for point in points), default=0.0)
    scale = alt.Scale(domain=[max(0.0, floor - 0.01), 1.0], nice=False)
    x = alt.X("accuracy:Q", title="accuracy on test, 95 % interval", scale=scale, axis=alt.Axis(format=".0%"))
    y = alt.Y("set:N", title=None, sort=order, scale=alt.Scale(paddingInner=0.25))
    offset = alt.YOffset("model:N", sort=models)
    color, shape = _encodings(models)
    chart = alt.Chart({"values": points})
    layers = (
        chart.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=1, opacity=0.6)
        .encode(x=alt.X("low:Q", scale=scale), x2="high:Q", y=y, yOffset=offset, color=color),
        chart.mark_point(filled=True, size=45, opacity=1).encode(x=x, y=y, yOffset=offset, color=color, shape=shape),
    )
    height = max(1, len(order)) * (len(models) + 2) * ROW_HEIGHT
    return _svg(alt.layer(*layers).properties(width=WIDTH, height=height, background="white"))


def draw_curve(points: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Return SVG text: a line for each model, with a band for the interval over draws."""
    models = [name for name in names if name != MAJORITY and any(point["model"] == name for point in points)]
    values = [
        {**point, "low": (point["accuracy_ci95"] or [None])[0], "high": (point["accuracy_ci95"] or [None])[-1]}
        for point in points
        if point["model"] in models
    ]
    sizes = sorted({point["num_labels"] for point in values})
    x = alt.X(
        "num_labels:Q",
        title="labelled reviews (logarithmic)",
        scale=alt.Scale(type="log", domain=[min(sizes), max(sizes)], nice=False),
        axis=alt.Axis(values=sizes, format=",d"),
    )
    scale = alt.Scale(zero=False)
    y = alt.Y(
        "accuracy:Q", title="accuracy on test, 95 % interval over draws", scale=scale, axis=alt.Axis(format=".0%")
    )
    color, shape = _encodings(models)
    chart = alt.Chart({"values": values})
    layers = (
        chart.mark_area(opacity=0.15).encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q", color=color),
        chart.mark_line(strokeWidth=2).encode(x=x, y=y, color=color),
        chart.mark_point(filled=True, size=60, opacity=1).encode(x=x, y=y, color=color, shape=shape),
    )
    return _svg(alt.layer(*layers).properties(width=WIDTH, height=420, background="white"))


def _encodings(models: Sequence[str]) -> tuple[alt.Color, alt.Shape]:
    """Give each model its colour and shape, ours always the first."""
    peers = [name for name in models if name != OURS]
    places = [0 if name == OURS else 1 + peers.index(name) for name in models]
    legend = alt.Legend(orient="bottom", columns=3, labelLimit=300, symbolOpacity=1, title=None)
    colours = [COLOURS[place % len(COLOURS)] for place in places]
    shapes = [SHAPES[place % len(SHAPES)] for place in places]
    return (
        alt.Color("model:N", sort=list(models), scale=alt.Scale(domain=list(models), range=colours), legend=legend),
        alt.Shape("model:N", sort=list(models), scale=alt.Scale(domain=list(models), range=shapes), legend=legend),
    )


def _svg(chart: alt.LayerChart) -> str:
    styled = (
        chart.configure(font="system-ui, sans-serif", padding=PADDING)
        .configure_axis(labelFontSize=12, titleFontSize=13, titleFontWeight="normal", gridOpacity=0.5, labelLimit=260)
        .configure_legend(labelFontSize=12)
    )
    return vl_convert.vegalite_to_svg(styled.to_dict())
