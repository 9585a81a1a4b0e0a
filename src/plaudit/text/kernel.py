"""The compiled tokenizer of all models: cleans and tokenizes UTF-8 bytes, and looks tokens up or hashes n-grams.

Texts come in as one byte buffer with offsets. `_tokenize` writes the hashes of one text's tokens to a scratch array
that stays in cache, and the public functions use them from there. `text/reference.py` does the same in plain Python,
and property tests compare the two. Cleaning settings arrive as tables, so one compiled version serves them all.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc"
# (numba infers the argument types of the compiled functions, so theirs are not annotated)

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from plaudit.compiled import compiled
from plaudit.data.accents import composed_column
from plaudit.text.characters import PUNCTUATION, TABLE_SIZE, CharacterTable, character_table
from plaudit.text.cleaning import CleaningSettings
from plaudit.text.hashing import CHARACTERS, EDGE, NGRAM_MULTIPLIER, TOKEN_MULTIPLIER
from plaudit.text.reference import stop_word_tokens, token_hash

# Arithmetic stays in 64 bits only between numpy scalars: numba turns int with uint64 into a float.
_MULTIPLIER = np.uint64(TOKEN_MULTIPLIER)
_NGRAM_MULTIPLIER = np.uint64(NGRAM_MULTIPLIER)
_EDGE, _CHARACTERS = np.uint64(EDGE), np.uint64(CHARACTERS)
_U29, _U32, _ONE, _ZERO = np.uint64(29), np.uint64(32), np.uint64(1), np.uint64(0)

# The row of a byte: what to xor into a token's hash and to multiply it by, the hash of a punctuation mark, and a kind.
_ROW_BITS, _FACTOR, _MARK, _KIND = np.uint64(2), np.uint64(1), np.uint64(2), np.uint64(3)
_PART, _SPECIAL, _IS_MARK = np.uint64(1), np.uint64(2), np.uint64(1 << 32)

# An entry of an n-gram table: tag below, weight above. Seen slots are bits of 32-bit words.
_HALF, _WORD_SHIFT, _BIT_MASK = np.uint32(16), np.uint32(5), np.uint32(31)

# Numbers, because a call of ord compiles numba's strings.
_LESS_THAN, _GREATER_THAN, _SLASH, _EXCLAMATION, _HASH, _SEMICOLON = map(ord, "<>/!#;")

_CHUNK = 1024

_compiled = compiled()


class CleaningTables(NamedTuple):
    """Cleaning settings as the tables that the kernel reads."""

    characters: CharacterTable
    rows: npt.NDArray[np.uint64]
    """What each byte does to a token, flat [256 × 4]: its letter, a factor, a mark and a kind."""
    stop_words: npt.NDArray[np.uint64]
    """A hash table of token hashes as `hash_table` makes it; of length 0 if there are none."""


def cleaning_tables(cleaning: CleaningSettings) -> CleaningTables:
    """Return the kernel's form of (resolved) settings."""
    stop_words = np.array(sorted(map(token_hash, stop_word_tokens(cleaning))), np.uint64)
    return build_tables(character_table(cleaning), stop_words, strip_html=cleaning.strip_html)


def build_tables(characters: CharacterTable, stop_words: npt.NDArray[np.uint64], *, strip_html: bool) -> CleaningTables:
    """Return the kernel's tables, given the hashes of stop words.

    The kind of a byte is _PART of a token, _IS_MARK for a token of its own, 0 for a separator, or _SPECIAL where the
    byte alone does not show. Rows are one array, because more base addresses than registers cost a fifth of the speed.
    """
    entries = characters[:256].astype(np.uint64)
    is_part, is_mark = entries > PUNCTUATION, entries == PUNCTUATION
    rows = np.zeros((256, 4), np.uint64)
    rows[:, 0] = entries * is_part
    rows[:, _FACTOR] = _MULTIPLIER * is_part
    rows[:, _MARK] = np.arange(256, dtype=np.uint64) * _MULTIPLIER * is_mark
    rows[:, _KIND] = _PART * is_part + _IS_MARK * is_mark
    rows[128:, _KIND] = _SPECIAL
    if strip_html:
        rows[[ord("<"), ord("&")], _KIND] = _SPECIAL
    return CleaningTables(characters, rows.ravel(), hash_table(stop_words)[0] if len(stop_words) else stop_words)


def chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut texts into chunks: large enough for calls to cost little, small enough to stay in cache."""
    for start in range(0, len(texts), _CHUNK):
        yield texts[start : start + _CHUNK]


def join_utf8(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return all texts as one UTF-8 buffer, uint8 [bytes], and int64 [N + 1] offsets.

    Accents are composed, and lone surrogates become `?`.
    """
    try:
        array = pa.array(texts, pa.large_string())
    except UnicodeEncodeError:
        array = pa.array([text.encode("utf-8", "replace").decode() for text in texts], pa.large_string())
    _, offsets, data = composed_column(array).buffers()
    return np.frombuffer(data, np.uint8), np.frombuffer(offsets, np.int64)


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
    if data[position] == _LESS_THAN:
        is_letter = 97 <= (first | 32) <= 122
        if not is_letter and first != _SLASH and first != _EXCLAMATION:
            return position
        for i in range(position + np.uint64(2), min(end, position + np.uint64(258))):
            if data[i] == _GREATER_THAN:
                return np.uint64(i) + _ONE
            if data[i] == _LESS_THAN:
                return position
        return position
    start = position + np.uint64(2 if first == _HASH else 1)
    for i in range(start, min(end, start + np.uint64(9))):
        if data[i] == _SEMICOLON and i > start:
            return np.uint64(i) + _ONE
        if not (97 <= (data[i] | 32) <= 122 or 48 <= data[i] <= 57):
            return position
    return position


@_compiled
def _tokenize(data, start, end, cleaning, tokens, spans):
    """Write the hashes of the tokens of data[start:end] to `tokens` and return how many there are.

    `spans`, if not None, gets the first and last + 1 byte of each token. A branch on the ends of tokens would be
    mispredicted, so the loop has none: each byte writes the hash of the token so far, and the count advances where a
    token ended. What remains is the hash's own chain of xor and multiplication, four cycles per byte; a factor of 0
    starts the next hash. Positions are unsigned, because numba does not check those for being negative.
    """
    rows = cleaning.rows
    count = value = inside = _ZERO
    position = token_start = np.uint64(start)
    while position < np.uint64(end):
        row = np.uint64(data[position]) << _ROW_BITS
        letter, factor, mark, kind = rows[row], rows[row | _FACTOR], rows[row | _MARK], rows[row | _KIND]
        after = position + _ONE
        if kind == _SPECIAL:
            letter, factor, mark, kind, after = _special(data, position, np.uint64(end), cleaning)
        value = (value ^ letter) * factor
        count += inside & ~kind
        tokens[count] = value | mark
        if spans is not None:
            token_start = token_start if inside & kind else position
            spans[count, 0] = token_start
            spans[count, 1] = after
        count += kind >> _U32
        inside = kind & _PART
        position = after
    count += inside
    for t in range(count):
        tokens[t] ^= tokens[t] >> _U32
    return np.int64(count)


@_compiled
def _kept_tokens(data, start, end, cleaning, tokens):
    """Write the hashes of the tokens other than stop words; otherwise as `_tokenize`."""
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
    """Return the row of a multi-byte character or of what may be markup, and the position after it."""
    code_point = np.uint64(_code_point(data, position))
    if code_point < np.uint64(128):
        after = _after_markup(data, position, end)
        if after > position:
            return _ZERO, _ZERO, _ZERO, _ZERO, after
        after = position + _ONE
    else:
        after = position + np.uint64(2 if data[position] < 0xE0 else 3 if data[position] < 0xF0 else 4)
    entry = np.uint64(cleaning.characters[code_point]) if code_point < np.uint64(TABLE_SIZE) else code_point
    if entry > np.uint64(PUNCTUATION):
        return entry, _MULTIPLIER, _ZERO, _PART, after
    if entry == np.uint64(PUNCTUATION):
        return _ZERO, _ZERO, code_point * _MULTIPLIER, _IS_MARK, after
    return _ZERO, _ZERO, _ZERO, _ZERO, after


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
    """Return an array for the tokens of the longest text: at most one per byte, and two past the end.

    A loop, because np.max(np.diff(offsets)) takes six seconds to compile, more than all else here together.
    """
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    return np.empty(longest + 2, np.uint64)


