"""The look of all charts: SVG text for a light or a dark page, in colours that colour-blind readers can tell apart.

Texts and axes are `currentColor` on a transparent background. Series have the colours of Okabe and Ito, and shapes or
dashes as well.
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
    """Return an axis that shows shares in percent."""
    return alt.Axis(labelExpr="format(100 * datum.value, '~g') + '\u00a0%'", tickCount=5, labelOverlap=True)


def series_colour(field: str, names: Sequence[str], *, legend: Mapping[str, Any] | None) -> alt.Color:
    """Return a colour for each name, by its place in `names`, so that charts of the same names match."""
    scale = alt.Scale(domain=list(names), range=[PALETTE[index % len(PALETTE)] for index in range(len(names))])
    shown = None
    if legend is not None:
        # Browsers set names wider than they were measured here, hence the padding.
        shown = alt.Legend(title=None, orient="top", columns=4, labelLimit=220, columnPadding=24, **legend)
    return alt.Color(f"{field}:N", scale=scale, legend=shown)


def as_svg(chart: alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart) -> str:
    """Return a chart as SVG text; the descriptions of its points become `data-tooltip`."""
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
    # The page labels each chart as a whole; with roles of their own, a screen reader would read out every mark.
    svg = re.sub(
        r'aria-label=("[^"]*")(?=[^>]*aria-roledescription="(?:point|bar|rule mark)")', r"data-tooltip=\1", svg
    )
    return re.sub(r' (?:aria-\w+|role|pointer-events)="[^"]*"', "", svg)
