"""One form for each letter: é is one character, whether it was typed so or as e and an accent (Unicode's NFC)."""

import unicodedata
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

_LOWEST = 0xCC
"""The first byte of the first character that may change: U+0300, an accent. All of Latin comes before."""
_BLOCK = 1 << 15
"""Bytes that are looked at together; their intermediate results stay in cache."""


def composed(text: str) -> str:
    """Return a text with composed letters."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def composed_column(texts: "pa.LargeStringArray") -> "pa.LargeStringArray":
    """Return texts with composed letters; the same array if they all are already.

    To ask unicodedata about each text would take longer than to score it, so bytes are looked at first: whole ranges of
    them, and single characters where these leave a doubt.
    """
    import pyarrow as pa  # a single text needs only the function above
    import pyarrow.compute as pc

    _, offsets, content = texts.buffers()
    if content is None:
        return texts
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(content, np.uint8)[bounds[0] : bounds[-1]]
    if data.max(initial=0) < _LOWEST:
        return texts
    places = np.concatenate([_doubtful_places(data, start) for start in range(0, len(data), _BLOCK)])
    rows = np.unique(np.searchsorted(bounds, places + bounds[0], side="right") - 1)
    written = [texts[row].as_py() for row in rows.tolist()]
    changed = [not unicodedata.is_normalized("NFC", text) for text in written]
    if not any(changed):
        return texts
    mask = np.zeros(len(texts), np.bool_)
    mask[rows[changed]] = True
    replacements = [composed(text) for text, is_changed in zip(written, changed, strict=True) if is_changed]
    return pc.replace_with_mask(texts, pa.array(mask), pa.array(replacements, texts.type))


def _doubtful_places(data: npt.NDArray[np.uint8], start: int) -> npt.NDArray[np.int64]:
    """Return where in a block of bytes a character begins that may change or combine, int64 [places]."""
    block = data[start : start + _BLOCK]
    # Without the common letters of Cyrillic (first bytes D0, D1), Chinese and Korean (E4 to E9, EB to ED).
    is_doubtful = (block >= _LOWEST) & (block - np.uint8(0xD0) > 1)
    is_doubtful &= (block - np.uint8(0xE4) > 5) & (block - np.uint8(0xEB) > 2)
    places = np.flatnonzero(is_doubtful) + start
    pairs = data[places].astype(np.uint16) << np.uint16(8) | data.take(places + 1, mode="clip")
    places = places[_pairs_that_may_change()[pairs]]
    found: npt.NDArray[np.int64] = places[_may_change()[_code_points(data, places)]]
    return found


def _code_points(data: npt.NDArray[np.uint8], places: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Return the code points of the characters of two bytes or more that begin at these places, int32 [places]."""
    first, *rest = (data.take(places + i, mode="clip").astype(np.int32) for i in range(4))
    second, third, fourth = (byte & 0x3F for byte in rest)
    two = (first & 0x1F) << 6 | second
    three = (first & 0x0F) << 12 | second << 6 | third
    four = (first & 0x07) << 18 | second << 12 | third << 6 | fourth
    return np.where(first < 0xE0, two, np.where(first < 0xF0, three, four))


@cache
def _may_change() -> npt.NDArray[np.bool_]:
    """Return for each code point whether composing may change it or what is before it; bool [0x110000]."""
    table = np.zeros(0x110000, np.bool_)
    for code in chain.from_iterable(_RANGES):
        character = chr(code)
        if unicodedata.combining(character) or unicodedata.normalize("NFC", character) != character:
            table[code] = True
        parts = unicodedata.decomposition(character).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            table[int(parts[1], 16)] = True
    table[0x1161:0x1176] = table[0x11A8:0x11C3] = True  # vowels and ends of Korean syllables
    return table


@cache
def _pairs_that_may_change() -> npt.NDArray[np.bool_]:
    """Return for each pair of bytes whether such a character begins with it; bool [65536]."""
    table = np.zeros(1 << 16, np.bool_)
    for code in np.flatnonzero(_may_change()).tolist():
        first, second = chr(code).encode()[:2]
        table[first << 8 | second] = True
    return table


_RANGES = (
    *(range(0xC0, 0x3400), range(0xA000, 0xAC00), range(0xF900, 0x12000), range(0x16000, 0x17000)),
    *(range(0x1BC00, 0x1BD00), range(0x1D000, 0x1F000), range(0x2F800, 0x2FA20)),
)
"""All that change, and not the many characters of Chinese and Korean that do not, to spare time."""
