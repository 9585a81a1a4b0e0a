"""Draws accuracy against speed for bench/peers.py."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import vl_convert

WIDTH, HEIGHT = 760, 440
LINE_HEIGHT, CHARACTER_WIDTH = 15, 6.2  # px, of labels
FLOOR = 0.85
"""The lowest accuracy drawn to scale: VADER, far below, would squeeze all others together."""
COLOURS = {"peer": "#0072B2", "Plaudit": "#D55E00"}
SHAPES = {"peer": "circle", "Plaudit": "diamond"}


def draw(rows: Sequence[dict[str, Any]]) -> str:
    """Return SVG text: the best of each family, every other row, and a line where only the speed is known."""
    shown = [row for row in rows if row["best_of_family"]]
    speeds = [row["reviews_per_second"] for row in shown]
    points = [_point(row) for row in shown if row["accuracy"] is not None]
    x_domain = [min(speeds) / 2, max(speeds) * 2]
    y_domain = [FLOOR - 0.005, max((point["high"] for point in points), default=FLOOR) + 0.01]
    _place_labels(points, x_domain, y_domain)
    x_scale = alt.Scale(type="log", domain=x_domain, nice=False)
    y_scale = alt.Scale(domain=y_domain, nice=False)
    x = alt.X(
        "speed:Q",
        title="reviews per second from raw text, every core (logarithmic)",
        scale=x_scale,
        axis=alt.Axis(format="~s", values=[10.0**power for power in range(1, 7)]),
    )
    y = alt.Y("accuracy:Q", title="accuracy on test", scale=y_scale, axis=alt.Axis(format=".0%"))
    of_whom = {"domain": list(COLOURS)}
    color = alt.Color("whose:N", scale=alt.Scale(range=list(COLOURS.values()), **of_whom), title=None)
    shape = alt.Shape("whose:N", scale=alt.Scale(range=list(SHAPES.values()), **of_whom), title=None)
    chart = alt.Chart({"values": points})
    labels = alt.Chart({"values": points}).mark_text(fontSize=12, align="center")
    without_accuracy = [
        {"label": f"{row['name']}: speed only", "speed": row["reviews_per_second"]}
        for row in shown
        if row["accuracy"] is None
    ]
    only_speed = alt.Chart({"values": without_accuracy}).encode(x=x)
    layers = (
        only_speed.mark_rule(strokeDash=[5, 4], color="#777"),
        only_speed.mark_text(align="left", dx=6, y=12, fontSize=12, color="#555").encode(text="label:N"),
        chart.mark_rule(strokeWidth=1.5).encode(x=x, y=alt.Y("low:Q", scale=y_scale), y2="high:Q", color=color),
        chart.mark_point(filled=True, size=110, opacity=1).encode(x=x, y=y, color=color, shape=shape),
        labels.encode(x=alt.X("label_x:Q", scale=x_scale), y=alt.Y("label_y:Q", scale=y_scale), text="label:N"),
    )
    styled = (
        alt.layer(*layers)
        .properties(width=WIDTH, height=HEIGHT, background="white")
        .configure(font="system-ui, sans-serif")
        .configure_axis(labelFontSize=12, titleFontSize=13, titleFontWeight="normal", gridOpacity=0.5)
        .configure_legend(orient="top", labelFontSize=12)
    )
    return vl_convert.vegalite_to_svg(styled.to_dict())


def _point(row: dict[str, Any]) -> dict[str, Any]:
    name = row["family"] or row["name"]
    low, high = (max(FLOOR, end) for end in row["accuracy_ci95"])
    return {
        "label": name if row["accuracy"] >= FLOOR else f"{name}: {row['accuracy']:.1%}, below the axis",
        "whose": "Plaudit" if row["ours"] else "peer",
        "speed": row["reviews_per_second"],
        "accuracy": max(FLOOR, row["accuracy"]),
        "low": low,
        "high": high,
    }


def _place_labels(points: Sequence[dict[str, Any]], speeds: Sequence[float], accuracies: Sequence[float]) -> None:
    """Add `label_x` and `label_y`, in the units of the axes: beside each point, where no other mark is."""
    width_of_e = WIDTH / math.log(speeds[1] / speeds[0])
    height_of_1 = HEIGHT / (accuracies[1] - accuracies[0])
    # Marks are (x, y, half width, half height), in px from the lower left.
    marks = [
        (
            math.log(point["speed"] / speeds[0]) * width_of_e,
            (point["accuracy"] - accuracies[0]) * height_of_1,
            8.0,
            max(8.0, (point["high"] - point["low"]) / 2 * height_of_1),
        )
        for point in points
    ]
    for point, (x, y, _, _) in zip(points, list(marks), strict=True):
        half_width = len(point["label"]) * CHARACTER_WIDTH / 2
        candidates = [
            (x + side * (half_width + 12), y + lines * LINE_HEIGHT, half_width, LINE_HEIGHT / 2)
            for lines in (0, 1, -1, 2, -2, 3, -3)
            for side in (1, -1)
        ]
        inside = [mark for mark in candidates if mark[2] <= mark[0] <= WIDTH - mark[2] and mark[3] <= mark[1]]
        label = next((mark for mark in inside if not any(_overlap(mark, other) for other in marks)), candidates[0])
        marks.append(label)
        point["label_x"] = speeds[0] * math.exp(label[0] / width_of_e)
        point["label_y"] = accuracies[0] + label[1] / height_of_1


def _overlap(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return all(abs(first[axis] - second[axis]) < first[axis + 2] + second[axis + 2] for axis in (0, 1))
