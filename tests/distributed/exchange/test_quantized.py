import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from plaudit.distributed.exchange.quantized import BLOCK, decode, encode, mean_by_bits
from tests.distributed.conftest import in_ranks

SIZES = {8: BLOCK + 2, 4: BLOCK // 2 + 2}
MOST = {8: 127, 4: 7}


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("scale", [0.0, 2.0**-100, 0.25, 2.0**100])
def test_multiples_of_a_scale_are_as_they_were_after_a_journey(bits, scale):
    multiples = torch.arange(2 * BLOCK).view(2, BLOCK) % (2 * MOST[bits] + 1) - MOST[bits]
    multiples[:, -1] = MOST[bits]
    message = encode(multiples * scale, bits)
    assert message.shape == (2, SIZES[bits])
    assert torch.equal(decode(message, bits), multiples * scale)


@given(
    seed=st.integers(0, 1000), bits=st.sampled_from([8, 4]), power=st.floats(-30, 30), shape=st.sampled_from([(), (3,)])
)
def test_a_number_is_rounded_by_half_a_scale_of_its_own_block_at_most(seed, bits, power, shape):
    numbers = torch.randn(*shape, BLOCK, generator=torch.Generator().manual_seed(seed)) * 10**power
    greatest = numbers.abs().amax(-1, keepdim=True)
    errors = (decode(encode(numbers, bits), bits) - numbers).abs()
    # The scale itself has eight bits, and a greatest number that it falls short of is cut.
    assert (errors <= greatest * (0.5 / MOST[bits] * (1 + 2**-8) + 2**-8)).all()


def numbers_of(rank, count):
    return torch.randn(count, generator=torch.Generator().manual_seed(rank)) * (1 + rank)


def average(world, count, bits):
    return mean_by_bits(numbers_of(world.rank, count), bits, world)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(("size", "count"), [(2, 2 * BLOCK), (3, 1000), (3, 5)])
def test_all_ranks_get_one_mean_and_what_it_misses_is_left_to_them(size, count, bits):
    of_ranks = in_ranks(average, count, bits, size=size)
    exact = torch.stack([numbers_of(rank, count) for rank in range(size)])
    for mean, missed in of_ranks:
        assert torch.equal(mean, of_ranks[0][0])
        assert missed.shape == (count,)
    mean, left = of_ranks[0][0], sum(missed for _, missed in of_ranks)
    torch.testing.assert_close(size * mean + left, exact.sum(0), rtol=0, atol=1e-5)
    # Each rank's numbers are rounded, and their mean is.
    steps = (exact.abs().max(1).values.mean() + exact.mean(0).abs().max()) / MOST[bits]
    assert 0 < (mean - exact.mean(0)).abs().max() <= 0.55 * steps


def average_and_count(world, count, bits):
    """Return how many bytes of messages a rank hands over: to the others in shares, and to all alike."""
    sent, scattered = [], dist.all_to_all_single

    def counting(arrived, message):
        sent.append(message.numel())
        scattered(arrived, message)

    def stack(numbers):
        sent.append(numbers.numel())
        return type(world).stack(world, numbers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dist, "all_to_all_single", counting)
        patch.setattr(world, "stack", stack, raising=False)
        average(world, count, bits)
    return sent


@pytest.mark.parametrize(("bits", "size"), [(4, 2), (4, 4), (8, 4)])
def test_what_a_rank_sends_does_not_grow_with_their_number(bits, size):
    blocks = 8
    for of_rank in in_ranks(average_and_count, blocks * BLOCK, bits, size=size):
        assert of_rank == [blocks * SIZES[bits], blocks // size * SIZES[bits]]
