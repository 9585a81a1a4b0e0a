"""A training computes on as many threads as were measured to be worth it."""

import pytest
import torch

from plaudit.train import thread_choice
from plaudit.train.thread_choice import ThreadChoice


@pytest.fixture
def machine(monkeypatch):
    """A machine of four cores whose clock only a step moves; `seconds` are what one takes by number of threads."""

    class Machine:
        def __init__(self):
            self.seconds, self.clock, self.threads = {1: 1.0, 4: 1.0}, 0.0, 4

        def step(self):
            self.clock += self.seconds[self.threads]

    machine = Machine()
    monkeypatch.setattr(thread_choice, "num_threads", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: machine.threads)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: setattr(machine, "threads", threads))
    monkeypatch.setattr(thread_choice.time, "perf_counter", lambda: machine.clock)
    return machine


@pytest.mark.parametrize(
    ("one", "all_", "expected"),
    [(0.01, 0.004, 4), (0.01, 0.0095, 1), (0.01, 5.0, 1), (10.0, 3.0, 4)],
    ids=["worth it", "next to nothing", "busy machine", "large network"],
)
def test_all_threads_are_used_where_they_are_worth_it(machine, one, all_, expected):
    machine.seconds = {1: one, 4: all_}
    choice = ThreadChoice()
    choice.measure(machine.step)
    assert (choice.threads, machine.threads) == (expected, expected)


def test_a_slow_step_is_timed_once_on_each_number_of_threads(machine):
    machine.seconds = {1: 10.0, 4: 3.0}
    ThreadChoice().measure(machine.step)
    assert machine.clock == 3.0 + 10.0 + 3.0


def test_one_thread_leaves_no_choice(machine):
    machine.threads = 1  # OMP_NUM_THREADS=1
    choice = ThreadChoice()
    choice.measure(machine.step)
    assert (choice.threads, machine.clock, choice.has_changed(1.0), choice.has_changed(9.0)) == (1, 0.0, False, False)


def test_steps_are_timed_anew_once_the_speed_has_changed(machine):
    choice = ThreadChoice()
    choice.use(4)
    assert [choice.has_changed(speed) for speed in (100.0, 70.0, 150.0, 60.0, 170.0)] == [False] * 3 + [True] * 2
    choice.use(1)  # the next speed is what later ones are compared with
    assert [choice.has_changed(speed) for speed in (10.0, 14.0, 5.0)] == [False, False, True]


def test_a_checkpoints_number_is_used_as_far_as_there_are_threads(machine):
    choice = ThreadChoice()
    choice.use(8)
    assert machine.threads == 4


def test_timing_steps_takes_a_small_share_of_a_trainings_time(machine):
    machine.seconds = {1: 10.0, 4: 3.0}
    choice = ThreadChoice()
    choice.measure(machine.step)
    assert [choice.has_changed(speed) for speed in (100.0, 10.0)] == [False, False]
    machine.clock *= 21
    assert choice.has_changed(10.0)
