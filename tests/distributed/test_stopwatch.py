import socket
import sys

import pytest
import torch

from plaudit.distributed import stopwatch
from plaudit.distributed.stopwatch import RankSeconds, Stopwatch, bytes_sent
from plaudit.distributed.world import ALONE, World

CPU = torch.device("cpu")


class BesideAnother(World):
    """The first of two ranks; the other one's laps, [laps, 2], are given: seconds until it is ready, and in all."""

    size = 2

    def __init__(self, *laps):
        self.laps = torch.tensor(laps, dtype=torch.float64).view(-1, 2)

    def stack(self, numbers):
        return torch.stack([numbers, self.laps])


@pytest.fixture
def clock(monkeypatch):
    """Return a function that sets the time."""
    now = [0.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[0])

    def set_to(seconds):
        now[0] = seconds

    return set_to


def timed(clock, *laps):
    """Return a stopwatch that saw such laps: times at which gradients were ready, and that of the end."""
    clock(0.0)
    watch = Stopwatch(CPU)
    for *ready, end in laps:
        for time in ready:
            clock(time)
            watch.ready()
        clock(end)
        watch.lap()
    return watch


def test_what_is_left_of_a_lap_once_the_slowest_rank_is_ready_is_exchange(clock):
    watch = timed(clock, (2.0, 3.0, 5.0), (6.0, 8.0))
    seconds = watch.read(BesideAnother((1.0, 5.0), (2.5, 3.0)))
    # This rank was ready after 3 and 1 s of 5 and 3, the other after 1 and 2.5.
    assert seconds.compute.tolist() == [4.0, 3.5]
    assert seconds.wait.tolist() == [1.5, 2.0]
    assert seconds.exchange.tolist() == [2.5, 2.5]
    assert seconds.shares() == {"wait_share": 3.5 / 16, "exchange_share": 5 / 16}
    assert seconds.figures() == {
        **seconds.shares(),
        "compute_seconds": [4.0, 3.5],
        "wait_seconds": [1.5, 2.0],
        "exchange_seconds": [2.5, 2.5],
    }


def test_an_exchange_that_computing_hides_takes_no_time(clock):
    seconds = timed(clock, (3.0, 3.0)).read(BesideAnother((3.5, 3.5)))
    assert seconds.exchange.tolist() == [0.0, 0.0]
    assert seconds.wait.tolist() == [0.5, 0.0]


def test_laps_are_read_once(clock):
    watch = timed(clock, (3.0, 5.0))
    watch.read(BesideAnother((1.0, 5.0)))
    assert [part.tolist() for part in watch.read(BesideAnother())] == [[0.0, 0.0]] * 3


def test_a_start_leaves_out_what_came_before(clock):
    watch = timed(clock)
    clock(100.0)
    watch.start()
    clock(101.0)
    watch.ready()
    clock(103.0)
    watch.lap()
    assert [part.tolist() for part in watch.read(ALONE)] == [[1.0], [0.0], [2.0]]


def test_seconds_add_up_rank_by_rank():
    first = RankSeconds(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.0]), torch.tensor([0.25, 0.125]))
    total = RankSeconds.none(BesideAnother()).plus(first).plus(first)
    assert [part.tolist() for part in total] == [[2.0, 4.0], [1.0, 0.0], [0.5, 0.25]]
    assert RankSeconds.none(ALONE).shares() == {"wait_share": 0.0, "exchange_share": 0.0}


INTERFACES = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    1000      10    0    0    0     0          0         0     2000      10    0    0    0     0       0          0
  eth0: 5000000    4000    0    0    0     0          0         7 30000000    9000    0    1    0     0       0          0
eth1:4000000000 1    0    0    0     0          0         0 400 1    0    0    0     0       0          0
"""  # noqa: E501


@pytest.fixture
def root(tmp_path):
    """The root folder of a machine with three interfaces."""
    (tmp_path / "proc/self/net").mkdir(parents=True)
    (tmp_path / "proc/self/net/dev").write_text(INTERFACES)
    return tmp_path


def test_bytes_sent_are_those_of_all_interfaces(root):
    assert bytes_sent(root) == 2000 + 30_000_000 + 400


def test_infiniband_ports_count_words_of_four_bytes(root):
    for port, words in (("mlx5_0/ports/1", 25), ("mlx5_0/ports/2", 0), ("mlx5_1/ports/1", 1000)):
        counters = root / "sys/class/infiniband" / port / "counters"
        counters.mkdir(parents=True)
        (counters / "port_xmit_data").write_text(f"{words}\n")
        (counters / "port_rcv_data").write_text("77\n")
    assert bytes_sent(root) == 2000 + 30_000_000 + 400 + 4 * 1025


def test_a_machine_that_counts_nothing_has_sent_nothing(tmp_path):
    assert bytes_sent(tmp_path) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux counts in files")
def test_what_this_process_sends_is_counted():
    before = bytes_sent()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sender:
        receiver, _ = server.accept()
        with receiver:
            for _ in range(10):
                sender.sendall(bytes(10_000))
                receiver.recv(10_000, socket.MSG_WAITALL)
    assert bytes_sent() - before >= 100_000
