import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from plaudit.distributed.world import ALONE, World
from plaudit.train.batches import plan_epoch, rows_of_rank


def worlds(size):
    """Return the world as each of so many ranks sees it."""
    seen = [World() for _ in range(size)]
    for rank, world in enumerate(seen):
        world.rank, world.size = rank, size
    return seen


@given(num_rows=st.integers(0, 70), size=st.integers(1, 9), seed=st.integers(0, 9))
def test_every_row_goes_to_one_rank_and_none_has_two_more_than_another(num_rows, size, seed):
    rows = torch.from_numpy(np.random.default_rng(seed).permutation(1000)[:num_rows])
    shares = [rows_of_rank(rows, world).tolist() for world in worlds(size)]
    assert sorted(row for share in shares for row in share) == sorted(rows.tolist())
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_ranks_take_turns_from_the_longest_review_down():
    shortest_first = torch.tensor([10, 11, 12, 13, 14, 15, 16])
    shares = [rows_of_rank(shortest_first, world).tolist() for world in worlds(3)]
    assert shares == [[16, 13, 10], [15, 12], [14, 11]]


def test_a_process_alone_reads_a_batch_as_it_is():
    rows = torch.arange(5)
    assert rows_of_rank(rows, ALONE) is rows


def test_ranks_read_nearly_the_same_number_of_tokens_at_each_step():
    lengths = np.random.default_rng(0).lognormal(5, 0.6, 4000).astype(np.int64).clip(1, 400)
    plan = plan_epoch(lengths, max_tokens=4096 * 4, seed=0, epoch=0, device=torch.device("cpu"))
    tokens = np.array(
        [[lengths[rows_of_rank(batch.rows, world)].sum() for world in worlds(4)] for batch in plan], np.float64
    )
    padded = np.array([[len(rows_of_rank(batch.rows, world)) * batch.width for world in worlds(4)] for batch in plan])
    for costs in (tokens, padded):  # the share of all ranks' time that goes into waiting for the slowest
        assert 1 - costs.sum() / (costs.max(axis=1).sum() * costs.shape[1]) < 0.01
