"""Shows explanations in the terminal or as one HTML page, with words coloured by their contribution.

Blue words contribute to the label, orange ones against it, in hues that colour-blind readers can tell apart. The shade
is relative to the strongest word of the text.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from rich.console import Console
from rich.text import Text

from plaudit.explain.explanation import CONTROLS, TOP, Explanation, Token, in_words
from plaudit.storage import replacing

FAINTEST = 0.08
"""Words weaker than this share of the strongest are not coloured."""

# From weak to strong, each light enough for black letters.
_FOR_SHADES = ("#d4e6f5", "#a3cdec", "#6fb3e0", "#4a9ad4")
_AGAINST_SHADES = ("#fde4c4", "#fbc88a", "#f5aa4e", "#e6902a")


def strength(token: Token, explanation: Explanation) -> float:
    """Return a token's contribution relative to the text's strongest, -1 … 1; 0 if too weak to be coloured."""
    strongest = max((abs(other.contribution) for other in explanation.tokens), default=0.0)
    share = token.contribution / strongest if strongest else 0.0
    return share if abs(share) >= FAINTEST else 0.0


def print_explanation(explanation: Explanation, console: Console, *, top: int = TOP) -> None:
    """Print the prediction, the coloured text, and its top words for and against."""
    console.print(Text(_prediction(explanation), "bold"), soft_wrap=True)
    shown = Text(explanation.text.translate(CONTROLS))
    for token in explanation.tokens:
        share = strength(token, explanation)
        if share:
            shades = _FOR_SHADES if share > 0 else _AGAINST_SHADES
            shown.stylize(f"#000000 on {shades[min(3, int(4 * abs(share)))]}", token.start, token.end)
    console.print(shown)
    for title, words in zip(("for", "against"), explanation.top_words(top), strict=True):
        console.print(Text.assemble((f"{title:<7} ", "dim"), in_words(words)), soft_wrap=True)
    console.print(Text(_arithmetic(explanation), "dim"), soft_wrap=True)


def _prediction(explanation: Explanation) -> str:
    prediction = f"{explanation.label} {explanation.probability:.3f}"
    if explanation.label != explanation.predicted:
        prediction += f" (predicted {explanation.predicted})"
    return prediction


def _arithmetic(explanation: Explanation) -> str:
    total = sum(token.contribution for token in explanation.tokens)
    sums = f"log-odds {explanation.log_odds:+.2f} = words {total:+.2f}, rest {explanation.rest:+.2f}"
    return f"{sums}, unexplained {round(explanation.gap, 2) + 0.0:+.2f}; {explanation.method}"


INK, PAPER = ("#1b1d20", "#e4e6e8"), ("#ffffff", "#14171a")
FOR, AGAINST = ("#56b4e9", "#005a8f"), ("#e69f00", "#8f4a00")
"""Light, then dark; at full strength, contrast with the ink is above WCAG's 4.5."""

_STYLE = f"""
:root {{ color-scheme: light dark; --ink: {INK[0]}; --paper: {PAPER[0]}; --for: {FOR[0]}; --against: {AGAINST[0]}; --quiet: #5c636b; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: {INK[1]}; --paper: {PAPER[1]}; --for: {FOR[1]}; --against: {AGAINST[1]}; --quiet: #a0a8b0; }}
}}
body {{ max-width: 50rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.7 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }}
h1 {{ font-size: 1.6rem; line-height: 1.2; }}
h2 {{ font-size: 1.15rem; margin: 2.5rem 0 0.5rem; }}
.text {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
mark {{ color: var(--ink); background: color-mix(in srgb, var(--hue) calc(var(--s) * 100%), transparent); border-radius: 0.2em; }}
.for {{ --hue: var(--for); }}
.against {{ --hue: var(--against); text-decoration: underline dotted; text-underline-offset: 0.2em; }}
.note, dt {{ color: var(--quiet); font-size: 0.9rem; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 0.75rem; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
"""  # noqa: E501


def html_page(explanations: Sequence[Explanation], *, model: str, top: int = TOP) -> str:
    """Return a self-contained page without scripts, in light and dark."""
    legend = (
        '<mark class="for" style="--s:0.8">Blue</mark> words contribute to the label, '
        '<mark class="against" style="--s:0.8">orange, dotted</mark> ones against it; '
        "point at a word for its log-odds."
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Words that matter to {escape(model)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Words that matter to {escape(model)}</h1>
<p class="note">{legend}</p>
{"".join(_article(explanation, top) for explanation in explanations)}</body>
</html>
"""


def write_html(path: Path, explanations: Sequence[Explanation], *, model: str, top: int = TOP) -> None:
    """Write `html_page` to a file; OutputError if it cannot be written."""
    page = html_page(explanations, model=model, top=top)
    with replacing(path, hint="name a file in a folder with room") as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")


def _article(explanation: Explanation, top: int) -> str:
    words = zip(("for", "against"), explanation.top_words(top), strict=True)
    lists = "".join(f"<dt>{title}</dt><dd>{escape(in_words(listed))}</dd>" for title, listed in words)
    return f"""<article>
<h2>{escape(_prediction(explanation))}</h2>
<p class="text">{_marked(explanation)}</p>
<dl>{lists}</dl>
<p class="note">{escape(_arithmetic(explanation))}</p>
</article>
"""


def _marked(explanation: Explanation) -> str:
    parts, done = [], 0
    for token in explanation.tokens:
        share = strength(token, explanation)
        if share:
            parts.append(escape(explanation.text[done : token.start]))
            side = "for" if share > 0 else "against"
            number = f"{token.contribution:+.3f}"
            spelt = escape(explanation.text[token.start : token.end])
            parts.append(f'<mark class="{side}" style="--s:{abs(share):.2f}" title="{number}">{spelt}</mark>')
            done = token.end
    return "".join([*parts, escape(explanation.text[done:])])
