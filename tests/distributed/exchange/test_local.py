import numpy as np
import pytest
import torch

from plaudit.distributed.exchange.registry import make_exchange, mean_state
from plaudit.distributed.stopwatch import Stopwatch
from tests.distributed.conftest import in_ranks
from tests.distributed.exchange.test_exchanges import CPU, SMALL, Weights, mean_of, random_gradients, settings_of

PRECISIONS = ["fp32", "bf16", "int8", "int4"]


def walk(world, changes, num_steps, gradients_of, momentum=0.0):
    """Take steps of one's own and exchange weights; return where this rank stands at the start and after each step.

    In the end come the places after a settlement of what is left, and after one of nothing. Beside them: what waits.
    """
    torch.manual_seed(world.rank)
    weights = Weights(SMALL)
    exchange = make_exchange(settings_of("local", **changes), world, Stopwatch(CPU))
    exchange.wrap(weights)
    optimizer = torch.optim.SGD(weights.parameters(), lr=0.1, momentum=momentum)
    places, waiting = [place_of(weights)], [exchange.state()["residual"].clone()]
    for step in range(num_steps):
        gradients = gradients_of(SMALL, world.rank, step)
        for name, weight in weights.named_parameters():
            weight.grad = gradients[name.split(".")[0]]
        exchange.after_backward()
        optimizer.step()
        exchange.after_step()
        places.append(place_of(weights))
        waiting.append(exchange.state()["residual"].clone())
    for _ in range(2):
        exchange.synchronize()
        places.append(place_of(weights))
        waiting.append(exchange.state()["residual"].clone())
    return places, waiting


def place_of(weights):
    return torch.cat([weight.detach().flatten() for weight in weights.parameters()])


def own_step(rank, step, gradients_of=random_gradients):
    """Return what `walk` adds to the place at a step."""
    return -0.1 * torch.cat([gradient.flatten() for gradient in gradients_of(SMALL, rank, step).values()])


def test_weights_exchanged_after_every_step_are_averages():
    of_ranks = in_ranks(walk, {"period": 1, "precision": "fp32"}, 3, random_gradients)
    for places, _ in of_ranks:
        for step in range(3):
            mean_step = mean_of(own_step(rank, step) for rank in range(2))
            torch.testing.assert_close(places[step + 1], places[step] + mean_step, rtol=0, atol=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_ranks_that_train_by_themselves_differ_between_exchanges_and_never_after_one(precision):
    # After 3 steps, and where `walk` settles after the fifth, when there are two to settle and then none.
    of_ranks = in_ranks(walk, {"period": 3, "precision": precision}, 5, random_gradients, size=3)
    places_of_ranks = zip(*(places for places, _ in of_ranks), strict=True)
    are_equal = [torch.equal(first, second) and torch.equal(first, third) for first, second, third in places_of_ranks]
    assert are_equal == [True, False, False, True, False, False, True, True]
    for places, _ in of_ranks:
        assert torch.equal(places[-1], places[-2])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_rounding_misses_waits_and_is_not_lost(precision):
    size, num_steps = 3, 12
    of_ranks = in_ranks(walk, {"period": 2, "precision": precision}, num_steps, random_gradients, size=size)
    way = sum(mean_of(own_step(rank, step) for rank in range(size)) for step in range(num_steps))
    for step in range(0, num_steps + 1, 2):
        start, met = of_ranks[0][0][0], of_ranks[0][0][step]
        left = mean_of(waiting[step] for _, waiting in of_ranks)
        way = sum((mean_of(own_step(rank, past) for rank in range(size)) for past in range(step)), torch.zeros(()))
        # What all-reduce itself rounds in 16 bits is lost, but does not add up in one direction.
        torch.testing.assert_close(met + left, start + way, rtol=0, atol=0.01 if precision == "bf16" else 1e-5)
    assert (left == 0).all() == (precision == "fp32")


def gradients_of_one_word(shapes, rank, step):
    """Return gradients that leave all of the table's rows zero but one, which the second rank reads now and then."""
    gradients = random_gradients(shapes, rank, step)
    is_read = torch.zeros(len(gradients["table"]), 1)
    is_read[3] = rank == 1 and step in (0, 8)
    return {**gradients, "table": gradients["table"] * is_read}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_that_no_rank_read_since_ranks_met_wait_until_one_reads_them(precision):
    of_ranks = in_ranks(walk, {"period": 2, "precision": precision}, 10, gradients_of_one_word, 0.9)
    first_number = -int(np.prod(SMALL["table"]))
    rows = [[place[first_number:].view(SMALL["table"]) for place in places] for places, _ in of_ranks]
    waiting = [[left[first_number:].view(SMALL["table"])[3] for left in waiting] for _, waiting in of_ranks]
    for of_rank in rows:
        moves = [not torch.equal(of_rank[end][3], of_rank[end - 2][3]) for end in (2, 4, 6, 8, 10)]
        # It is read in the first period and the last; momentum carries it on in between, where the row waits.
        assert moves == [True, False, False, False, True]
        assert torch.equal(of_rank[10][:3], of_rank[0][:3])
        assert torch.equal(of_rank[10][4:], of_rank[0][4:])
    assert not torch.equal(rows[1][7][3], rows[1][6][3])
    assert waiting[1][8].norm() > waiting[1][6].norm() > waiting[1][4].norm()
    alone = one_word_alone()
    torch.testing.assert_close(rows[0][10][3] + mean_of([waiting[0][10], waiting[1][10]]), rows[0][0][3] + alone / 2)


def one_word_alone():
    """Return the way that the second rank's row goes in ten steps of momentum."""
    velocity = way = torch.zeros(SMALL["table"][1])
    for step in range(10):
        velocity = 0.9 * velocity + gradients_of_one_word(SMALL, 1, step)["table"][3]
        way = way - 0.1 * velocity
    return way


def test_ranks_of_another_world_owe_together_what_the_old_ones_did_by_rank():
    states = [
        {"residual": torch.tensor([1.0, -3.0]), "rows_read": {"0": torch.tensor([0.0, 0.0])}, "steps": 3},
        {"residual": torch.tensor([2.0, 5.0]), "rows_read": {"0": torch.tensor([1.0, 0.0])}, "steps": 3},
    ]
    mean = mean_state(states)
    assert mean["residual"].tolist() == [1.5, 1.0]
    assert (mean["rows_read"]["0"] > 0).tolist() == [True, False]
