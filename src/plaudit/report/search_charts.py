"""Charts of `plaudit select`, `plaudit tune` and pruning sweeps, in the style of the report's."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from plaudit.report.chart_style import HEIGHT, PALETTE, WIDTH, as_svg, percent_axis, series_colour
from plaudit.report.scatter import Point, draw_scatter


def accuracy_against_latency(points: Sequence[Mapping[str, Any]]) -> str:
    """Draw `accuracy`, with `low` … `high`, against `latency_ms` for each `model`."""
    drawn = [
        Point(each["model"], each["latency_ms"], each["accuracy"], (each["low"], each["high"]), each["model"])
        for each in points
    ]
    titles = {"x_title": "milliseconds a review, median", "y_title": "cross-validated accuracy"}
    return draw_scatter(drawn, **titles, format="~g", legend=None)


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
    """Draw the share of the objective's variation that each setting explains, the greatest at the top."""
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


def pruning_sweep(table: Sequence[Mapping[str, Any]]) -> str:
    """Draw accuracy, speed and size against the pruned ratio, a line for each schedule, with bars for the range."""
    (whole,) = (row for row in table if row["schedule"] == "whole")
    schedules = sorted({row["schedule"] for row in table} - {"whole"})
    rows = [{**row, "megabytes": row["size_bytes"] / 1e6} for row in table if row["schedule"] != "whole"]
    rows += [{**whole, "schedule": schedule, "megabytes": whole["size_bytes"] / 1e6} for schedule in schedules]
    x = alt.X("ratio:Q", title="share pruned", axis=percent_axis())
    colour = series_colour("schedule", schedules, legend={"symbolStrokeWidth": 3})
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


def learning_curve(points: Sequence[Mapping[str, Any]]) -> str:
    """Draw `accuracy`, with `low` … `high`, against the number of `labels` for each `model`."""
    names = list(dict.fromkeys(point["model"] for point in points))
    base = alt.Chart({"values": list(points)}).encode(
        x=alt.X(
            "labels:Q", title="labelled texts", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(format="~s")
        ),
        color=series_colour("model", names, legend={}),
    )
    scale = alt.Scale(zero=False)
    line = base.mark_line(point=True, strokeWidth=2).encode(
        y=alt.Y("accuracy:Q", title="accuracy", scale=scale, axis=percent_axis())
    )
    spread = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q")
    return as_svg(alt.layer(spread, line).properties(width=WIDTH, height=HEIGHT))
