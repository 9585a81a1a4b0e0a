"""Whether ranks are fit to train together, by what they measured: facts and figures in, findings out.

To add a check, write a function and a line in GROUP_CHECKS.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from plaudit.distributed.doctor.facts import Facts
from plaudit.distributed.doctor.measure import MESSAGE_BYTES, WRITE_BYTES, Measured
from plaudit.distributed.doctor.node import NODE_CHECKS, Finding, at, count, some

SLOW_ROUND_TRIP_S = 5e-3
"""Loopback takes 0.2 ms, or 0.5 ms if ranks share a core (measured), and a network in one building not much more."""
SLOW_BYTES_PER_S = 125e6
"""Gigabit Ethernet, on which the gradients of 10 million weights take 0.3 s, longer than most steps compute."""
UNEVEN_LINKS = 0.5
"""A ring of ranks is as fast as its slowest link; one at half of the usual rate costs half of the others' too."""
CLOCK_OFFSET_S = 1.0
"""Up to it, files and log lines of different nodes are in an order that makes sense."""
SLOW_WRITE_S = 2.0
"""8 MB/s: a checkpoint of 100 MB would hold up training for 12 s."""
_ONE_RANK = "one rank: nothing to measure"


@dataclass(frozen=True)
class Meeting:
    """How ranks met: those that came, in their order; after how long; where; and what those that joined ended in."""

    ranks: tuple[Facts, ...]
    seconds: float
    place: str
    failure: str | None = None

    @property
    def missing(self) -> list[int]:
        """Return the ranks that did not come."""
        return sorted(set(range(self.ranks[0].size)) - {facts.rank for facts in self.ranks})


def joining(meeting: Meeting) -> Finding:
    """Judge whether all ranks came, and stayed to the end."""
    size = meeting.ranks[0].size
    if meeting.missing:
        came = f"{len(meeting.ranks)} of {size} came in {meeting.seconds:.1f} s"
        absent = f"{'ranks' if len(meeting.missing) > 1 else 'rank'} {some(meeting.missing)}"
        advice = f"see whether they run and get through to {meeting.place}; if they are only slow, raise --timeout"
        return Finding("ranks", f"{came}, but not {absent}", "problem", advice)
    if meeting.failure:
        advice = "see whether they run; let ranks reach each other at every port, by one network"
        return Finding("ranks", meeting.failure, "problem", advice)
    nodes = len({facts.node for facts in meeting.ranks})
    return Finding("ranks", f"{size} on {count(nodes, 'node')}, all there in {meeting.seconds:.1f} s")


def network(ranks: Sequence[Facts], measured: Measured) -> Finding:
    """Judge whether messages between nodes go by a network that leads there."""
    interfaces = [told.interface or "any interface" for told in measured.ranks]
    found = f"gloo by {some(interfaces)}"
    if measured.backend == "NCCL":
        found = f"NCCL by {os.environ.get('NCCL_SOCKET_IFNAME', 'what it chooses')}, {found}"
    lost = [facts for facts, name in zip(ranks, interfaces, strict=True) if name.startswith("lo")]
    if lost and len({facts.host for facts in ranks}) > 1:
        advice = "set GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME to an interface that leads to the other nodes"
        return Finding("network", f"{found}: loopback at {at(lost)}", "problem", advice)
    return Finding("network", found)


def round_trip(ranks: Sequence[Facts], measured: Measured) -> Finding:
    """Judge the latency of a tiny `all_reduce`."""
    if len(ranks) == 1:
        return Finding("round trip", _ONE_RANK)
    found = f"{1e6 * measured.round_trip_s:,.0f} µs to add up one number"
    if measured.round_trip_s <= SLOW_ROUND_TRIP_S:
        return Finding("round trip", found)
    advice = "give each rank a core of its own; take nodes that are close to each other, or the faster network"
    return Finding("round trip", found, "warning", advice)


def bandwidth(ranks: Sequence[Facts], measured: Measured) -> Finding:
    """Judge how many bytes a second a rank sends during a large `all_reduce`."""
    if len(ranks) == 1:
        return Finding("bandwidth", _ONE_RANK)
    rate = _bytes_of_a_rank(len(ranks)) / measured.all_reduce_s
    found = f"{_rate(rate)} from each rank, {_duration(measured.all_reduce_s)} to add up {_megabytes(MESSAGE_BYTES)}"
    return _judge_rate("bandwidth", found, rate)


