import numpy as np
import pytest
import torch

from plaudit.models.corpus import Corpus
from plaudit.text.encoded import EncodedTexts
from plaudit.train.batches import ShuffledBatches, plan_epoch

CPU = torch.device("cpu")


def plan(lengths, *, max_tokens=2000, seed=0, epoch=0):
    return plan_epoch(np.asarray(lengths), max_tokens=max_tokens, seed=seed, epoch=epoch, device=CPU)


@pytest.fixture
def lengths():
    return np.random.default_rng(0).integers(1, 400, 1000)


def test_an_epoch_has_every_text_once_and_counts_its_tokens(lengths):
    batches = plan(lengths)
    rows = torch.cat([batch.rows for batch in batches])
    assert sorted(rows.tolist()) == list(range(1000))
    assert sum(batch.num_tokens for batch in batches) == lengths.sum()


def test_batches_keep_the_token_budget_and_pad_little(lengths):
    batches = plan(lengths)
    padded = [len(batch.rows) * batch.width for batch in batches]
    assert max(padded) <= 2000
    assert lengths.sum() / sum(padded) > 0.9
    assert all(0 <= batch.width - lengths[batch.rows].max() < 8 for batch in batches)


def test_a_text_longer_than_the_budget_is_a_batch_of_its_own():
    batches = plan([5, 50, 5, 5], max_tokens=24)
    assert sorted(len(batch.rows) for batch in batches) == [1, 3]


def test_the_plan_depends_on_seed_and_epoch_only(lengths):
    def rows(**arguments):
        return torch.cat([batch.rows for batch in plan(lengths, **arguments)]).tolist()

    assert rows(seed=1, epoch=2) == rows(seed=1, epoch=2)
    assert rows(seed=1, epoch=2) != rows(seed=1, epoch=3)
    assert rows(seed=1, epoch=2) != rows(seed=2, epoch=2)


def test_batches_have_few_shapes():
    lengths = np.clip(np.random.default_rng(0).lognormal(5.2, 0.6, 20_000).astype(int), 1, 400)
    batches = plan(lengths, max_tokens=8192)
    assert len({(len(batch.rows), batch.width) for batch in batches}) < len(batches) / 4


def test_long_and_short_batches_come_in_no_order(lengths):
    widths = np.array([batch.width for batch in plan(lengths)])
    assert abs(np.corrcoef(widths, np.arange(len(widths)))[0, 1]) < 0.3


def test_the_texts_of_a_corpus_are_batched_by_the_plan_of_their_lengths(lengths):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    corpus = Corpus(EncodedTexts(np.arange(offsets[-1], dtype=np.int32), offsets), CPU)
    batches = ShuffledBatches(corpus, max_tokens=3000)
    assert len(batches) == 1000
    assert batches.device == CPU
    planned, expected = batches.plan(seed=1, epoch=2), plan(lengths, max_tokens=3000, seed=1, epoch=2)
    assert len(planned) == len(expected)
    for batch, other in zip(planned, expected, strict=True):
        assert torch.equal(batch.rows, other.rows)
        assert batch[1:] == other[1:]
    ids, mask = batches.batch(planned[0].rows, planned[0].width)
    assert ids.shape == (len(planned[0].rows), planned[0].width)
    assert mask.sum(1).tolist() == lengths[planned[0].rows].tolist()
    assert ids[:, 0].tolist() == offsets[planned[0].rows].tolist()
