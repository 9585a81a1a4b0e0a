"""The encoding of a text file, found out from its beginning."""

import codecs
import re

NAMES = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32-le": "UTF-32",
    "utf-32-be": "UTF-32",
    "cp1252": "Windows-1252",
}
_MARKS = {  # the longest first, since UTF-32 begins as UTF-16 does
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_LETTERS = "äöüÄÖÜßéèêëÉÈÊàâáãåÀÂÁÃÅæÆçÇíìîïÍÎóòôõøÓÔÕØœŒúùûÚÙÛñÑ"
_BETWEEN_WORDS = "“”„‚«»‹›€£¥¢§°ºª¿¡•™®©½×±†"
_WESTERN = frozenset(_LETTERS + _BETWEEN_WORDS + "‘’´·–—…\N{NO-BREAK SPACE}")
_NOT_WESTERN = re.compile(rf"[{_LETTERS}]{{3}}|[A-Za-z{_LETTERS}][{_BETWEEN_WORDS}][A-Za-z{_LETTERS}]")
"""What other encodings look like when they are taken for Windows-1252: Cyrillic, Greek or Chinese words in a row of
accented letters, letters of DOS as quotation marks."""
UTF8_LETTER = re.compile(rb"[\xc2\xc3][\x80-\xbf]|\xe2\x80[\x80-\xbf]")


def find_encoding(start: bytes) -> str | None:
    """Return the encoding of a file that begins so, None if it is binary or cannot be told.

    UTF-8 holds until there is proof of another: a byte order mark; zero bytes that are every second byte of ASCII in
    UTF-16; or bytes that are not UTF-8 anywhere and that are, as Windows-1252, letters and marks of Western European
    languages, placed as in words. Other bytes that are not UTF-8 stay errors of the rows that hold them.
    """
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    if b"\0" in start:
        return _utf16(start)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return "cp1252" if _is_western(start) else "utf-8"
    return "utf-8"


def _utf16(start: bytes) -> str | None:
    for encoding, parity in (("utf-16-le", 1), ("utf-16-be", 0)):
        if 0 not in start[1 - parity :: 2]:
            text = start[: len(start) // 2 * 2].decode(encoding, "replace")
            if "\n" in text and all(character.isprintable() or character in "\r\n\t" for character in text[:4096]):
                return encoding
    return None


def _is_western(start: bytes) -> bool:
    if UTF8_LETTER.search(start):  # UTF-8 with some broken rows
        return False
    text = start.decode("cp1252", "replace")
    return all(c in _WESTERN for c in set(text) if not c.isascii()) and not _NOT_WESTERN.search(text)


def shown(encoding: str) -> str:
    """Return the name of an encoding as people write it."""
    return NAMES.get(encoding, encoding)
