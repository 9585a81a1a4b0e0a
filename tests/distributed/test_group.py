import os
import signal
import socket
import time

import pytest
import torch

from plaudit.distributed import group
from plaudit.distributed.group import address_towards, interface_towards, joined
from plaudit.distributed.world import ALONE, current, has_others
from plaudit.errors import SettingsError, TrainingError
from tests.distributed.conftest import in_ranks


def held_by_launcher():
    """Return what lets whoever starts the ranks hold their store: `plaudit launch`, torchrun, and `in_ranks`."""
    return {}


def held_by_first_rank():
    """Return what lets the first rank hold it: the four variables of `joined` and nothing else."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return {"TORCHELASTIC_USE_AGENT_STORE": str(False), "MASTER_PORT": str(probe.getsockname()[1])}


HOLDERS_OF_THE_STORE = [held_by_launcher, held_by_first_rank]


def talk(world):
    """Say all that ranks can say to one another, of numbers that are told apart by rank."""
    summed = torch.arange(3, dtype=torch.float64) + world.rank
    world.sum_(summed)
    means = [torch.full((2, 2), float(world.rank)), torch.nn.Parameter(torch.tensor([3.0 * world.rank]))]
    world.mean_(means)
    return {
        "sum": summed.tolist(),
        "mean": [mean.tolist() for mean in means],
        "stack": world.stack(torch.tensor([world.rank, 10 * world.rank])).tolist(),
        "nothing": tuple(world.stack(torch.zeros(0, 2)).shape),
        "gather": world.gather({"rank": world.rank}),
        "is current": current() is world,
        "place": (world.rank, world.size, world.is_first, has_others()),
    }


def test_ranks_add_average_stack_and_gather():
    first, *others = in_ranks(talk, size=3)
    assert first["gather"] == [{"rank": 0}, {"rank": 1}, {"rank": 2}]
    assert [other["gather"] for other in others] == [[], []]
    for rank, said in enumerate([first, *others]):
        assert said["sum"] == [3.0, 6.0, 9.0]
        assert said["mean"] == [[[1.0, 1.0], [1.0, 1.0]], [3.0]]
        assert said["stack"] == [[0, 0], [1, 10], [2, 20]]
        assert said["nothing"] == (3, 0, 2)
        assert said["is current"]
        assert said["place"] == (rank, 3, rank == 0, True)


def test_a_process_alone_is_a_world_of_its_own():
    assert current() is ALONE
    assert (ALONE.rank, ALONE.size, ALONE.is_first) == (0, 1, True)
    numbers = torch.tensor([1.0, 2.0])
    ALONE.sum_(numbers)
    ALONE.mean_([numbers])
    assert numbers.tolist() == [1.0, 2.0]
    assert ALONE.stack(numbers).tolist() == [[1.0, 2.0]]
    assert ALONE.gather("all") == ["all"]
    ALONE.wait_for_first("nobody")
    with ALONE.first_before_others("nobody"):
        pass


def meet(world):
    """Let the first rank come late to two places, later than it may be to a message; return when each came and left."""
    came = time.monotonic()
    if world.is_first:
        time.sleep(1.5)
    released = time.monotonic()
    world.wait_for_first("once")
    left = time.monotonic()
    with world.first_before_others("again"):
        entered = time.monotonic()
        if world.is_first:
            time.sleep(0.2)
        done = time.monotonic()
    world.sum_(torch.zeros(1))
    return came, released, left, entered, done


def test_others_wait_for_the_first_rank_however_long_it_takes():
    first, *others = in_ranks(meet, size=3, PLAUDIT_PEER_TIMEOUT="1")
    _, released, _, _, done = first
    for came, _, left, entered, _ in others:
        assert came < released <= left
        assert done <= entered


def end_late(world):
    world.sum_(torch.zeros(1))
    if not world.is_first:
        time.sleep(0.3)
    world.wait_for_first("the end")
    return world.rank


@pytest.mark.parametrize("holder", HOLDERS_OF_THE_STORE)
def test_ranks_that_end_after_the_first_one_are_not_lost(holder):
    assert in_ranks(end_late, **holder()) == [0, 1]


def be_impatient():
    group._PATIENCE_S = 0.5


def fall_silent(world, silent):
    be_impatient()
    world.sum_(torch.zeros(1))
    if world.rank == silent:
        os.kill(os.getpid(), signal.SIGSTOP)
    world.sum_(torch.zeros(1))


@pytest.mark.parametrize("silent", [0, 1])
@pytest.mark.parametrize("holder", HOLDERS_OF_THE_STORE)
def test_a_rank_that_hangs_is_named_by_those_that_wait_for_it(holder, silent):
    (outcome,) = in_ranks(fall_silent, silent, lost=[silent], seconds=20, PLAUDIT_PEER_TIMEOUT="3", **holder())
    assert isinstance(outcome, TrainingError)
    assert str(outcome) == f"rank {silent} did not answer in 3 s, or died; rank {1 - silent} gives up"


def die(world, dying):
    be_impatient()
    world.sum_(torch.zeros(1))
    if world.rank == dying:
        os._exit(1)
    world.sum_(torch.zeros(1))


@pytest.mark.parametrize("dying", [0, 1])
@pytest.mark.parametrize("holder", HOLDERS_OF_THE_STORE)
def test_a_rank_that_dies_is_named_by_those_that_wait_for_it(holder, dying):
    (outcome,) = in_ranks(die, dying, lost=[dying], **holder())
    assert isinstance(outcome, TrainingError)
    assert str(outcome) == f"rank {dying} did not answer in 300 s, or died; rank {1 - dying} gives up"


def refuse(world):
    world.sum_(torch.zeros(1))  # all have joined: who leaves while others still connect breaks their joining
    raise SettingsError(f"rank {world.rank} cannot")


def test_an_error_of_ours_leaves_the_group_as_it_is():
    assert [str(error) for error in in_ranks(refuse)] == ["rank 0 cannot", "rank 1 cannot"]


@pytest.mark.parametrize("missing", [["RANK"], ["MASTER_ADDR", "MASTER_PORT"], ["RANK", "MASTER_ADDR", "MASTER_PORT"]])
def test_an_incomplete_environment_is_refused_by_the_names_it_lacks(monkeypatch, missing):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in missing:
        monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match=f"^WORLD_SIZE is set but not {', '.join(missing)}; .* plaudit launch$"):
        joined().__enter__()
    assert current() is ALONE


def test_the_interface_that_leads_to_this_machine_is_the_loopback():
    assert address_towards("127.0.0.1") == "127.0.0.1"
    assert interface_towards("127.0.0.1") in ("lo", "lo0")


def test_there_is_no_interface_towards_a_host_that_cannot_be_reached():
    everyone = "255.255.255.255"  # which takes a permission that we do not ask for
    assert address_towards(everyone) is None
    assert interface_towards(everyone) is None
