"""How many threads this process may use, and one function over many items on all of them.

The compiled kernels let go of Python's lock, so threads of one process share its tables and keep several cores busy.
"""

import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from plaudit.errors import SettingsError

VARIABLE = "PLAUDIT_THREADS"

SPIN_COUNT = 10_000
"""Turns of a loop for which an OpenMP thread waits before it sleeps; by itself 300,000, on a core that another program
could use. With 1,000 it sleeps too often on a quiet machine (bench/busy_machine.py)."""

T = TypeVar("T")
R = TypeVar("R")

_this_thread = threading.local()


def num_cores() -> int:
    """Return the cores this process may use: those that its affinity allows, or fewer if its container has a quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(min(allowed, cpu_quota()))


def num_threads() -> int:
    """Return the number that PLAUDIT_THREADS asks for, else that of the cores."""
    asked = os.environ.get(VARIABLE)
    if not asked:
        return num_cores()
    if not (asked.isdecimal() and int(asked) > 0):
        raise SettingsError(f"{VARIABLE} must be a positive number of threads, not {asked!r}")
    return int(asked)


@lru_cache
def cpu_quota(root: Path = Path("/")) -> float:
    """Return how many cores' time this process's control groups (Linux cgroups, v1 or v2) allow it; infinity if any."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return math.inf  # another system
    quotas = [math.inf]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mount = root / "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            mount = root / "sys/fs/cgroup/cpu"
        else:
            continue
        group = mount / path.lstrip("/")
        # In a container the path may be the host's, which is not mounted there; the mount itself is the container's.
        quotas += [_quota_of(folder) for folder in (group, *group.parents) if folder.is_relative_to(mount)]
    return min(quotas)


def _quota_of(group: Path) -> float:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError):  # no such group, or no quota: "max"
        return math.inf


def wait_briefly() -> None:
    """Have OpenMP's threads, in this process and its children, sleep soon when they wait for each other.

    What the user has set stands. It has no effect once torch or scikit-learn is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPIN_COUNT))


def map_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return the function's results in order; the first item that raises makes this raise.

    A call from within such a function runs on the thread that it is on, since waiting for other threads of the same
    pool could last for ever.
    """
    threads = num_threads()
    if len(items) <= 1 or threads == 1 or hasattr(_this_thread, "is_ours"):
        return [function(item) for item in items]
    return list(_pool(os.getpid(), threads).map(function, items))


def stay_on_this_thread() -> None:
    """Let calls of `map_threads` from this thread run on it, for one that must not wait behind others' work."""
    _this_thread.is_ours = True


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Return the shared pool, by process: a forked child inherits the object but none of its threads."""
    del process
    return ThreadPoolExecutor(threads, "plaudit", initializer=stay_on_this_thread)