@_compiled
def token_ids(data, offsets, cleaning, slots, ids_of_slots, unknown):
    """Return the ids of all tokens, int32 [tokens], and int64 [N + 1] offsets into them."""
    tokens = _scratch(offsets)
    ids = np.empty(len(data), np.int32)
    ends = np.zeros(len(offsets), np.int64)
    total = 0
    for i in range(len(offsets) - 1):
        count = _kept_tokens(data, offsets[i], offsets[i + 1], cleaning, tokens)
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
def _write_keys(tokens, count, max_order, ngrams, keys):
    """Write the high 32 bits of the hash of each n-gram of order 1 … max_order and return how many there are."""
    count = np.uint64(count)
    ngrams[:count] = _ZERO  # by their first token
    total = _ZERO
    for order in range(min(np.uint64(max_order), count)):
        for t in range(count - order):
            ngrams[t] = _extend(ngrams[t], tokens[t + order])
            keys[total + t] = ngrams[t] >> _U32
        total += count - order
    return total


@_compiled
def _most_keys(num_bytes, num_texts, max_order, characters):
    """Return how many keys texts can have at most: an n-gram of characters begins at a word's edge or at a letter.

    So as many begin in a word as it has letters and one byte behind it, which only the last word of a text may lack.
    """
    return num_bytes * max_order + (num_bytes + num_texts) * max(0, characters - 1)


@_compiled
def _write_character_keys(data, start, end, cleaning, characters, word, keys):
    """Write the high 32 bits of the hash of each n-gram of 2 … `characters` characters of a word, edges marked.

    `word` is an array for the characters of the longest word. Returns how many keys there are.
    """
    rows = cleaning.rows
    total = length = _ZERO
    position = np.uint64(start)
    while position <= np.uint64(end):
        kind = letter = _ZERO
        after = position + _ONE
        if position < np.uint64(end):
            row = np.uint64(data[position]) << _ROW_BITS
            letter, kind = rows[row], rows[row | _KIND]
            if kind == _SPECIAL:
                letter, _, _, kind, after = _special(data, position, np.uint64(end), cleaning)
        if kind == _PART:
            word[length + _ONE] = letter * _MULTIPLIER
            length += _ONE
        elif length > _ZERO:
            word[_ZERO] = word[length + _ONE] = _EDGE * _MULTIPLIER
            for first in range(length + _ONE):
                ngram = _extend(_CHARACTERS, word[first])
                for t in range(first + _ONE, min(first + np.uint64(characters), length + np.uint64(2))):
                    ngram = _extend(ngram, word[t])
                    keys[total] = ngram >> _U32
                    total += _ONE
            length = _ZERO
        position = after
    return total


@_compiled
def _write_all_keys(data, start, end, cleaning, max_order, characters, tokens, ngrams, keys):
    """Write the keys of one text's n-grams of words and of characters and return how many there are."""
    count = _kept_tokens(data, start, end, cleaning, tokens)
    total = _write_keys(tokens, count, max_order, ngrams, keys)
    if characters > 1:
        total += _write_character_keys(data, start, end, cleaning, characters, tokens, keys[total:])
    return total


@_compiled
def ngram_keys(data, offsets, cleaning, max_order, characters):
    """Return the high 32 bits of the hash of each n-gram, and int64 [N + 1] offsets.

    N-grams are of 1 … max_order words and, inside words, of 2 … `characters` characters.
    """
    tokens = _scratch(offsets)
    ngrams = np.empty_like(tokens)
    keys = np.empty(_most_keys(len(data), len(offsets), max_order, characters), np.uint32)
    ends = np.zeros(len(offsets), np.int64)
    for i in range(len(offsets) - 1):
        start, end = offsets[i], offsets[i + 1]
        count = _write_all_keys(data, start, end, cleaning, max_order, characters, tokens, ngrams, keys[ends[i] :])
        ends[i + 1] = ends[i] + np.int64(count)
    return keys[: ends[-1]], ends


