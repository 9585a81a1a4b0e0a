"""The table that says what each character is to the tokenizer: a letter, a mark or a separator.

It is built once from the cleaning settings; the compiled kernel and its plain reference look code points up in it.
"""

import unicodedata
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from plaudit.text.cleaning import CleaningSettings

SEPARATOR = 0
"""Ends a token."""
PUNCTUATION = 1
"""Ends a token and is itself a token."""
# Any other value is the folded code point of a character inside a token; code points 0 and 1 are control characters,
# which are never inside one.

TABLE_SIZE = 0x20000
"""Code points from here on are rare ideographs without case; they are part of a token and fold to themselves."""

CharacterTable = npt.NDArray[np.uint32]


def character_table(cleaning: CleaningSettings) -> CharacterTable:
    """Return uint32 [TABLE_SIZE]: SEPARATOR, PUNCTUATION or the folded code point of each character."""
    return _character_table(cleaning.lowercase, cleaning.digits, cleaning.punctuation)


@lru_cache(maxsize=8)
def _character_table(lowercase: bool, digits: str, punctuation: str) -> CharacterTable:
    table = np.array([_classify(chr(c), lowercase, digits, punctuation) for c in range(TABLE_SIZE)], np.uint32)
    table.setflags(write=False)
    return table


def classify(character: str, cleaning: CleaningSettings) -> int:
    """Return the table's entry for one character without building the table."""
    if ord(character) >= TABLE_SIZE:
        return ord(character)
    return _classify(character, cleaning.lowercase, cleaning.digits, cleaning.punctuation)


def _classify(character: str, lowercase: bool, digits: str, punctuation: str) -> int:
    if character.isalnum():
        if digits == "drop" and not character.isalpha():
            return SEPARATOR
        lower = character.lower()
        return ord(lower) if lowercase and len(lower) == 1 else ord(character)
    category = unicodedata.category(character)
    if category[0] == "M":  # a combining mark belongs to the letter before it: é, Hindi vowels
        return ord(character)
    if category[0] in "CZ" or punctuation == "drop":
        return SEPARATOR
    return PUNCTUATION
