"""Chooses by measurement how many threads a training computes on: all that it may use, or one.

A second thread brings little to a small network, whose threads wait for each other at every step of the LSTM, and how
much depends on the machine and on what else it does (bench/busy_machine.py). So steps are timed with all threads and
with one, when a training starts and again whenever its speed has changed, as it does when other programs begin or end.
"""

import time
from collections.abc import Callable

import torch

from plaudit.threads import num_threads

WORTH = 1.1
"""All threads are used if they are at least this many times as fast as one; for less, other programs keep the cores."""
CHANGED = 1.6
"""Steps are timed anew once they take so many times as long as after they were last timed, or so many times less."""
_SECONDS = 1.0
_MOST_ROUNDS = 3
_LARGEST_SHARE = 0.05
"""Of a training's time that goes into timing steps."""


class ThreadChoice:
    """The number of threads on which torch computes in one training.

    With a single thread, for example by OMP_NUM_THREADS or PLAUDIT_THREADS, there is nothing to choose.
    """

    def __init__(self) -> None:
        self.most = min(num_threads(), torch.get_num_threads())
        self.threads = self.most
        torch.set_num_threads(self.most)
        self._speed: float | None = None
        self._next_time = 0.0

    def measure(self, step: Callable[[], object]) -> None:
        """Time `step`, which must leave nothing behind, with one thread and with all, and use what is faster."""
        if self.most == 1:
            return
        began = time.perf_counter()
        seconds = {1: 0.0, self.most: 0.0}
        step()  # the first one allocates and compiles
        for _ in range(_MOST_ROUNDS):
            for threads in seconds:
                torch.set_num_threads(threads)
                start = time.perf_counter()
                step()
                seconds[threads] += time.perf_counter() - start
            if sum(seconds.values()) > _SECONDS:
                break
        self.use(self.most if seconds[1] > WORTH * seconds[self.most] else 1)
        now = time.perf_counter()
        self._next_time = now + (now - began) / _LARGEST_SHARE

    def use(self, threads: int) -> None:
        """Compute on so many threads from now on, such as those of a checkpoint: bits may depend on it."""
        self.threads = min(threads, self.most)
        torch.set_num_threads(self.threads)
        self._speed = None

    def has_changed(self, speed: float) -> bool:
        """Say whether steps should be timed anew, given the speed of the last ones."""
        if self._speed is None:
            self._speed = speed
        if self.most == 1 or time.perf_counter() < self._next_time:
            return False
        return not 1 / CHANGED < speed / self._speed < CHANGED
