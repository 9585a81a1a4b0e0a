"""Charts of `plaudit select` and `plaudit tune`, in the style of the report's."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from plaudit.report.style import HEIGHT, INK, PALETTE, SHAPES, WIDTH, apart, as_svg, decades, percent_axis


def accuracy_against_latency(points: Sequence[Mapping[str, Any]]) -> str:
    """Draw models by `latency_ms`, on a logarithmic axis, and `accuracy`, with `low` … `high`, and name them."""
    slowest = max(point["latency_ms"] for point in points)
    fastest = min(point["latency_ms"] for point in points)
    spread = max(point["high"] for point in points) - min(point["low"] for point in points)
    ordered = sorted(points, key=lambda point: point["accuracy"])
    heights = apart([point["accuracy"] for point in ordered], gap=spread * 0.07)
    rows = [
        {
            **point,
            "label_height": height,
            # A name points inwards, so that it never leaves the chart.
            "inwards": "left" if point["latency_ms"] ** 2 > fastest * slowest else "right",
        }
        for point, height in zip(ordered, heights, strict=True)
    ]
    room = max(2.0, (slowest / fastest) ** 0.15)
    x = alt.X(
        "latency_ms:Q",
        title="milliseconds a review, median",
        scale=alt.Scale(type="log", domain=[fastest / room, slowest * room]),
        axis=alt.Axis(format="~g", labelOverlap=True, values=decades(fastest / room, slowest * room)),
    )
    y = alt.Y("accuracy:Q", title="accuracy out of fold", scale=alt.Scale(zero=False), axis=percent_axis())
    models = sorted(point["model"] for point in points)
    turns = range(len(models))
    colours = alt.Scale(domain=models, range=[PALETTE[turn % len(PALETTE)] for turn in turns])
    colour = alt.Color("model:N", scale=colours, legend=None)
    shapes = alt.Scale(domain=models, range=[SHAPES[turn % len(SHAPES)] for turn in turns])
    shape = alt.Shape("model:N", scale=shapes, legend=None)
    chart = alt.Chart({"values": rows})
    low = alt.Y("low:Q", title="accuracy out of fold")
    intervals = chart.mark_rule(strokeWidth=2).encode(x=x, y=low, y2="high:Q", color=colour)
    marks = chart.mark_point(filled=True, size=90, opacity=1).encode(x=x, y=y, color=colour, shape=shape)
    names = [
        chart.transform_filter(alt.datum.inwards == side)
        .mark_text(align="right" if side == "left" else "left", dx=-9 if side == "left" else 9, fontSize=14, fill=INK)
        .encode(x=x, y=alt.Y("label_height:Q", title="accuracy out of fold"), text="model:N")
        for side in ("left", "right")
    ]
    return as_svg(alt.layer(intervals, marks, *names).properties(width=WIDTH + 20, height=HEIGHT + 20))


def tuning_history(trials: Sequence[Mapping[str, Any]], objective: str) -> str:
    """Draw the objective of each trial by its `number`, and the best so far as a line; `state` gives the shape."""
    better = max if objective == "accuracy" else min
    best: float | None = None
    rows = []
    for trial in sorted(trials, key=lambda trial: trial["number"]):
        value = trial[objective]
        if value is None:
            continue
        if trial["state"] == "complete":
            best = value if best is None else better(best, value)
        rows.append({"trial": trial["number"], "value": value, "best": best, "state": trial["state"]})
    axis = percent_axis() if objective == "accuracy" else alt.Axis(format="~g", tickCount=6)
    title = f"validation {objective.replace('_', ' ')}"
    base = alt.Chart({"values": rows}).encode(
        x=alt.X("trial:Q", title="trial", axis=alt.Axis(format="d", tickMinStep=1))
    )
    scale = alt.Scale(zero=False)
    line = base.mark_line(interpolate="step-after", strokeWidth=2, color=PALETTE[0]).encode(
        y=alt.Y("best:Q", title=title, scale=scale, axis=axis)
    )
    states = ["complete", "pruned"]
    shape = alt.Shape(
        "state:N",
        scale=alt.Scale(domain=states, range=["circle", "cross"]),
        legend=alt.Legend(title=None, orient="top") if any(row["state"] == "pruned" for row in rows) else None,
    )
    points = base.mark_point(filled=True, size=60, opacity=1, color=PALETTE[1]).encode(
        y=alt.Y("value:Q", title=title, scale=scale, axis=axis), shape=shape
    )
    return as_svg(alt.layer(line, points).properties(width=WIDTH, height=HEIGHT))


def setting_importance(importance: Mapping[str, float]) -> str:
    """Draw which share of the objective's variation is each setting's, the greatest at the top."""
    rows = [{"setting": name, "share": share} for name, share in importance.items()]
    chart = (
        alt.Chart({"values": rows})
        .mark_bar(color=PALETTE[0])
        .encode(
            x=alt.X("share:Q", title="share of the variation", axis=percent_axis()),
            y=alt.Y("setting:N", title=None, sort="-x", axis=alt.Axis(labelLimit=260)),
        )
    )
    return as_svg(chart.properties(width=WIDTH, height=max(60, 28 * len(rows))))
