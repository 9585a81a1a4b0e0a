"""64-bit hashes of tokens and n-grams, the same in the kernel, in its reference and on every machine.

A token's hash runs over its folded code points as in FNV-1a, with a multiplier whose high half is dense, because
tables are indexed by the high bits of a product. An n-gram's hash extends that of the n-gram one token shorter, so
each order costs one multiplication per token. Vocabulary ids are looked up by the 64-bit hash alone: among a million
words the chance of any collision is 3 in 10^8.
"""

TOKEN_MULTIPLIER = 0x9E3779B97F4A7C15
NGRAM_MULTIPLIER = 0xD6E8FEB86659FD93
MASK = (1 << 64) - 1

EDGE = 1
"""Stands on both sides of a word for its first or last character's neighbour; it is never the code of a letter."""
CHARACTERS = 0x2545F4914F6CDD1D
"""What the hash of an n-gram of characters starts from; those of tokens start from 0."""


def hash_token(code_points: list[int]) -> int:
    """Return the 64-bit hash of a token given as folded code points."""
    value = 0
    for code_point in code_points:
        value = ((value ^ code_point) * TOKEN_MULTIPLIER) & MASK
    return value ^ (value >> 32)


def extend_ngram(ngram: int, token: int) -> int:
    """Return the hash of an n-gram followed by one more token; the empty n-gram is 0."""
    value = ((ngram + token) * NGRAM_MULTIPLIER) & MASK
    return value ^ (value >> 29)
