"""Charts as SVG text to stand inside a page.

Texts and axes are drawn in `currentColor` and the background is left clear, so that one drawing serves a
light and a dark page. Series have the colours of Okabe and Ito, which colour-blind readers can tell apart,
and shapes or dashes of their own.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
WIDTH, HEIGHT = 400, 260
INK = "currentColor"


def percent_axis() -> alt.Axis:
    """Return an axis of shares that is read in percent."""
    return alt.Axis(labelExpr="format(100 * datum.value, '~g') + '\u00a0%'", tickCount=5, labelOverlap=True)


def colour(field: str, names: Sequence[str], *, legend: Mapping[str, Any] | None) -> alt.Color:
    """A name keeps its colour from chart to chart as long as the order of names does."""
    scale = alt.Scale(domain=list(names), range=[PALETTE[index % len(PALETTE)] for index in range(len(names))])
    shown = None
    if legend is not None:
        # Browsers set names wider than they were measured here; the padding is room for that.
        shown = alt.Legend(title=None, orient="top", columns=4, labelLimit=220, columnPadding=24, **legend)
    return alt.Color(f"{field}:N", scale=scale, legend=shown)


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
