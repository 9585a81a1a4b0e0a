import socket
import sys

import pytest

from plaudit.distributed.stopwatch import bytes_sent

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
