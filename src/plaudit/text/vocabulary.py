"""A vocabulary: gives the most frequent words of the training texts ids, and encodes any text with them."""

from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from plaudit.errors import BundleError
from plaudit.text.cleaning import CleaningSettings
from plaudit.text.encoded import FIRST_WORD_ID, UNKNOWN_ID, EncodedTexts
from plaudit.text.reference import token_hash, tokenize

if TYPE_CHECKING:
    from plaudit.text import kernel

FILE_NAME = "vocabulary.txt"


class Vocabulary:
    """Words with ids 2, 3, … from the most frequent on; 0 is padding and 1 any other word."""

    def __init__(self, words: Sequence[str], cleaning: CleaningSettings) -> None:
        self.words = tuple(words)
        self.cleaning = cleaning

    @classmethod
    def build(
        cls, texts: Sequence[str], cleaning: CleaningSettings, *, max_words: int, min_count: int = 2
    ) -> "Vocabulary":
        """Take the `max_words` most frequent words that occur at least `min_count` times; ties go by first use."""
        from plaudit.text import kernel

        tables = kernel.cleaning_tables(cleaning)
        stop_words = tables.stop_words
        data, offsets = kernel.join_utf8(texts)
        hashes, spans = kernel.token_spans(data, offsets, tables)
        distinct, first, counts = np.unique(hashes, return_index=True, return_counts=True)
        is_frequent = (counts >= min_count) & ~np.isin(distinct, stop_words)
        first, counts = first[is_frequent], counts[is_frequent]
        best = np.lexsort((first, -counts))[:max_words]
        spelling = cleaning.model_copy(update={"stop_words": ()})
        return cls([tokenize(data[a:b].tobytes().decode(), spelling)[0] for a, b in spans[first[best]]], cleaning)

    @property
    def num_tokens(self) -> int:
        """Number of distinct ids, padding and unknown included."""
        return FIRST_WORD_ID + len(self.words)

    @cached_property
    def _tables(self) -> "tuple[kernel.CleaningTables, np.ndarray, np.ndarray]":
        from plaudit.text import kernel

        hashes = np.fromiter(map(token_hash, self.words), np.uint64, len(self.words))
        slots, positions = kernel.hash_table(hashes)
        return kernel.cleaning_tables(self.cleaning), slots, positions + np.int32(FIRST_WORD_ID)

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Return the ids of each text's words, untruncated; a text without words has no ids."""
        from plaudit.text import kernel

        cleaning, slots, ids_of_slots = self._tables
        parts = [
            kernel.token_ids(*kernel.join_utf8(chunk), cleaning, slots, ids_of_slots, UNKNOWN_ID)
            for chunk in kernel.chunks(texts)
        ]
        if not parts:
            return EncodedTexts(np.zeros(0, np.int32), np.zeros(1, np.int64))
        lengths = np.concatenate([np.diff(ends) for _, ends in parts])
        return EncodedTexts(np.concatenate([ids for ids, _ in parts]), np.concatenate([[0], np.cumsum(lengths)]))

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, FIRST_WORD_ID)}

    def encode_few(self, texts: Sequence[str]) -> EncodedTexts:
        """Return the same as `encode`, in plain Python: for a few texts faster than importing the compiler."""
        ids = [[self._ids.get(token, UNKNOWN_ID) for token in tokenize(text, self.cleaning)] for text in texts]
        offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
        return EncodedTexts(np.fromiter(chain.from_iterable(ids), np.int32, offsets[-1]), offsets)

    def files(self) -> dict[str, bytes]:
        """Return the vocabulary as one word a line, in order of id; words hold no white space."""
        return {FILE_NAME: "".join(f"{word}\n" for word in self.words).encode()}

    @classmethod
    def from_files(cls, files: dict[str, bytes], cleaning: CleaningSettings) -> "Vocabulary":
        """Rebuild what `files` wrote; BundleError if the file is missing or not UTF-8."""
        try:
            return cls(files[FILE_NAME].decode().split("\n")[:-1], cleaning)
        except KeyError:
            raise BundleError(f"the bundle has no {FILE_NAME}") from None
        except UnicodeDecodeError:
            raise BundleError(f"{FILE_NAME} is not UTF-8 text") from None
