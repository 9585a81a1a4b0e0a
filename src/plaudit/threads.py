"""One function over many items on several threads: what all loops over chunks of texts run through.

The compiled kernels let go of Python's lock, so threads of one process share its tables and keep several cores busy.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

from plaudit.errors import SettingsError

VARIABLE = "PLAUDIT_THREADS"

T = TypeVar("T")
R = TypeVar("R")

_this_thread = threading.local()


def num_threads() -> int:
    """Return the number that PLAUDIT_THREADS asks for, else that of the cores this process may use."""
    asked = os.environ.get(VARIABLE)
    if asked is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not (asked.isdecimal() and int(asked) > 0):
        raise SettingsError(f"{VARIABLE} is a positive number of threads, not {asked!r}")
    return int(asked)


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
