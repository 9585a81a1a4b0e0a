"""Formats quantities for readers."""

from collections.abc import Sequence


def percent(share: float, digits: int = 1) -> str:
    """91.6 % for 0.916, with a space that does not break."""
    return f"{100 * share:.{digits}f}\u00a0%"


def bare_percent(share: float, digits: int = 2) -> str:
    """91.60 for 0.916, where the heading has the unit."""
    return f"{100 * share:.{digits}f}"


def interval(bounds: Sequence[float], digits: int = 2) -> str:
    """91.32–92.00 for (0.9132, 0.92)."""
    return "–".join(bare_percent(bound, digits) for bound in bounds)


def points(difference: float, digits: int = 2) -> str:
    """+0.16 for 0.0016, with a minus sign as wide as the plus."""
    return f"{100 * difference:+.{digits}f}".replace("-", "−")


def rate(value: float) -> str:
    """Three significant digits, grouped: 155,000 for 154,870."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """1 h 05 min, 2 min 05 s or 3.4 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(num_bytes: float) -> str:
    """2.95 MB for 2,950,000."""
    return f"{rate(num_bytes / 1e6)} MB" if num_bytes >= 1e5 else f"{rate(num_bytes / 1e3)} kB"


def dash(value: object | None) -> str:
    """A dash for an unknown value."""
    return "–" if value is None else str(value)


def excerpt(text: str, max_characters: int) -> str:
    """Return the text, or its beginning and end, where opinions tend to give their verdict, with … between them."""
    if len(text) <= max_characters:
        return text
    if max_characters == 0:
        return ""
    half = max_characters // 2
    head, tail = text[:half], text[half - max_characters :]
    return f"{head.rsplit(' ', 1)[0]} … {tail.split(' ', 1)[-1]}"
