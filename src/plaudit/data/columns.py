"""What the columns of your own file can be for, and the usual names by which they are found."""

from collections.abc import Sequence

USUAL_NAMES = {
    "text": "text review review_text review_body sentence comment content body tweet message document",
    "label": "label labels sentiment class category target polarity rating stars score",
    "split": "split",
    "group": "group movie_id product_id",
    "id": "id",
}
ROLES = tuple(USUAL_NAMES)
"""What a column can be for."""


def usual_column(names: Sequence[str], role: str) -> str | None:
    """Return the first of USUAL_NAMES for a role that is among the names, in any case; None if none is."""
    by_folded = {name.strip().casefold(): name for name in reversed(names)}
    return next((by_folded[name] for name in USUAL_NAMES[role].split() if name in by_folded), None)


def no_usual_column(role: str, names: Sequence[str]) -> str:
    """Return the message for a file in which no column has a usual name for a role."""
    listed = ", ".join(repr(name[:40]) for name in names[:20])
    is_row = any(len(name.split()) > 2 for name in names)
    hint = "; if these are not names but a row, give --no-header" if is_row else ""
    return f"no column has a usual name for the {role}; name one of {listed}{hint}"
