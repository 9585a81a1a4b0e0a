"""Each character is a separator, a punctuation mark or part of a token."""

import pytest

from plaudit.text.characters import PUNCTUATION, SEPARATOR, character_table, classify
from plaudit.text.cleaning import CleaningSettings


@pytest.mark.parametrize(
    ("character", "expected"),
    [
        ("a", ord("a")),
        ("A", ord("a")),
        ("É", ord("é")),
        ("İ", ord("İ")),  # its lower case is two characters, so it stays
        ("7", ord("7")),
        ("\u0301", 0x301),  # a combining accent
        ("字", ord("字")),
        ("\U00020000", 0x20000),
        (" ", SEPARATOR),
        ("\u200b", SEPARATOR),
        ("\x00", SEPARATOR),
        ("!", PUNCTUATION),
        ("_", PUNCTUATION),
        ("😀", PUNCTUATION),
    ],
)
def test_characters_are_what_unicode_says(character: str, expected: int) -> None:
    assert classify(character, CleaningSettings(punctuation="keep")) == expected


def test_settings_change_only_what_they_name() -> None:
    table = character_table(CleaningSettings(lowercase=False, digits="drop", punctuation="drop"))
    assert [table[ord(c)] for c in "Aa7!"] == [ord("A"), ord("a"), SEPARATOR, SEPARATOR]
