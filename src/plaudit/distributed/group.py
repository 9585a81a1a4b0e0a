"""Join the ranks that train together, and send messages between them by torch.distributed."""

import fcntl
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from plaudit.distributed.exchange.base import flatten, unflatten
from plaudit.distributed.world import ALONE, World, enter, local_rank
from plaudit.errors import SettingsError, TrainingError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

T = TypeVar("T")

TIMEOUT_VARIABLE = "PLAUDIT_PEER_TIMEOUT"
DEFAULT_TIMEOUT_S = 300
_LONGEST = timedelta(days=7)
_PATIENCE_S = 5.0
"""How long to wait for the reports of other ranks once a message has failed."""
_SIOCGIFADDR = 0x8915


class Group(World):
    """Ranks that have joined; `store` is a table of texts that all of them can read and write."""

    def __init__(self, rank: int, size: int, store: "Store") -> None:
        self.rank, self.size, self.store = rank, size, store

    def sum_(self, tensor: torch.Tensor) -> None:
        """Replace a tensor by its sum over all ranks."""
        dist.all_reduce(tensor)

    def mean_(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace tensors by their means over all ranks, all in one message."""
        tensors = list(tensors)
        if not tensors:
            return
        sent = flatten(tensors).div_(self.size)
        dist.all_reduce(sent)
        with torch.no_grad():
            unflatten(sent, tensors)

    def gather(self, value: Any) -> list[Any]:  # noqa: ANN401
        """Return every rank's value, in the order of ranks, on the first rank, and nothing on the others."""
        values: list[Any] | None = [None] * self.size if self.is_first else None
        dist.gather_object(value, values)
        return values or []

    def stack(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return every rank's numbers, [size, *shape], on every rank."""
        parts = [torch.empty_like(numbers) for _ in range(self.size)]
        dist.all_gather(parts, numbers)
        return torch.stack(parts)

    def wait_for_first(self, what: str) -> None:
        """Return once the first rank has come here too, however long that takes."""
        if self.is_first:
            self.store.set(f"done/{what}", "yes")
        else:
            self.store.wait([f"done/{what}"], _LONGEST)


@contextmanager
def joined() -> Iterator[Group]:
    """Join the ranks that the environment describes: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT.

    Messages go by NCCL between GPUs and by gloo otherwise. TrainingError names the ranks that did not answer in
    time. SettingsError if the environment is incomplete.
    """
    timeout_s = float(os.environ.get(TIMEOUT_VARIABLE) or DEFAULT_TIMEOUT_S)
    group = _join(timedelta(seconds=timeout_s))
    enter(group)
    try:
        yield group
        dist.barrier()  # the first rank may hold the store, and must not leave before the others
    except RuntimeError as error:  # what torch raises when a message fails
        silent = _silent_ranks(group)
        if not silent and "imed out" not in str(error):
            raise
        ranks = f"rank{'s' if len(silent) > 1 else ''} {', '.join(map(str, silent))}" if silent else "ranks"
        message = f"{ranks} did not answer in {timeout_s:g} s, or died; rank {group.rank} gives up"
        raise TrainingError(message) from error
    finally:
        enter(ALONE)
        if dist.is_initialized():
            dist.destroy_process_group()


def _join(timeout: timedelta) -> Group:
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise SettingsError(f"WORLD_SIZE is set but not {', '.join(missing)}; start the ranks with plaudit launch")
    interface = interface_towards(os.environ["MASTER_ADDR"])
    if interface is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank())
        backend = "cpu:gloo,cuda:nccl"  # what lies on the host is sent from there
    store, rank, size = next(rendezvous("env://", timeout=timeout))
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
    return Group(rank, size, store)


def _silent_ranks(group: Group) -> list[int]:
    """Return the ranks that do not report a failed message too: those that the others wait for."""
    try:  # the store's calls never return while the rank that holds it hangs
        return in_time(partial(_ask_ranks, group), 2 * _PATIENCE_S)
    except TimeoutError:
        return [0]


def _ask_ranks(group: Group) -> list[int]:
    silent = [rank for rank in range(group.size) if rank != group.rank]
    try:
        group.store.set_timeout(timedelta(seconds=_PATIENCE_S))
        group.store.set(f"failed/{group.rank}", "yes")
        deadline = time.monotonic() + _PATIENCE_S
        while silent and time.monotonic() < deadline:
            silent = [rank for rank in silent if not group.store.check([f"failed/{rank}"])]
            time.sleep(0.05)
    except RuntimeError:  # the store is gone, and with it the rank that holds it
        return [] if group.is_first else [0]
    return silent


def in_time(action: Callable[[], T], seconds: float) -> T:
    """Return what an action returns, or raise its RuntimeError; TimeoutError if it takes longer."""
    outcome: list[T | RuntimeError] = []

    def attempt() -> None:
        try:
            outcome.append(action())
        except RuntimeError as error:
            outcome.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError
    if isinstance(outcome[0], RuntimeError):
        raise outcome[0]
    return outcome[0]


def is_here(host: str) -> bool:
    """Return whether a host is this node, by the address that leads to it; OSError if it has none."""
    return address_towards(host) == socket.gethostbyname(host)


def address_towards(host: str) -> str | None:
    """Return this node's own address on the way to a host, or None if there is no way."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 1))  # sends nothing
            return str(probe.getsockname()[0])
    except (OSError, UnicodeError):  # no such host, or no name of any
        return None


def interface_towards(host: str) -> str | None:
    """Return the network interface that leads to a host, such as "eth0", or None if unknown.

    gloo takes the one that the node's own name leads to, which often is the loopback.
    """
    address = address_towards(host)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                request = struct.pack("256s", name.encode()[:15])
                found = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)[20:24]
            except OSError:  # an interface without an address
                continue
            if socket.inet_ntoa(found) == address:
                return name
    return None
