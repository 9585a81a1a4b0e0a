"""A report as blocks that know nothing of HTML or PDF: built once, written as either.

Texts carry two marks: `code` between backticks, and **weight** between double asterisks. Everything else stands as it
is, whatever it holds.
"""

import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Span:
    """A stretch of text in one style: "", "code" or "strong"."""

    text: str
    style: str = ""


def spans(text: str) -> list[Span]:
    """Read the marks of a text."""
    found = []
    for part in re.split(r"(`[^`]+`|\*\*[^*]+\*\*)", text):
        if part.startswith("`") and len(part) > 2:
            found.append(Span(part[1:-1], "code"))
        elif part.startswith("**") and len(part) > 4:
            found.append(Span(part[2:-2], "strong"))
        elif part:
            found.append(Span(part))
    return found


@dataclass(frozen=True)
class Paragraph:
    """Running text; a quiet one explains what stands above it."""

    text: str
    is_quiet: bool = False


@dataclass(frozen=True)
class Heading:
    """What the following blocks of a section are about."""

    text: str


@dataclass(frozen=True)
class Column:
    """A column's heading; numbers stand to the right."""

    name: str
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    """Cells are texts; the first of a row names it. `shares`, where given, is how dark each cell is, 0 … 1."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    shares: tuple[tuple[float | None, ...], ...] = ()


@dataclass(frozen=True)
class Figure:
    """A chart as SVG; `label` says it to those who do not see it, `caption` to those who do."""

    svg: str
    label: str
    caption: str


@dataclass(frozen=True)
class Row:
    """Figures or tables beside each other where there is room."""

    blocks: tuple["Figure | Table", ...]


@dataclass(frozen=True)
class Code:
    """Text to copy as it is."""

    text: str


@dataclass(frozen=True)
class Missing:
    """What a report would say here, and the file or command it would take that from."""

    what: str
    source: str


Block = Paragraph | Heading | Table | Figure | Row | Code | Missing


@dataclass(frozen=True)
class Section:
    """A chapter; `name` is its address in the page."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Tile:
    """One figure to see at a glance."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Document:
    """The whole report."""

    title: str
    kicker: str
    abstract: tuple[str, ...]
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...] = field(default_factory=tuple)


def columns(*names: str) -> tuple[Column, ...]:
    """Return columns by their names; a `#` in front of one marks numbers."""
    return tuple(Column(name.removeprefix("#"), name.startswith("#")) for name in names)