def links(ranks: Sequence[Facts], measured: Measured) -> Finding:
    """Judge each link between neighbours on different nodes."""
    if not measured.link_seconds:
        return Finding("links", "one node: none between nodes")
    rates = {link: MESSAGE_BYTES / seconds for link, seconds in measured.link_seconds.items()}
    sender, receiver = min(rates, key=lambda link: rates[link])
    slowest, usual = rates[sender, receiver], median(rates.values())
    found = f"{_rate(slowest)} from {at([ranks[sender]])} to {at([ranks[receiver]])}, the slowest of {len(rates)}"
    if slowest < UNEVEN_LINKS * usual:
        advice = f"others carry {_rate(usual)}: leave one of the two nodes out, or have its network looked at"
        return Finding("links", found, "warning", advice)
    return _judge_rate("links", found, slowest)


def clocks(ranks: Sequence[Facts], measured: Measured) -> Finding:
    """Judge how far the clocks of nodes are apart."""
    if not measured.clock_offset_s:
        return Finding("clocks", "one node: one clock")
    rank, offset = max(measured.clock_offset_s.items(), key=lambda item: abs(item[1]))
    found = f"{ranks[rank].host} is {_duration(abs(offset))} {'ahead of' if offset > 0 else 'behind'} {ranks[0].host}"
    if abs(offset) <= CLOCK_OFFSET_S:
        return Finding("clocks", found)
    return Finding("clocks", found, "warning", "let every node keep its time by NTP: chrony or systemd-timesyncd")


def shared_storage(ranks: Sequence[Facts], measured: Measured) -> Finding:
    """Judge whether all ranks see one folder, and how fast it keeps what is written."""
    name, folder = "shared storage", ranks[0].shared
    if folder is None:
        return Finding(name, "not looked at")
    if measured.write_s is None:
        found = f"{ranks[0].host} cannot write to {folder}: {measured.write_failure}"
        return Finding(name, found, "problem", "make it a folder that can be written to and has room, on every node")
    blind = [facts for facts, told in zip(ranks, measured.ranks, strict=True) if not told.sees_token]
    if blind:
        found = f"{at(blind)} cannot read what the first rank writes to {folder}"
        return Finding(name, found, "problem", "mount one network file system there on every node")
    found = f"all read what one wrote; {_megabytes(WRITE_BYTES)} on disk in {_duration(measured.write_s)}"
    if measured.write_s <= SLOW_WRITE_S:
        return Finding(name, found)
    advice = "checkpoints will hold up training: take a faster disk, or raise train.checkpoint_every_steps"
    return Finding(name, found, "warning", advice)


def byte_count(ranks: Sequence[Facts], measured: Measured) -> Finding:
    """Judge whether what goes over the wire can be counted."""
    if len(ranks) == 1:
        return Finding("bytes sent", _ONE_RANK)
    if measured.backend == "NCCL" and not measured.link_seconds:
        return Finding("bytes sent", "GPUs of one node send none over the wire")
    sent, counted = _bytes_of_a_rank(len(ranks)), min(told.counted_bytes for told in measured.ranks)
    found = f"{_megabytes(counted)} counted where a rank sent {_megabytes(sent)}"
    if counted >= sent:
        return Finding("bytes sent", found)
    return Finding("bytes sent", found, "warning", "bytes cannot be counted here: do not trust figures of them")


GROUP_CHECKS: tuple[Callable[[Sequence[Facts], Measured], Finding], ...] = (
    network,
    round_trip,
    bandwidth,
    links,
    clocks,
    shared_storage,
    byte_count,
)


def judge(meeting: Meeting, measured: Measured | None) -> tuple[Finding, ...]:
    """Return what all checks find, as far as ranks came to measure."""
    findings = [joining(meeting), *(check(meeting.ranks) for check in NODE_CHECKS)]
    if measured is not None:
        findings += [check(meeting.ranks, measured) for check in GROUP_CHECKS]
    return tuple(findings)


def _bytes_of_a_rank(size: int) -> float:
    """Return what each rank sends at least during the large `all_reduce`, of which no way to do it takes less."""
    return 2 * (size - 1) / size * MESSAGE_BYTES


def _judge_rate(name: str, found: str, rate: float) -> Finding:
    if rate >= SLOW_BYTES_PER_S:
        return Finding(name, found)
    advice = 'take the faster network, see GLOO_SOCKET_IFNAME, or exchange less: train.exchange.kind = "top-k"'
    return Finding(name, found, "warning", advice)


def _rate(bytes_per_s: float) -> str:
    return f"{bytes_per_s / 1e6:,.0f} MB/s"


def _megabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1e3 * seconds:,.1f} ms"
