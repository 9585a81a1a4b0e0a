"""Accuracy against speed: which models no other one beats in both."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from plaudit.report.numbers import percent, rate
from plaudit.report.scored import Scored
from plaudit.report.style import HEIGHT, INK, SHAPES, WIDTH, as_svg, colour, decades, percent_axis


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
    of_kind = colour("kind", kinds, legend={} if len(kinds) > 1 else None)
    intervals = chart.mark_rule(strokeWidth=2).encode(
        x=x, y=alt.Y("low:Q", title="accuracy"), y2="high:Q", color=of_kind, description="says:N"
    )
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=list(SHAPES[: len(kinds)])), legend=None)
    points = chart.mark_point(filled=True, size=90, opacity=1).encode(
        x=x, y=y, color=of_kind, shape=shape, description="says:N"
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
