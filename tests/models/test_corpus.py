import numpy as np
import torch

from plaudit.models.corpus import Corpus, cut_by_tokens, sorted_batches
from plaudit.text.encoded import EncodedTexts

TEXTS = [[5, 6, 7], [8], [9, 10]]


def encoded(texts):
    offsets = np.cumsum([0, *map(len, texts)])
    return EncodedTexts(np.array([i for text in texts for i in text], np.int32), offsets)


def test_a_batch_is_padded_at_the_end_and_masked():
    ids, mask = Corpus(encoded(TEXTS), torch.device("cpu")).batch(torch.tensor([2, 0, 1]), 3)
    assert ids.tolist() == [[9, 10, 0], [5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[True, True, False], [True, True, True], [True, False, False]]
    assert ids.dtype == torch.int32


def test_a_batch_may_be_wider_than_its_texts():
    ids, mask = Corpus(encoded(TEXTS), torch.device("cpu")).batch(torch.tensor([1, 2]), 8)
    assert ids.tolist() == [[8] + 7 * [0], [9, 10] + 6 * [0]]
    assert mask.sum(1).tolist() == [1, 2]


def test_sorted_batches_hold_every_text_once_shortest_first():
    corpus = Corpus(encoded(TEXTS), torch.device("cpu"))
    assert [(rows.tolist(), width) for rows, width, _ in sorted_batches(corpus, 16)] == [([1, 2], 8), ([0], 8)]
    assert sorted_batches(Corpus(encoded([]), torch.device("cpu")), 4) == []


def test_unsorted_texts_are_cut_by_the_longest_of_each_batch():
    lengths = np.array([1, 90, 1, 1, 20])
    batches = cut_by_tokens(np.arange(5), lengths, 72, torch.device("cpu"))
    assert [(rows.tolist(), width, tokens) for rows, width, tokens in batches] == [
        ([0], 8, 1),
        ([1], 96, 90),
        ([2, 3, 4], 24, 22),
    ]
