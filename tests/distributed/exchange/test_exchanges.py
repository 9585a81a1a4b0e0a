import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import nn

from plaudit.distributed.exchange import topk
from plaudit.distributed.exchange.base import GradientExchange
from plaudit.distributed.exchange.registry import EXCHANGES, NO_EXCHANGE, make_exchange, mean_state
from plaudit.distributed.exchange.settings import ExchangeSettings
from plaudit.distributed.exchange.topk import largest
from plaudit.distributed.stopwatch import Stopwatch
from plaudit.distributed.world import ALONE
from tests.distributed.conftest import in_ranks

CPU = torch.device("cpu")
SHAPES = {"vector": (30,), "matrix": (600, 500), "table": (6000, 50)}
"""The last two fill a bucket each, which DistributedDataParallel lets begin with 1 MiB."""
SMALL = {"vector": (5,), "matrix": (12, 8), "table": (24, 6)}
OF_GRADIENTS = [kind for kind, exchange in EXCHANGES.items() if issubclass(exchange, GradientExchange)]


def settings_of(kind, **changes):
    return TypeAdapter(ExchangeSettings).validate_python({"kind": kind, **changes})


class Weights(nn.Module):
    """Weights, one of them an embedding's, whose gradients are what they are called with."""

    def __init__(self, shapes):
        super().__init__()
        self.vector = nn.Parameter(torch.randn(shapes["vector"]))
        self.matrix = nn.Parameter(torch.randn(shapes["matrix"]))
        self.table = nn.Embedding(*shapes["table"])

    def forward(self, gradients):
        return sum((weight * gradients[name.split(".")[0]]).sum() for name, weight in self.named_parameters())


class CountingStopwatch(Stopwatch):
    num_ready = 0

    def ready(self):
        self.num_ready += 1
        super().ready()


def exchanged(world, kind, changes, shapes, gradients_of, num_steps):
    """Exchange each rank's gradients of so many steps; return by step what comes of them, and what is remembered."""
    torch.manual_seed(world.rank)
    weights, watch = Weights(shapes), CountingStopwatch(CPU)
    exchange = make_exchange(settings_of(kind, **changes), world, watch)
    parallel = exchange.wrap(weights)
    steps = []
    for step in range(num_steps):
        watch.num_ready = 0
        parallel(gradients_of(shapes, world.rank, step)).backward()
        exchange.after_backward()
        means = {name.split(".")[0]: weight.grad.clone() for name, weight in weights.named_parameters()}
        steps.append({"means": means, "state": copy.deepcopy(exchange.state()), "buckets": watch.num_ready})
        weights.zero_grad(set_to_none=True)
    return steps


def random_gradients(shapes, rank, step):
    generator = torch.Generator().manual_seed(100 * step + rank)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def gradients_of_few_words(shapes, rank, step):
    """Return gradients of 40 of an embedding's rows; in step 1 the second rank has none, in step 2 nobody has."""
    gradients = random_gradients(shapes, rank, step)
    rows = torch.randperm(len(gradients["table"]), generator=torch.Generator().manual_seed(rank))[:40]
    rows[0] = 0  # which all ranks read
    if step == 2 or (step == 1 and rank == 1):
        rows = rows[:0]
    gradients["table"] = torch.zeros_like(gradients["table"]).index_copy(0, rows, gradients["table"][rows])
    return gradients


def mean_of(tensors):
    return torch.stack(list(tensors)).mean(0)


def plain_means(gradients_of, shapes, size, step):
    of_ranks = [gradients_of(shapes, rank, step) for rank in range(size)]
    return {name: mean_of(gradients[name] for gradients in of_ranks) for name in shapes}


@pytest.fixture(scope="module", params=OF_GRADIENTS)
def of_few_words(request):
    """What each of three ranks gets by an exchange in four steps on texts of few words."""
    return in_ranks(exchanged, request.param, {}, SHAPES, gradients_of_few_words, 4, size=3)


def test_all_ranks_get_the_same_bits_bucket_by_bucket(of_few_words):
    first, *others = of_few_words
    assert first[-1]["buckets"] == 2
    for step, of_first in enumerate(first):
        for other in others:
            for name, mean in of_first["means"].items():
                assert torch.equal(mean, other[step]["means"][name]), name


