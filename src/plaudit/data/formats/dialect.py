"""How a text file of rows is written, found out from its beginning: separator, quotes, line ends and header."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from plaudit.data.columns import USUAL_NAMES
from plaudit.data.formats.encoding import shown
from plaudit.data.formats.location import Location
from plaudit.data.formats.read_options import Quoting, ReadOptions, naming
from plaudit.errors import DataError

SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "vertical bars"}
_ALL_FIT = 0.9
_MAX_ROWS = 1000
_SEPARATOR_LINE = re.compile(r'"?sep=([^\w"\n])"?\n')
_SENTENCE = re.compile(r"\S\s+\S+\s+\S|\w[.!?]$")
_NUMBER = re.compile(r"\s*[+-]?\d+([.,]\d+)?\s*")
_USUAL_NAMES = frozenset(" ".join(USUAL_NAMES.values()).split())


@dataclass(frozen=True)
class Dialect:
    """How a file is written."""

    separator: str | None = ","
    """None if each line is one text."""
    quoting: Quoting = "double"
    is_quoting_given: bool = False
    encoding: str = "utf-8"
    is_encoding_guessed: bool = False
    ends_in_cr: bool = False
    has_header: bool = True
    names_separator: bool = False
    """Whether a line such as `sep=;` comes before all rows, which Excel reads and writes."""
    member: str | None = None
    """Its name in the zip archive that holds it."""

    def describe(self) -> str:
        """Say how the file is written, in a few words."""
        separator = self.separator and SEPARATORS.get(self.separator, repr(self.separator))
        words = [f"cells separated by {separator}" if separator else "one text a line"]
        if self.separator and self.quoting != "double":
            words.append("quotes escaped by backslashes" if self.quoting == "backslash" else "no cell is quoted")
        words.append(shown(self.encoding))
        if self.ends_in_cr:
            words.append("lines end in CR")
        if self.separator and not self.has_header:
            words.append("no header, columns named by number")
        return ", ".join(words)


class Start(NamedTuple):
    """The beginning of a text file."""

    text: str
    is_whole: bool
    """Whether it is the whole file."""
    encoding: str
    is_encoding_guessed: bool
    """Whether it is likely, not certain."""
    member: str | None


class _Rows(NamedTuple):
    """The first rows of a file under some assumption of how it is written."""

    rows: list[list[str]]
    strays: int
    """Quoted cells with more after their closing quote, and quotes left open."""
    swallowing_row: int | None
    """The first row with a quoted cell that spans lines and goes on after its closing quote; None if there is none."""
    num_quoted: int
    """Cells between quotes that are read as text."""
    num_spanning: int
    """Quoted cells that span lines."""

    @property
    def width(self) -> int:
        return len(self.rows[0]) if self.rows else 0

    @property
    def fits(self) -> bool:
        """Whether nearly all rows have the cells of the first."""
        same = sum(len(row) == self.width for row in self.rows)
        return same >= _ALL_FIT * len(self.rows)


class NoHeaderError(DataError):
    """The first row of a file does not look like names of columns."""

    def __init__(self, message: str, first_row: tuple[str, ...]) -> None:
        super().__init__(message)
        self.first_row = first_row


def find_dialect(location: Location, start: Start, options: ReadOptions, usual_separator: str | None) -> Dialect:
    """Find out how a file is written that begins so; DataError names the option to give where that is uncertain.

    The usual separator of its kind of file and doubled quotes hold if they fit. Otherwise another separator, quotes
    escaped by backslashes or quotes without a meaning do, if nine of ten rows then have as many cells as the first and
    no quoted cell goes on after its closing quote.
    """
    ends_in_cr = "\r" in start.text and "\n" not in start.text
    start = start._replace(text=start.text.replace("\r\n", "\n").replace("\r", "\n"))
    named = _SEPARATOR_LINE.match(start.text)
    if named:
        start = start._replace(text=start.text[named.end() :])
        options = options.model_copy(update={"separator": options.separator or named[1]})
    separator, quoting, rows = _separator_and_quoting(location, start, options, usual_separator)
    has_header = options.header
    if has_header is None and separator is None:
        has_header = _has_usual_name(rows.rows[0])
    elif has_header is None:
        _check_is_header(location, rows.rows)
        has_header = True
    return Dialect(
        separator=separator,
        quoting=quoting,
        is_quoting_given=options.quoting is not None,
        encoding=start.encoding,
        is_encoding_guessed=start.is_encoding_guessed,
        ends_in_cr=ends_in_cr,
        has_header=has_header,
        names_separator=named is not None,
        member=start.member,
    )


def _separator_and_quoting(
    location: Location, start: Start, options: ReadOptions, usual: str | None
) -> tuple[str | None, Quoting, _Rows]:
    usual = options.separator or usual
    separators = [usual] if usual else []
    if options.separator is None:
        separators += [each for each in SEPARATORS if each != usual]
    quoting = options.quoting or "double"
    parsed: list[tuple[str, _Rows]] = []
    likely = []
    for separator in separators:
        rows = _first_rows(start, separator, quoting)
        parsed.append((separator, rows))
        if not rows.strays and rows.fits and _has_columns(rows, separator, usual):
            likely.append((separator, rows))
            if separator == usual:
                break
    if len(likely) > 1:
        listed = " or ".join(SEPARATORS.get(separator, repr(separator)) for separator, _ in likely)
        raise DataError(f"{location}: its cells may be separated by {listed}; say which ({naming('separator')})")
    if likely:
        return likely[0][0], quoting, likely[0][1]
    if options.quoting is None:
        found = list(_with_other_quoting(start, [(each, rows) for each, rows in parsed if rows.strays], usual))
        # With backslashes, a cell that spans lines may be several rows that begin with bare quotes.
        if found and not (found[0][2].num_spanning and len(found) > 1):
            return found[0]
        if found:
            raise _uncertain_quoting(location, "quotes may be escaped by backslashes or mean nothing")
    if usual is None:
        return None, "none", _first_rows(start, "\0", "none")
    rows = parsed[0][1]
    if options.quoting is None and rows.swallowing_row is not None:
        where = f"row {rows.swallowing_row}: a quoted cell spans lines and goes on after its closing quote"
        raise _uncertain_quoting(location, where)
    return usual, quoting, rows


def _with_other_quoting(
    start: Start, with_strays: list[tuple[str, _Rows]], usual: str | None
) -> Iterator[tuple[str, Quoting, _Rows]]:
    """Yield separators and quotings that fit a file with quoted cells that go on after their closing quotes."""
    num_found = 0
    for quoting in _other_quotings(start.text):
        for separator, _ in with_strays:
            rows = _first_rows(start, separator, quoting)
            # In a file with commas and well-quoted cells, one quote that is wrong does not make all others text.
            is_sure = quoting == "backslash" or separator == "\t" or not rows.num_quoted
            if is_sure and rows.fits and _has_columns(rows, separator, usual):
                num_found += 1
                yield separator, quoting, rows
    quoted = dict(with_strays).get(usual or "")
    if not num_found and usual and quoted and quoted.swallowing_row is not None:
        rows = _first_rows(start, usual, "none")
        if rows.width == 1 and rows.fits and not rows.num_quoted:
            yield usual, "none", rows


def _uncertain_quoting(location: Location, where: str) -> DataError:
    return DataError(f"{location}: {where}; say how they are meant, double, backslash or none ({naming('quoting')})")


def _has_columns(rows: _Rows, separator: str, usual: str | None) -> bool:
    # Where a line may be one text, only a header tells separators from punctuation, but for tabs.
    return rows.width > 1 and (usual is not None or separator == "\t" or _has_usual_name(rows.rows[0]))


def _other_quotings(text: str) -> Iterator[Quoting]:
    if '\\"' in text:
        yield "backslash"
    yield "none"


_QUOTED: dict[Quoting, str] = {
    "double": r'"[^"]*(?:""[^"]*)*"',
    "backslash": r'"[^"\\]*(?:(?:\\.|"")[^"\\]*)*"',
}


def _first_rows(start: Start, separator: str, quoting: Quoting) -> _Rows:
    text, end = start.text, len(start.text)
    quoted = re.compile(_QUOTED[quoting], re.DOTALL) if quoting in _QUOTED else None
    plain = re.compile(rf"[^{re.escape(separator)}\n]*")
    rows: list[list[str]] = []
    row: list[str] = []
    strays, num_quoted, num_spanning, swallowing_row, position = 0, 0, 0, None, 0
    while position < end and len(rows) < _MAX_ROWS:
        match = quoted.match(text, position) if quoted and text[position] == '"' else None
        if match is None and quoted and text[position] == '"':
            strays += start.is_whole  # left open; in a part of a file, it may be closed later
            row = []
            break
        stop = position if match is None else match.end()
        after = plain.match(text, stop)
        assert after is not None
        cell, position = text[position : after.end()], after.end()
        num_spanning += match is not None and "\n" in match[0]
        if match is not None and position > stop and (position < end or start.is_whole):
            strays += 1
            if "\n" in match[0] and swallowing_row is None:
                swallowing_row = len(rows)
        elif match is not None:
            cell = cell[1:-1]
        elif len(cell) > 1 and cell[0] == '"' == cell[-1]:
            num_quoted += 1
        row.append(cell)
        if text[position : position + 1] == separator:
            position += 1
            if position < end:
                continue
            row.append("")
        if row != [""] and (position < end or start.is_whole):
            rows.append(row)
        row = []
        position += 1
    if not rows:  # a first row longer than what was looked at
        rows = [row or [text.partition("\n")[0]]]
    return _Rows(rows, strays, swallowing_row, num_quoted, num_spanning)


def _has_usual_name(row: list[str]) -> bool:
    return any(cell.strip().casefold() in _USUAL_NAMES for cell in row)


def _check_is_header(location: Location, rows: list[list[str]]) -> None:
    """DataError if the first row has no usual name but a sentence or a number, and shares a value with other rows."""
    first = rows[0]
    if len(first) < 2 or _has_usual_name(first):
        return
    has_sentence = any(_SENTENCE.search(cell) for cell in first)
    for i, cell in enumerate(first):
        is_repeated = any(row[i : i + 1] == [cell] and row != first for row in rows[1:])
        if is_repeated and (_NUMBER.fullmatch(cell) or (has_sentence and cell.strip())):
            raise NoHeaderError(
                f"{location}: has no header, it seems: {cell[:40]!r} of its first row stands below it too; "
                "give --no-header to have columns named 1, 2, …, or --header "
                "(--set header=false or true; in a recipe, data.header)",
                tuple(first),
            )
