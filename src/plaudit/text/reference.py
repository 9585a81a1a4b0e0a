"""The tokenizer in plain Python: the specification that the compiled kernel is tested against.

It also tokenizes the first texts of a process, because importing the compiler takes longer.
"""

import re
from collections.abc import Iterator

from plaudit.data.accents import composed
from plaudit.text.characters import PUNCTUATION, SEPARATOR, classify
from plaudit.text.cleaning import CleaningSettings
from plaudit.text.hashing import CHARACTERS, EDGE, MASK, TOKEN_MULTIPLIER, extend_ngram, hash_token

MARKUP = re.compile(rb"<[A-Za-z/!][^<>]{0,255}>|&#?[A-Za-z0-9]{1,8};")


def tokenize(text: str, cleaning: CleaningSettings) -> list[str]:
    """Return the tokens of a text, accents composed; lone surrogates count as `?`. Stop words must be resolved."""
    stop_words = stop_word_tokens(cleaning)
    return [token for token in _tokens(text, cleaning) if token not in stop_words]


def stop_word_tokens(cleaning: CleaningSettings) -> frozenset[str]:
    """Return the tokens of the stop words: `don't` has two, `don` and `t`."""
    assert isinstance(cleaning.stop_words, tuple), "resolve the cleaning settings first"
    # A punctuation mark is never a stop word, even if a stop word contains one.
    return frozenset(token for word in cleaning.stop_words for token in _tokens(word, cleaning) if token[0].isalnum())


def _tokens(text: str, cleaning: CleaningSettings) -> Iterator[str]:
    data = composed(text).encode("utf-8", "replace")
    if cleaning.strip_html:
        data = MARKUP.sub(b" ", data)
    token = ""
    for character in data.decode("utf-8"):
        entry = classify(character, cleaning)
        if entry > PUNCTUATION:
            token += chr(entry)
            continue
        if token:
            yield token
            token = ""
        if entry != SEPARATOR:
            yield character
    if token:
        yield token


def token_hash(token: str) -> int:
    """Return the 64-bit hash of a token as `tokenize` returns it."""
    return hash_token([ord(character) for character in token])


def ngram_hashes(text: str, cleaning: CleaningSettings, max_order: int, characters: int = 0) -> list[int]:
    """Return the 64-bit hashes of the text's n-grams, repeats included.

    They are those of 1 … max_order tokens, and those of 2 … `characters` characters of a word, its edges marked.
    """
    hashes = []
    ngrams: list[int] = []  # those that end at the token before, by order
    for token in tokenize(text, cleaning):
        value = token_hash(token)
        ngrams = [extend_ngram(shorter, value) for shorter in [0, *ngrams[: max_order - 1]]]
        hashes += ngrams
    if characters > 1:
        for token in _tokens(text, cleaning):
            hashes += character_hashes(token, cleaning, characters)
    return hashes


def character_hashes(token: str, cleaning: CleaningSettings, longest: int) -> Iterator[int]:
    """Yield the 64-bit hashes of the n-grams of 2 … longest characters of a word; a punctuation mark has none."""
    if classify(token[0], cleaning) <= PUNCTUATION:
        return
    values = [(code * TOKEN_MULTIPLIER) & MASK for code in (EDGE, *map(ord, token), EDGE)]
    for first in range(len(values) - 1):
        ngram = extend_ngram(CHARACTERS, values[first])
        for value in values[first + 1 : first + longest]:
            ngram = extend_ngram(ngram, value)
            yield ngram
