"""The compiled pass over UTF-8 bytes that every model of ours shares: clean, tokenize, look up or hash.

Texts come in as one byte buffer with offsets. `_tokenize` writes the hashes of one text's tokens to a scratch
array that stays in cache; each function behind it feeds them to one consumer. `text/reference.py` says the same in
plain Python, and property tests hold the two together. Cleaning settings arrive as tables, so one compiled version
serves them all.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc"
# (numba infers the argument types of the compiled functions, so theirs are not annotated)

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from undertone.text.characters import PUNCTUATION, SEPARATOR, TABLE_SIZE, CharacterTable, character_table
from undertone.text.cleaning import CleaningSettings
from undertone.text.hashing import NGRAM_MULTIPLIER, TOKEN_MULTIPLIER
from undertone.text.reference import stop_word_tokens, token_hash

# Arithmetic stays in 64 bits only between numpy scalars: numba turns int with uint64 into a float.
_MULTIPLIER = np.uint64(TOKEN_MULTIPLIER)
_NGRAM_MULTIPLIER = np.uint64(NGRAM_MULTIPLIER)
_U29, _U32, _ONE, _ZERO = np.uint64(29), np.uint64(32), np.uint64(1), np.uint64(0)

_SPECIAL = np.uint32(0xFFFFFFFF)

_CHUNK = 1024

_compiled = numba.njit(cache=True, nogil=True)


class CleaningTables(NamedTuple):
    """Cleaning settings in the form that the kernel reads."""

    characters: CharacterTable
    ascii_entries: npt.NDArray[np.uint32]
    """The table's entry for each byte, [256]; _SPECIAL where the byte alone does not tell."""
    stop_words: npt.NDArray[np.uint64]
    """A hash table of token hashes as `hash_table` makes it; of length 0 if there are none."""


def cleaning_tables(cleaning: CleaningSettings) -> CleaningTables:
    """Return the kernel's form of (resolved) settings."""
    hashes = np.array(sorted(map(token_hash, stop_word_tokens(cleaning))), np.uint64)
    stop_words = hash_table(hashes)[0] if len(hashes) else hashes
    characters = character_table(cleaning)
    ascii_entries = characters[:256].copy()
    ascii_entries[128:] = _SPECIAL
    if cleaning.strip_html:
        ascii_entries[[ord("<"), ord("&")]] = _SPECIAL
    return CleaningTables(characters, ascii_entries, stop_words)


def chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut texts into pieces to take at once: enough to drown the cost of a call, few enough to stay in cache."""
    for start in range(0, len(texts), _CHUNK):
        yield texts[start : start + _CHUNK]


def join_utf8(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return all texts as one UTF-8 buffer, uint8 [bytes], and int64 [N + 1] offsets; lone surrogates become `?`."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def hash_table(keys: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
    """Return an open-addressing table of distinct keys, at most 40 % full, and the position of each slot's key.

    The key 0 marks a free slot, so a key of 0 is never found: one hash in 2^64.
    """
    size = 1 << max(3, int(np.ceil(np.log2(len(keys) / 0.4 + 1))))
    slots, positions = np.zeros(size, np.uint64), np.full(size, -1, np.int32)
    _fill_table(keys, slots, positions)
    return slots, positions


@_compiled
def _home(key, slots):
    return (key * _MULTIPLIER >> _U32) & np.uint64(len(slots) - 1)


@_compiled
def _find(key, slots):
    """Return the slot that holds `key`, or the free slot where it would go."""
    slot = _home(key, slots)
    while slots[slot] != _ZERO and slots[slot] != key:
        slot = (slot + _ONE) & np.uint64(len(slots) - 1)
    return slot


@_compiled
def _fill_table(keys, slots, positions):
    for i in range(len(keys)):
        slot = _find(keys[i], slots)
        slots[slot] = keys[i]
        positions[slot] = i


@_compiled
def _extend(ngram, token):
    value = (ngram + token) * _NGRAM_MULTIPLIER
    return value ^ (value >> _U29)


@_compiled
def _after_markup(data, position, end):
    """Return where the tag or character reference that may start at `position` ends; `position` if none does."""
    first = data[position + _ONE] if position + _ONE < end else np.uint8(0)
    if data[position] == ord("<"):
        if not (97 <= (first | 32) <= 122 or first == ord("/") or first == ord("!")):
            return position
        for i in range(position + np.uint64(2), min(end, position + np.uint64(258))):
            if data[i] == ord(">"):
                return np.uint64(i) + _ONE
            if data[i] == ord("<"):
                return position
        return position
    start = position + np.uint64(2 if first == ord("#") else 1)
    for i in range(start, min(end, start + np.uint64(9))):
        if data[i] == ord(";") and i > start:
            return np.uint64(i) + _ONE
        if not (97 <= (data[i] | 32) <= 122 or 48 <= data[i] <= 57):
            return position
    return position


@_compiled
def _tokenize(data, start, end, cleaning, tokens, spans):
    """Write the hashes of the tokens of data[start:end] to `tokens` and return how many there are.

    `spans`, if not None, gets the first and last + 1 byte of each token. Where a token ends in English text is as good
    as random, so the loop does not branch on it: each byte writes a hash, and only a token's last one advances the
    count. Masks instead of conditions and unsigned positions, which numba does not check for being negative, make it
    2.2 times as fast as a loop over the letters of a token.
    """
    ascii_entries = cleaning.ascii_entries
    count = _ZERO
    value = _ZERO
    inside = _ZERO
    token_start = np.uint64(start)
    position = np.uint64(start)
    while position < np.uint64(end):
        entry = ascii_entries[data[position]]
        after = position + _ONE
        if entry == _SPECIAL:
            entry, after = _special(data, position, np.uint64(end), cleaning)
        tokens[count] = value ^ (value >> _U32)
        if spans is not None:
            token_start = token_start if inside else position
            spans[count, 0] = token_start
            spans[count, 1] = position
        is_part = np.uint64(entry > PUNCTUATION)
        count += inside & ~is_part
        value = ((value ^ np.uint64(entry)) * _MULTIPLIER) & (_ZERO - is_part)
        inside = is_part
        if entry == PUNCTUATION:
            mark = np.uint64(_code_point(data, position)) * _MULTIPLIER
            tokens[count] = mark ^ (mark >> _U32)
            if spans is not None:
                spans[count, 0] = position
                spans[count, 1] = after
            count += _ONE
        position = after
    if inside:
        tokens[count] = value ^ (value >> _U32)
        if spans is not None:
            spans[count, 0] = token_start
            spans[count, 1] = position
        count += _ONE
    return np.int64(count)


@_compiled
def _wanted_tokens(data, start, end, cleaning, tokens):
    """As `_tokenize`, less the stop words."""
    count = _tokenize(data, start, end, cleaning, tokens, None)
    stop_words = cleaning.stop_words
    if len(stop_words) == 0:
        return count
    kept = 0
    for t in range(count):
        tokens[kept] = tokens[t]
        kept += stop_words[_find(tokens[t], stop_words)] == _ZERO
    return kept


@_compiled
def _special(data, position, end, cleaning):
    """Return the entry of a multi-byte character or of what may be markup, and the position after it."""
    if data[position] < 128:
        after = _after_markup(data, position, end)
        if after > position:
            return np.uint32(SEPARATOR), after
        return cleaning.characters[data[position]], position + _ONE
    code_point = _code_point(data, position)
    after = position + np.uint64(2 if data[position] < 0xE0 else 3 if data[position] < 0xF0 else 4)
    return cleaning.characters[code_point] if code_point < TABLE_SIZE else np.uint32(code_point), after


@_compiled
def _code_point(data, position):
    first = np.uint32(data[position])
    if first < 0x80:
        return first
    second = np.uint32(data[position + _ONE] & 0x3F)
    if first < 0xE0:
        return (first & np.uint32(0x1F)) << np.uint32(6) | second
    third = np.uint32(data[position + np.uint64(2)] & 0x3F)
    if first < 0xF0:
        return (first & np.uint32(0xF)) << np.uint32(12) | second << np.uint32(6) | third
    fourth = np.uint32(data[position + np.uint64(3)] & 0x3F)
    return (first & np.uint32(7)) << np.uint32(18) | second << np.uint32(12) | third << np.uint32(6) | fourth


@_compiled
def _scratch(offsets):
    """Return room for the tokens of the longest text: at most one a byte, and one past the end."""
    return np.empty((np.max(np.diff(offsets)) if len(offsets) > 1 else 0) + 1, np.uint64)


@_compiled
def token_ids(data, offsets, cleaning, slots, ids_of_slots, unknown):
    """Return the ids of all tokens, int32 [tokens], and int64 [N + 1] offsets into them."""
    tokens = _scratch(offsets)
    ids = np.empty(len(data), np.int32)
    ends = np.zeros(len(offsets), np.int64)
    total = 0
    for i in range(len(offsets) - 1):
        count = _wanted_tokens(data, offsets[i], offsets[i + 1], cleaning, tokens)
        for t in range(count):
            slot = _find(tokens[t], slots)
            ids[total + t] = ids_of_slots[slot] if slots[slot] != _ZERO else unknown
        total += count
        ends[i + 1] = total
    return ids[:total], ends


@_compiled
def token_spans(data, offsets, cleaning):
    """Return the hash of each token, stop words included, uint64 [tokens], and its bytes, int64 [tokens, 2]."""
    tokens = np.empty(len(data) + 1, np.uint64)
    spans = np.empty((len(data) + 1, 2), np.int64)
    total = 0
    for i in range(len(offsets) - 1):
        total += _tokenize(data, offsets[i], offsets[i + 1], cleaning, tokens[total:], spans[total:])
    return tokens[:total], spans[:total]


@_compiled
def _extend_all(order, tokens, count, shorter, ngrams):
    """Set ngrams[t] to the n-gram of this order that ends at token t, given those that are one token shorter."""
    if order == 1:
        for t in range(np.uint64(count)):
            ngrams[t] = _extend(_ZERO, tokens[t])
    else:
        for t in range(np.uint64(order - 1), np.uint64(count)):
            ngrams[t] = _extend(shorter[t - _ONE], tokens[t])


@_compiled
def ngram_keys(data, offsets, cleaning, max_order):
    """Return the high 32 bits of the hash of each n-gram of order 1 … max_order, and int64 [N + 1] offsets."""
    tokens = _scratch(offsets)
    ngrams, longer = np.zeros_like(tokens), np.zeros_like(tokens)
    keys = np.empty(len(data) * max_order, np.uint32)
    ends = np.zeros(len(offsets), np.int64)
    total = 0
    for i in range(len(offsets) - 1):
        count = _wanted_tokens(data, offsets[i], offsets[i + 1], cleaning, tokens)
        for order in range(1, max_order + 1):
            _extend_all(order, tokens, count, ngrams, longer)
            ngrams, longer = longer, ngrams
            for t in range(order - 1, count):
                keys[total] = ngrams[t] >> _U32
                total += 1
        ends[i + 1] = total
    return keys[:total], ends


# Sums may be taken in any order, which lets them run in parallel.
@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _sum_weights(weights, k, slots, count):
    total = np.float32(0)
    for j in range(count):
        total += weights[slots[j], k]
    return total


@_compiled
def ngram_scores(data, offsets, cleaning, max_order, tags, weights):
    """Return the summed weights of each text's distinct n-grams, float32 [N, K].

    The high bits of an n-gram's key choose one of S slots, a power of two; it is known if `tags`, uint16 [S], holds
    the key's other bits there, and `weights`, float32 [S, K], its weights. No branch depends on what a table holds, so
    the processor loads many entries at a time.
    """
    tokens = _scratch(offsets)
    ngrams, longer = np.zeros_like(tokens), np.zeros_like(tokens)
    known = np.empty(len(tokens) * max_order + 1, np.uint32)
    last_text = np.zeros(len(tags), np.uint8)  # in which text a slot was last counted, modulo 255
    scores = np.zeros((len(offsets) - 1, weights.shape[1]), np.float32)
    slot_bits = np.uint64(round(np.log2(len(tags))))
    slot_shift = np.uint64(64) - slot_bits
    tag_mask = np.uint32((_ONE << (_U32 - slot_bits)) - _ONE)
    for i in range(len(offsets) - 1):
        stamp = np.uint8(i % 255 + 1)
        if stamp == 1:
            last_text[:] = 0
        count = _wanted_tokens(data, offsets[i], offsets[i + 1], cleaning, tokens)
        num_known = _ZERO
        for order in range(1, max_order + 1):
            _extend_all(order, tokens, count, ngrams, longer)
            ngrams, longer = longer, ngrams
            for t in range(np.uint64(order - 1), np.uint64(count)):
                slot = ngrams[t] >> slot_shift
                known[num_known] = slot
                num_known += np.uint64(tags[slot] == np.uint32(ngrams[t] >> _U32) & tag_mask)
        num_distinct = _ZERO
        for j in range(num_known):
            slot = known[j]
            known[num_distinct] = slot
            num_distinct += np.uint64(last_text[slot] != stamp)
            last_text[slot] = stamp
        for k in range(weights.shape[1]):
            scores[i, k] = _sum_weights(weights, k, known, num_distinct)
    return scores