def test_words_that_no_rank_read_get_no_gradient(of_few_words):
    all_read = [gradients_of_few_words(SHAPES, rank, step)["table"] for rank in range(3) for step in range(4)]
    never_read = ~torch.stack([gradient.any(1) for gradient in all_read]).any(0)
    assert 5_500 < never_read.sum() < 6_000
    for step in of_few_words[0]:
        assert (step["means"]["table"][never_read] == 0).all()


# bf16 rounds to 8 bits: each of three ranks' numbers, their thirds, and two sums.
@pytest.mark.parametrize(
    ("kind", "changes", "tolerance"),
    [("plain", {}, 1e-6), ("bf16", {}, 2**-6), ("rows", {}, 2**-6), ("rows", {"precision": "fp32"}, 1e-6)],
)
def test_whole_gradients_become_their_mean_up_to_the_precision_that_is_sent(kind, changes, tolerance):
    size = 3
    steps = in_ranks(exchanged, kind, changes, SHAPES, gradients_of_few_words, 4, size=size)[0]
    for step, found in enumerate(steps):
        sizes = plain_means(lambda *which: absolute(gradients_of_few_words(*which)), SHAPES, size, step)
        for name, expected in plain_means(gradients_of_few_words, SHAPES, size, step).items():
            assert ((found["means"][name] - expected).abs() <= tolerance * sizes[name]).all(), (step, name)


def absolute(gradients):
    return {name: gradient.abs() for name, gradient in gradients.items()}


def test_no_number_is_lost_that_waits_to_become_one_of_the_largest():
    changes, num_steps, size = {"density": 0.01, "warmup_steps": 0}, 4, 2
    of_ranks = in_ranks(exchanged, "top-k", changes, SHAPES, random_gradients, num_steps, size=size)
    for name, shape in SHAPES.items():
        sent = sum(step["means"][name] for step in of_ranks[0]) * size
        waiting = sum(waits(steps[-1], name) for steps in of_ranks).view(shape)
        gradients = sum(size * plain_means(random_gradients, SHAPES, size, step)[name] for step in range(num_steps))
        torch.testing.assert_close(sent + waiting, gradients, rtol=0, atol=1e-5)


def waits(step, name):
    return step["state"]["residuals"][{"table": "table.weight"}.get(name, name)]


def test_the_share_that_is_sent_falls_by_the_same_factor_each_step_until_it_is_the_density():
    changes = {"density": 0.0001, "warmup_steps": 2}
    steps = in_ranks(exchanged, "top-k", changes, SHAPES, random_gradients, 4)[0]
    for name, (numbers, expected) in {
        "matrix": (300_000, [300_000, 3_000, 30, 30]),
        "table": (300_000, [300_000, 3_000, 30, 30]),
        "vector": (30, [30, 1, 1, 1]),
    }.items():
        num_sent = [int((waits(step, name) == 0).sum()) for step in steps]
        assert num_sent == expected, (name, numbers)
    for name, mean in plain_means(random_gradients, SHAPES, 2, 0).items():
        torch.testing.assert_close(steps[0]["means"][name], mean, rtol=0, atol=1e-6)
    assert [step["state"]["step"] for step in steps] == [1, 2, 3, 4]


def test_what_is_sent_are_the_largest_numbers():
    steps = in_ranks(exchanged, "top-k", {"density": 0.01, "warmup_steps": 0}, SHAPES, random_gradients, 1)[0]
    for name, gradient in random_gradients(SHAPES, 0, 0).items():
        left = waits(steps[0], name)
        was_sent = left == 0
        assert gradient.flatten()[was_sent].abs().min() >= left.abs().max(), name


def gradients_of_rank_one(shapes, rank, step):
    """Return none in the first step, then products of two vectors, multiplied by a number of each rank's own."""
    generator = torch.Generator().manual_seed(5)
    gradients = {}
    for name, (rows, *columns) in shapes.items():
        product = torch.randn(rows, 1, generator=generator) @ torch.randn(1, *(columns or [1]), generator=generator)
        gradients[name] = product.view(rows, *columns) * (rank + 1) * (step > 0)
    return gradients


@pytest.mark.parametrize("rank", [1, 3])
def test_a_product_of_two_vectors_is_exchanged_exactly(rank):
    steps = in_ranks(exchanged, "powersgd", {"rank": rank}, SMALL, gradients_of_rank_one, 4)[0]
    for name in SMALL:
        assert (steps[0]["means"][name] == 0).all()
        expected = plain_means(gradients_of_rank_one, SMALL, 2, 3)[name]
        torch.testing.assert_close(steps[3]["means"][name], expected, rtol=1e-4, atol=1e-5)


