"""The parts of a report, independent of HTML and PDF.

Texts may hold `code` in backticks and **strong** words in double asterisks; everything else is literal text.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A stretch of text in one style: "", "code" or "strong"."""

    text: str
    style: str = ""


def spans(text: str) -> list[Span]:
    """Split a text at its backticks and double asterisks."""
    parts = []
    for part in re.split(r"(`[^`]+`|\*\*[^*]+\*\*)", text):
        if part.startswith("`") and len(part) > 2:
            parts.append(Span(part[1:-1], "code"))
        elif part.startswith("**") and len(part) > 4:
            parts.append(Span(part[2:-2], "strong"))
        elif part:
            parts.append(Span(part))
    return parts


def literal(text: str) -> str:
    """Replace a text's own stars and backticks, which would be read as formatting."""
    return text.replace("`", "\u2018").replace("**", "* *")


@dataclass(frozen=True)
class Paragraph:
    """Running text; a quiet one is a note on what is above it."""

    text: str
    is_quiet: bool = False


@dataclass(frozen=True)
class Heading:
    """The heading of the following blocks of a section."""

    text: str


@dataclass(frozen=True)
class Column:
    """A column's heading; numbers are aligned right."""

    name: str
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of texts, the first of each its heading; `shares`, if given, is how dark each cell is, 0 … 1."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    shares: tuple[tuple[float | None, ...], ...] = ()


@dataclass(frozen=True)
class Figure:
    """A chart as SVG; `label` describes it to those who do not see it, `caption` to those who do."""

    svg: str
    label: str
    caption: str


@dataclass(frozen=True)
class SideBySide:
    """Figures or tables beside each other where there is room."""

    blocks: tuple["Figure | Table", ...]


@dataclass(frozen=True)
class Code:
    """Text to copy as it is."""

    text: str


Block = Paragraph | Heading | Table | Figure | SideBySide | Code


@dataclass(frozen=True)
class Section:
    """A chapter; `name` is its anchor in the page. One without blocks has nothing to say and is left out."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Tile:
    """A figure to see at a glance."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Document:
    """The whole report; `cautions` are what a reader must know before trusting the title."""

    title: str
    kicker: str
    cautions: tuple[str, ...]
    abstract: tuple[str, ...]
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sections", tuple(section for section in self.sections if section.blocks))


def columns(*names: str) -> tuple[Column, ...]:
    """Return columns by their names; a leading `#` marks a column of numbers."""
    return tuple(Column(name.removeprefix("#"), name.startswith("#")) for name in names)