def ngram_table(
    keys: npt.NDArray[np.uint32], weights: npt.NDArray[np.float16], slot_bits: int
) -> npt.NDArray[np.uint32]:
    """Return the table that `ngram_scores` reads, uint32 [K, S], of keys that fall into different slots.

    The high bits of a key choose one of S = 2 ** slot_bits slots, at least 2 ** 16. An entry is a weight, float16 in
    its high half, above the key's other bits: finding a known n-gram and its weight costs one access to memory. An
    empty slot is 0, so a weight of 0 is written as -0.
    """
    table = np.zeros((weights.shape[1], 1 << slot_bits), np.uint32)
    tags = keys & np.uint32((1 << (32 - slot_bits)) - 1)
    halves = np.where(weights.T == 0, np.float16(-0.0), weights.T).view(np.uint16)
    table[:, keys >> np.uint32(32 - slot_bits)] = halves.astype(np.uint32) << _HALF | tags
    return table


@_compiled
def _distinct_entries(keys, num_keys, entries, seen, found):
    """Write the entries of the distinct known n-grams to `found` and return how many there are.

    `seen`, a bit for each slot, is all 0 before and after. No branch depends on what a table holds, so the processor
    loads many entries at a time; an empty slot may pass for known until the end.
    """
    slot_bits = np.uint64(round(np.log2(len(entries))))
    shift, tag_mask = np.uint32(_U32 - slot_bits), np.uint32((_ONE << (_U32 - slot_bits)) - _ONE)
    num_known = _ZERO
    for j in range(num_keys):
        slot = keys[j] >> shift
        found[num_known] = slot
        num_known += np.uint64((entries[slot] ^ keys[j]) & tag_mask == np.uint32(0))
    num_distinct = _ZERO
    for j in range(num_known):
        slot = found[j]
        word, bit = seen[slot >> _WORD_SHIFT], slot & _BIT_MASK
        seen[slot >> _WORD_SHIFT] = word | np.uint32(1) << bit
        found[num_distinct] = slot
        num_distinct += np.uint64(~(word >> bit) & np.uint32(1))
    num_entries = _ZERO
    for j in range(num_distinct):
        slot = found[j]
        seen[slot >> _WORD_SHIFT] = np.uint32(0)
        found[num_entries] = entries[slot]
        num_entries += np.uint64(entries[slot] != np.uint32(0))
    return num_entries


# Sums may be taken in any order, which lets them run in parallel.
@compiled(fastmath={"reassoc", "nsz"})
def _sum_weights(found, floats, count):
    """Return the sum of the weights in the first entries of `found`; `floats` is its memory, which is overwritten."""
    for j in range(count):
        half = found[j] >> _HALF
        found[j] = (half & np.uint32(0x8000)) << _HALF | (half & np.uint32(0x7FFF)) << np.uint32(13)
    total = np.float32(0)
    for j in range(count):
        total += floats[j]
    return total * np.float32(2.0**112)  # the bias of a float32's exponent less that of a float16


@_compiled
def ngram_scores(data, offsets, cleaning, max_order, table, is_l2, characters):
    """Return the summed weights of each text's distinct known n-grams, float32 [N, K]; `table` as of `ngram_table`.

    If `is_l2`, over the square root of how many they are.
    """
    tokens = _scratch(offsets)
    ngrams = np.empty_like(tokens)
    keys = np.empty(_most_keys(len(tokens), 1, max_order, characters), np.uint32)
    found = np.empty(len(keys) + 1, np.uint32)
    floats = found.view(np.float32)
    seen = np.zeros(table.shape[1] >> 5, np.uint32)
    scores = np.empty((len(offsets) - 1, len(table)), np.float32)
    for i in range(len(offsets) - 1):
        start, end = offsets[i], offsets[i + 1]
        num_keys = _write_all_keys(data, start, end, cleaning, max_order, characters, tokens, ngrams, keys)
        for k in range(len(table)):
            num_distinct = _distinct_entries(keys, num_keys, table[k], seen, found)
            scores[i, k] = _sum_weights(found, floats, num_distinct)
            if is_l2 and num_distinct > _ZERO:
                scores[i, k] /= np.sqrt(np.float32(num_distinct))
    return scores
