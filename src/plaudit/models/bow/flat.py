r"""Writes a bag of n-grams as one flat file, which a program in any language can map into memory to score texts.

Numbers are little-endian; sections begin at multiples of 64 bytes, in any order.

    at   type     what
    0    u8[8]    "PLFLAT\r\n"
    8    u32      version of the format, 2
    12   u32      N, the order of the longest n-grams
    16   u32      b, 16 … 24; a table has S = 2**b slots
    20   u32      C, number of labels
    24   u32      K, number of binary problems: 1 if C is 2, else C
    28   u32      bit 0: markup is stripped; bit 1: sums are normalized
    32   u32      W, number of stop words
    36   u32      P, number of character pages
    40   u64      where the labels are: C times a u32 length and as many bytes of UTF-8
    48   u64      where the page numbers are: u16[512]
    56   u64      where the character pages are: u32[P][256]
    64   u64      where the hashes of the stop words are: u64[W], ascending
    72   u64      where the scales are: f32[K]
    80   u64      where the biases are: f32[K]
    88   u64      where the tables are: u32[K][S]
    96   u64      where the digest is: u8[32], the SHA-256 of all bytes before it; it ends the file

A text is scored as follows; arithmetic is modulo 2**64, ^ is exclusive or.

1. Markup. If it is stripped, what matches <[A-Za-z/!][^<>]{0,255}>|&#?[A-Za-z0-9]{1,8}; in the text's UTF-8 bytes is a
   separator.
2. Characters. A code point c of 0x20000 or more is a letter and folds to itself. For any other let e be
   pages[page_numbers[c >> 8]][c & 255]: 0 is a separator, 1 a mark, and any other e a letter that folds to
   c + e - 0x200000. Half of a surrogate pair counts as "?".
3. Tokens. A mark c is one, with h = c * M; so is each longest run of letters, with h = (h ^ letter) * M for one folded
   letter after the other, from h = 0, where M = 0x9E3779B97F4A7C15. A token's hash is h ^ (h >> 32). Tokens with the
   hash of a stop word are left out.
4. N-grams. For each run of 1 … N tokens take g = (g + hash) * G and then g = g ^ (g >> 29) for one token after the
   other, from g = 0, where G = 0xD6E8FEB86659FD93. The n-gram's key is g >> 32, and its slot is key >> (32 - b).
5. Weights. An n-gram is known to a problem if table[slot] is not 0 and (table[slot] ^ key) is 0 in the lowest 32 - b
   bits. Then its weight is the IEEE half-precision number in the upper 16 bits of table[slot]. Each slot counts once a
   text. If sums are normalized, that of the weights is divided by the square root of how many they are, if any.
6. A problem's score is scale * (sum of weights) + bias. Of two labels, the second has the probability
   1 / (1 + exp(-score)). Of more labels, each has that of its problem, divided by their sum.

Version 1 had no normalized sums.
"""

import hashlib
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from plaudit.errors import SettingsError
from plaudit.models.bow.model import BowModel
from plaudit.text.characters import PUNCTUATION, TABLE_SIZE, CharacterTable

MAGIC = b"PLFLAT\r\n"
VERSION = 2

_HEADER = struct.Struct("<8s8I8Q")
_ALIGNMENT = 64
_PAGE_SIZE = 256
_LETTER = 0x200000
_STRIPS_HTML, _IS_L2 = 1, 2


def write_flat(model: BowModel, path: Path) -> None:
    """Write a model as a flat file; SettingsError if the format cannot hold what it was fitted with."""
    if model.settings.characters > 1:
        raise SettingsError("the flat format holds no n-grams of characters; train the model with characters = 0")
    if len(model.labels) > 2 and model.settings.probabilities == "softmax":
        raise SettingsError('the flat format holds no softmax of scores; train with probabilities = "one-vs-rest"')
    cleaning, table = model.tables
    labels = [label.encode() for label in model.labels]
    numbers, pages = _pages(cleaning.characters)
    stop_words = np.sort(cleaning.stop_words[cleaning.stop_words != 0])
    sections = [
        b"".join(struct.pack("<I", len(label)) + label for label in labels),
        numbers.astype("<u2").tobytes(),
        pages.astype("<u4").tobytes(),
        stop_words.astype("<u8").tobytes(),
        model.scale.astype("<f4").tobytes(),
        model.bias.astype("<f4").tobytes(),
        table.astype("<u4").tobytes(),
    ]
    places, content = [], bytearray(_HEADER.size)
    for section in sections:
        content += bytes(-len(content) % _ALIGNMENT)
        places.append(len(content))
        content += section
    settings = model.settings
    flags = _STRIPS_HTML * settings.cleaning.strip_html | _IS_L2 * (settings.norm == "l2")
    sizes = (len(labels), len(table), flags, len(stop_words), len(pages))
    _HEADER.pack_into(content, 0, MAGIC, VERSION, settings.max_order, settings.slot_bits, *sizes, *places, len(content))
    path.write_bytes(content + hashlib.sha256(content).digest())


def _pages(characters: CharacterTable) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """Return which page each 256 characters have, [512], and the distinct pages, uint32 [P, 256].

    Letters are stored by how far they fold, which makes most of the pages equal.
    """
    distances = characters - np.arange(TABLE_SIZE, dtype=np.uint32) + np.uint32(_LETTER)
    stored = np.where(characters > PUNCTUATION, distances, characters)
    pages, numbers = np.unique(stored.reshape(-1, _PAGE_SIZE), axis=0, return_inverse=True)
    return numbers.ravel(), pages
