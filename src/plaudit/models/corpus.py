"""Encoded texts on a device, and the padded batches that training and inference cut them into.

The texts are one flat id tensor plus offsets, and a batch is a vectorised gather from it: no Python per text, and no
worker processes. Widths are planned on the host, so that a gather never waits for the device.

Shapes: N texts, B batch, T tokens.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from plaudit.text.encoded import PAD_ID, EncodedTexts

Int64Array = npt.NDArray[np.int64]


WIDTH_STEP = 8
"""Batch widths are multiples of this: oneDNN compiles an LSTM for every new shape, which slowed a step from 17 to
25 ms, and keeps it in memory."""

ROWS_STEP = 16
"""Batches hold a multiple of this many texts where possible: a bf16 LSTM step of 80 texts was a fifth faster per token
than one of 76, and there are fewer shapes."""


class Batch(NamedTuple):
    """Texts that are read together: row numbers, int64 [B] on the corpus's device, padded width and tokens in all."""

    rows: torch.Tensor
    width: int
    """Tokens of the longest text, rounded up to WIDTH_STEP."""
    num_tokens: int
    """Without padding."""


class Corpus:
    """N encoded texts, none of them empty, resident on one device."""

    def __init__(self, encoded: EncodedTexts, device: torch.device) -> None:
        self.lengths = encoded.lengths
        self.device = device
        self._ids = torch.from_numpy(encoded.ids).to(device)
        self._starts = torch.from_numpy(encoded.offsets[:-1]).to(device)
        self._lengths = torch.from_numpy(encoded.lengths).to(device)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids, int32 [B, T], and mask, bool [B, T], of `rows`; T is `width`, padding follows the text."""
        positions = torch.arange(width, device=self.device)
        mask = positions < self._lengths[rows, None]
        index = (self._starts[rows, None] + positions).clamp_(max=len(self._ids) - 1)
        return self._ids[index].masked_fill_(~mask, PAD_ID), mask


def cut_by_tokens(order: Int64Array, lengths: Int64Array, max_tokens: int, device: torch.device) -> list[Batch]:
    """Cut texts, in the given order, into batches of at most `max_tokens` padded tokens.

    A longer text is a batch of its own. The closer the order is to sorted, the less padding.
    """
    widths = -(-lengths[order] // WIDTH_STEP) * WIDTH_STEP
    # One transfer for all batches: reading one then waits for nothing from the host.
    rows = torch.from_numpy(order).to(device)
    batches = []
    start = 0
    while start < len(order):
        at_most = max(1, max_tokens // int(widths[start]))
        widest = np.maximum.accumulate(widths[start : start + at_most])
        padded = widest * np.arange(1, len(widest) + 1)
        count = max(1, int(np.searchsorted(padded, max_tokens, side="right")))
        if count > ROWS_STEP:
            count -= count % ROWS_STEP
        part = slice(start, start + count)
        batches.append(Batch(rows[part], int(widest[count - 1]), int(lengths[order[part]].sum())))
        start += count
    return batches


def sorted_batches(corpus: Corpus, max_tokens: int) -> list[Batch]:
    """Return every text once, shortest first: the batches of inference and validation."""
    return cut_by_tokens(np.argsort(corpus.lengths, kind="stable"), corpus.lengths, max_tokens, corpus.device)