PLACE_IN_BUCKET = {"vector": slice(0, 5), "matrix": slice(5, 101), "table": slice(101, 245)}
"""Of the gradients of SMALL, which fill one bucket."""


def the_same_gradients(shapes, rank, step):
    return random_gradients(shapes, rank, 0)


def test_what_a_product_misses_is_added_later():
    size, num_steps = 2, 80
    of_ranks = in_ranks(exchanged, "powersgd", {}, SMALL, the_same_gradients, num_steps, size=size)
    for name, mean in plain_means(the_same_gradients, SMALL, size, 0).items():
        total = sum(step["means"][name] for step in of_ranks[0])
        errors = mean_of(steps[-1]["state"]["errors"][0][PLACE_IN_BUCKET[name]] for steps in of_ranks)
        torch.testing.assert_close(total + errors.view_as(total), num_steps * mean, rtol=0, atol=1e-3)
        assert (total / num_steps - mean).norm() < 0.1 * mean.norm(), name
        assert (of_ranks[0][2]["means"][name] - mean).norm() > 0.3 * mean.norm() or name == "vector"


def test_a_matrix_whose_factors_are_no_smaller_is_sent_whole():
    found = in_ranks(exchanged, "powersgd", {"rank": 5}, SMALL, random_gradients, 3)[0][2]
    for name, mean in plain_means(random_gradients, SMALL, 2, 2).items():
        torch.testing.assert_close(found["means"][name], mean, rtol=0, atol=1e-6)
    assert found["state"]["left"][0].numel() == found["state"]["right"][0].numel() == 0


def test_a_process_alone_exchanges_nothing():
    for kind in EXCHANGES:
        assert make_exchange(settings_of(kind), ALONE, Stopwatch(CPU)) is NO_EXCHANGE
    module = nn.Linear(2, 2)
    assert NO_EXCHANGE.wrap(module) is module
    assert NO_EXCHANGE.state() == {}


def test_a_rank_of_another_world_remembers_the_mean_of_what_the_old_ones_did():
    states = [
        {
            "residuals": {"a": torch.tensor([1.0, 3.0])},
            "step": 7,
            "number": torch.tensor(4),
            "average": None,
            "list": [1],
        },
        {
            "residuals": {"a": torch.tensor([2.0, 5.0])},
            "step": 7,
            "number": torch.tensor(4),
            "average": None,
            "list": [1],
        },
    ]
    mean = mean_state(states)
    assert mean["residuals"]["a"].tolist() == [1.5, 4.0]
    assert mean | {"residuals": None} == states[0] | {"residuals": None}


@given(
    numbers=st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=60),
    share=st.floats(0, 1),
    sample=st.integers(1, 60),
)
def test_the_largest_numbers_are_as_many_as_asked_for_and_none_is_larger(numbers, share, sample):
    values = torch.tensor(numbers)
    count = max(1, round(share * len(values)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topk, "SAMPLE_SIZE", sample)
        places = largest(values, count)
    assert len(places) == count == len(set(places.tolist()))
    expected = values.abs().sort(descending=True).values[:count]
    assert torch.equal(values[places].abs().sort(descending=True).values, expected)


@pytest.mark.parametrize("count", [1, 100, 5_000, 12_499, 12_500, 50_000, 100_000])
@pytest.mark.parametrize("distribution", ["normal", "heavy tails", "mostly zero", "few sizes", "one outlier"])
def test_a_sample_finds_the_very_largest_numbers(distribution, count):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(100_000, generator=generator)
    if distribution == "heavy tails":
        values = values**9
    elif distribution == "mostly zero":
        values *= torch.rand(100_000, generator=generator) < 0.001
    elif distribution == "few sizes":
        values = values.round()
    elif distribution == "one outlier":
        values = torch.zeros(100_000).index_fill(0, torch.tensor(77_777), -5.0)
    places = largest(values, count)
    assert places.unique().numel() == count
    expected = values.abs().topk(count).values
    assert torch.equal(values[places].abs().sort(descending=True).values, expected)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
@pytest.mark.parametrize("count", [1, 1_000, 40_000])
def test_of_equal_numbers_as_many_are_chosen_as_asked_for(value, count):
    places = largest(torch.full((40_000,), value), count)
    assert places.unique().numel() == len(places) == count
