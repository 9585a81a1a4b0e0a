"""What ranks that have joined can only find out together: how fast messages are, whose clock is off, what all can read.

Every rank runs `measure`; the first one gets the figures. Messages go as those of training do: by NCCL between GPUs,
which has never been tried, and by gloo otherwise.
"""

import os
import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist

from plaudit.distributed.group import Group
from plaudit.distributed.stopwatch import bytes_sent
from plaudit.distributed.world import local_rank

MESSAGE_BYTES = 64_000_000
"""The gradients of 16 million weights: long enough for the bandwidth to outweigh the latency."""
WRITE_BYTES = 16_000_000
_NUM_ROUND_TRIPS = 200
_NUM_MESSAGES = 3
_NUM_CLOCK_READINGS = 10
_SHARED_PATIENCE_S = 5.0
"""Network file systems may show a new file late."""


@dataclass(frozen=True)
class Told:
    """What one rank tells the first."""

    interface: str | None
    """The one that gloo is given."""
    counted_bytes: int
    """By how much the count of bytes sent grew during one `all_reduce` of MESSAGE_BYTES."""
    link_seconds: dict[tuple[int, int], float]
    """Seconds that MESSAGE_BYTES took from this rank to its neighbour."""
    sees_token: bool | None
    """Whether it reads what the first rank wrote; None if nothing was written."""


@dataclass(frozen=True)
class Measured:
    """What ranks found out together."""

    backend: str
    ranks: tuple[Told, ...]
    round_trip_s: float
    all_reduce_s: float
    clock_offset_s: dict[int, float]
    """Of a rank of each other node: how far its clock is ahead of the first rank's."""
    write_s: float | None
    """Seconds that WRITE_BYTES took to the disk of the shared folder."""
    write_failure: str | None

    @property
    def link_seconds(self) -> dict[tuple[int, int], float]:
        """Return those of all pairs of neighbours on different nodes."""
        return {link: seconds for told in self.ranks for link, seconds in told.link_seconds.items()}


def measure(group: Group, *, node: int, shared: Path | None) -> Measured | None:
    """Measure together with all other ranks; return the figures on the first."""
    device = torch.device("cuda", local_rank()) if torch.cuda.is_available() else torch.device("cpu")
    nodes = [int(number) for number in group.stack(torch.tensor([node])).flatten()]
    small, large = torch.zeros(1, device=device), torch.zeros(MESSAGE_BYTES // 4, device=device)
    # The first messages open connections.
    round_trips = [_seconds(device, lambda: group.sum_(small)) for _ in range(_NUM_ROUND_TRIPS + 10)][10:]
    messages = [_seconds(device, lambda: group.sum_(large)) for _ in range(_NUM_MESSAGES + 1)][1:]
    before = bytes_sent()
    _seconds(device, lambda: group.sum_(large))
    _meet(group)
    counted_bytes = bytes_sent() - before
    link_seconds = time_links(group, nodes, large)
    offsets = compare_clocks(group, nodes)
    write_s, failure, sees_token = (None, None, None) if shared is None else try_folder(group, shared)
    told = group.gather(Told(os.environ.get("GLOO_SOCKET_IFNAME"), counted_bytes, link_seconds, sees_token))
    if not group.is_first:
        return None
    return Measured(
        backend="NCCL" if device.type == "cuda" else "gloo",
        ranks=tuple(told),
        round_trip_s=median(round_trips),
        all_reduce_s=median(messages),
        clock_offset_s=offsets,
        write_s=write_s,
        write_failure=failure,
    )


def neighbours(nodes: list[int]) -> list[tuple[int, int]]:
    """Return the pairs of ranks that stand side by side on different nodes, in a ring; `nodes` is each rank's."""
    ring = [(rank, (rank + 1) % len(nodes)) for rank in range(len(nodes))]
    pairs = [(rank, after) for rank, after in ring if nodes[rank] != nodes[after]]
    return pairs[:-1] if len(pairs) == 2 else pairs  # two nodes have one link, not one there and one back


def time_links(group: Group, nodes: list[int], message: torch.Tensor) -> dict[tuple[int, int], float]:
    """Return the seconds of the links that this rank sends on; the pairs take turns."""
    seconds = {}
    for sender, receiver in neighbours(nodes):
        for _ in range(2):  # the first message opens a connection
            if group.rank == sender:
                seconds[sender, receiver] = _seconds(message.device, partial(_send, message, receiver))
            elif group.rank == receiver:
                dist.recv(message, sender)
                dist.send(message[:1], sender)
        _meet(group)
    return seconds


def _send(message: torch.Tensor, receiver: int) -> None:
    dist.send(message, receiver)
    dist.recv(message[:1], receiver)  # sent once all has come


def compare_clocks(group: Group, nodes: list[int]) -> dict[int, float]:
    """Return, on the first rank, how far the clock of each other node is ahead of its own, in seconds.

    As NTP does: half of a round trip after it was asked the other clock was read; the shortest of several is taken.
    """
    offsets = {}
    reading = torch.zeros(1, dtype=torch.float64)
    for other in sorted({nodes.index(node) for node in nodes} - {0}):
        tries = []
        for _ in range(_NUM_CLOCK_READINGS):
            if group.is_first:
                asked, start = time.time(), time.perf_counter()
                dist.send(reading, other)
                dist.recv(reading, other)
                trip = time.perf_counter() - start
                tries.append((trip, reading.item() - (asked + trip / 2)))
            elif group.rank == other:
                dist.recv(reading, 0)
                reading.fill_(time.time())
                dist.send(reading, 0)
        if tries:
            offsets[other] = min(tries)[1]
    return offsets


def try_folder(group: Group, folder: Path) -> tuple[float | None, str | None, bool | None]:
    """Let the first rank write what all must read.

    Returns its seconds or its failure, and whether this rank could read it.
    """
    word, seconds, failure = f"plaudit-doctor-{secrets.token_hex(8)}", None, None
    if group.is_first:
        try:
            seconds = _time_write(folder)
            (folder / f".{word}").write_text(word)
        except OSError as error:
            failure = error.strerror or str(error)
        group.store.set("doctor/token", "" if failure else word)
    word = group.store.get("doctor/token").decode()
    try:
        sees = _reads(folder / f".{word}", word) if word else None
        _meet(group)
    finally:
        if group.is_first and word:
            (folder / f".{word}").unlink()
    return seconds, failure, sees


def _time_write(folder: Path) -> float:
    noise = os.urandom(WRITE_BYTES)  # which no file system compresses
    start = time.perf_counter()
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(noise)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - start


def _reads(path: Path, word: str) -> bool:
    deadline = time.monotonic() + _SHARED_PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if path.read_text() == word:
                return True
        except (OSError, UnicodeDecodeError):
            pass
        time.sleep(0.1)
    return False


def _meet(group: Group) -> None:
    """Return once all ranks have come here."""
    group.sum_(torch.zeros(1))


def _seconds(device: torch.device, action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
