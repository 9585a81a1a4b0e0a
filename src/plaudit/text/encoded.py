"""Encoded texts as one flat array of token ids plus offsets, so that no Python loop runs per text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Truncation = Literal["head", "tail", "head+tail"]

PAD_ID = 0
UNKNOWN_ID = 1
FIRST_WORD_ID = 2


@dataclass(frozen=True)
class EncodedTexts:
    """Token ids of N texts: text i is ids[offsets[i]:offsets[i + 1]]. ids int32 [tokens], offsets int64 [N + 1]."""

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each text, int64 [N]."""
        return np.diff(self.offsets)

    def share(self, rank: int, size: int) -> "EncodedTexts":
        """Return a copy of every size-th text, from number `rank` on."""
        starts, lengths = self.offsets[:-1][rank::size], self.lengths[rank::size]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return EncodedTexts(self.ids[np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)], offsets)

    def truncated(self, max_tokens: int, keep: Truncation) -> "EncodedTexts":
        """Return a copy with texts of at most `max_tokens`, keeping the head, the tail or half of each."""
        lengths = np.minimum(self.lengths, max_tokens)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        row = np.repeat(np.arange(len(lengths)), lengths)
        position = np.arange(offsets[-1]) - offsets[row]
        surplus = (self.lengths - lengths)[row]
        if keep == "tail":
            position += surplus
        elif keep == "head+tail":
            position += np.where(position >= (max_tokens + 1) // 2, surplus, 0)
        return EncodedTexts(self.ids[self.offsets[row] + position], offsets)


def without_empty(encoded: EncodedTexts) -> EncodedTexts:
    """Give every text without ids one UNKNOWN_ID, since a network needs at least one token."""
    empty = encoded.lengths == 0
    if not empty.any():
        return encoded
    ids = np.insert(encoded.ids, encoded.offsets[:-1][empty], UNKNOWN_ID)
    return EncodedTexts(ids, np.concatenate([[0], np.cumsum(np.maximum(encoded.lengths, 1))]))


class Encoder(Protocol):
    """Turns texts into ids for a network."""

    @property
    def num_tokens(self) -> int:
        """Number of distinct ids, PAD_ID and UNKNOWN_ID included."""

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        """Return the ids of each text, untruncated; an empty text has no ids."""

    def files(self) -> dict[str, bytes]:
        """Return the files (name → bytes) from which the encoder is rebuilt."""
