"""Bytes that this host has sent, as its network interfaces count them."""

from contextlib import suppress
from pathlib import Path

_NUM_RECEIVE_FIELDS = 8
_INFINIBAND_WORD_BYTES = 4


def bytes_sent(root: Path = Path("/")) -> int:
    """Return the bytes sent so far through all interfaces that this process sees, headers and loopback included.

    InfiniBand ports count those that bypass the kernel. Zero where nothing counts, as on macOS.
    """
    total = 0
    try:
        lines = (root / "proc/self/net/dev").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines[2:]:  # two lines of headings
        total += int(line.partition(":")[2].split()[_NUM_RECEIVE_FIELDS])
    for path in root.glob("sys/class/infiniband/*/ports/*/counters/port_xmit_data"):
        with suppress(OSError):  # not every driver lets it be read
            total += _INFINIBAND_WORD_BYTES * int(path.read_text())
    return total
