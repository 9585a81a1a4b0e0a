"""Reads flat files of bags of n-grams by their description in models/bow/flat.py."""

import hashlib

import numpy as np

from plaudit.models.bow import flat
from plaudit.models.bow.model import logits_of_problems
from plaudit.text import kernel
from plaudit.text.characters import PUNCTUATION, TABLE_SIZE


def read_flat(path):
    """Return the labels, and a function from texts to logits, float32 [N, C]."""
    content = path.read_bytes()
    magic, version, max_order, slot_bits, num_labels, num_problems, flags, num_stop_words, num_pages, *places = (
        flat._HEADER.unpack_from(content)
    )
    assert (magic, version) == (b"PLFLAT\r\n", 2)
    assert hashlib.sha256(content[:-32]).digest() == content[places[-1] :]

    def array(dtype, place, *shape):
        return np.frombuffer(content, dtype, int(np.prod(shape)), place).reshape(shape).copy()

    labels, place = [], places[0]
    for _ in range(num_labels):
        length = int(array("<u4", place, 1)[0])
        labels.append(content[place + 4 : place + 4 + length].decode())
        place += 4 + length
    stored = array("<u4", places[2], num_pages, 256)[array("<u2", places[1], TABLE_SIZE // 256)].ravel()
    letters = stored + np.arange(TABLE_SIZE, dtype=np.uint32) - np.uint32(0x200000)
    characters = np.where(stored > PUNCTUATION, letters, stored)
    stop_words = array("<u8", places[3], num_stop_words)
    characters.setflags(write=False)
    cleaning = kernel.build_tables(characters, stop_words, strip_html=bool(flags & 1))
    scale, bias = (array("<f4", place, num_problems) for place in places[4:6])
    table = array("<u4", places[6], num_problems, 1 << slot_bits)

    def logits(texts):
        scores = kernel.ngram_scores(*kernel.join_utf8(texts), cleaning, max_order, table, bool(flags & 2), 0)
        return logits_of_problems(scores * scale + bias)

    return tuple(labels), logits
