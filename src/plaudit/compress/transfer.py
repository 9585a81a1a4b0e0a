"""The transfer set: the texts that a teacher labels for its student, those of the splits and variants of them.

How many there are is the known lever (Tang et al. 2019, "Distilling Task-Specific Knowledge from BERT"). A variant
depends on seed, way, copy and the id of its review alone, and its id says so, as in `train/pos/0_9~mask1`. So soft
labels serve again wherever the same variants are made.
"""

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeInt

from plaudit.data.splits import Splits
from plaudit.errors import DataError
from plaudit.settings import Settings
from plaudit.train.fit import labels_of
from plaudit.train.objectives import UNLABELLED

MASK = "maskedword"
"""Stands for a masked word: one that no vocabulary knows, and that no tokenizer cuts at its edges."""
_MASKED_SHARE = 0.15
_NGRAM_WORDS = (16, 64)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|<br\s*/?>")

Way = Literal["mask", "ngram", "crop"]


class TransferSettings(Settings):
    """Settings of the transfer set."""

    sources: tuple[Literal["train", "unlabelled"], ...] = Field(default=("train", "unlabelled"), min_length=1)
    """Splits whose reviews are in it."""
    variants: dict[Way, NonNegativeInt] = Field(default={})
    """How many variants of each review: mask hides 15 % of the words, ngram cuts out 16 to 64 words in a row, crop
    half of the sentences in a row."""


@dataclass(frozen=True)
class TransferSet:
    """N texts with unique ids; `labels` int64 [N], UNLABELLED for unlabelled reviews and for all variants.

    The first `num_reviews` are the reviews, the others variants of them.
    """

    ids: list[str]
    texts: list[str]
    labels: npt.NDArray[np.int64]
    num_reviews: int

    def __len__(self) -> int:
        return len(self.ids)


def transfer_set(splits: Splits, settings: TransferSettings, *, seed: int) -> TransferSet:
    """Return the reviews of the sources and their variants; DataError if a source is empty."""
    ids: list[str] = []
    texts: list[str] = []
    labels = []
    for source in dict.fromkeys(settings.sources):
        table = splits.train if source == "train" else splits.unlabelled
        if not table.num_rows:
            raise DataError(f"{splits.name}: has no {source} reviews to distill from; leave them out of sources")
        ids += table["id"].to_pylist()
        texts += table["text"].to_pylist()
        labels.append(labels_of(table))
    num_reviews = len(ids)
    for way, copies in settings.variants.items():
        for copy in range(1, copies + 1):
            ending = f"~{way}{copy}"
            ids += [id + ending for id in ids[:num_reviews]]
            texts += [
                _WAYS[way](text, _random(seed, id + ending))
                for id, text in zip(ids[:num_reviews], texts[:num_reviews], strict=True)
            ]
    labels.append(np.full(len(ids) - num_reviews, UNLABELLED))
    return TransferSet(ids, texts, np.concatenate(labels), num_reviews)


def _random(seed: int, id: str) -> random.Random:
    return random.Random(int.from_bytes(hashlib.sha256(f"{seed} {id}".encode()).digest()[:8], "big"))


def _mask(text: str, generator: random.Random) -> str:
    return " ".join(MASK if generator.random() < _MASKED_SHARE else word for word in text.split())


def _ngram(text: str, generator: random.Random) -> str:
    return _cut(text.split(), generator.randint(*_NGRAM_WORDS), generator)


def _crop(text: str, generator: random.Random) -> str:
    sentences = [sentence for sentence in _SENTENCE_END.split(text) if sentence.strip()]
    return _cut(sentences, (len(sentences) + 1) // 2, generator)


def _cut(parts: list[str], length: int, generator: random.Random) -> str:
    start = generator.randint(0, max(0, len(parts) - length))
    return " ".join(parts[start : start + length])


_WAYS: dict[Way, Callable[[str, random.Random], str]] = {"mask": _mask, "ngram": _ngram, "crop": _crop}
