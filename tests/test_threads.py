"""One function over many items: in order, on as many threads as there are cores, wherever it is called from."""

import math
import multiprocessing
import os
import subprocess
import sys
import threading

import pytest

from plaudit import threads
from plaudit.errors import SettingsError
from plaudit.threads import VARIABLE, cpu_quota, map_threads, num_cores, num_threads, wait_briefly


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    monkeypatch.setenv(VARIABLE, "2")


def thread_names(_):
    return threading.current_thread().name


def test_results_are_in_order():
    assert map_threads(lambda number: number**2, range(100)) == [number**2 for number in range(100)]
    assert map_threads(str, []) == []


def test_two_threads_work_at_the_same_time():
    meeting = threading.Barrier(2, timeout=10)
    map_threads(lambda _: meeting.wait(), range(2))
    assert threading.current_thread().name not in map_threads(thread_names, range(10))


def test_one_item_or_one_thread_stays_on_this_thread(monkeypatch):
    here = threading.current_thread().name
    assert map_threads(thread_names, [0]) == [here]
    monkeypatch.setenv(VARIABLE, "1")
    assert map_threads(thread_names, [0, 1]) == [here, here]


def test_an_exception_arrives_as_it_was_raised():
    with pytest.raises(ZeroDivisionError):
        map_threads(lambda number: 1 / number, [1, 0, 2])


def test_a_call_from_one_of_the_threads_does_not_wait_for_them():
    assert map_threads(lambda size: map_threads(str, range(size)), [3] * 8) == [["0", "1", "2"]] * 8


def in_child(send):
    send.send(map_threads(str, range(4)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_makes_threads_of_its_own():
    map_threads(str, range(4))  # the parent's threads are there before it forks
    receive, send = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=in_child, args=(send,))
    child.start()
    try:
        assert receive.poll(10)
        assert receive.recv() == ["0", "1", "2", "3"]
    finally:
        child.kill()
        child.join()


def test_without_a_setting_there_are_as_many_threads_as_usable_cores(monkeypatch):
    monkeypatch.delenv(VARIABLE)
    assert 1 <= num_threads() <= os.cpu_count()


def write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


V1 = "sys/fs/cgroup/cpu/"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, math.inf),
        ({"proc/self/cgroup": "0::/\n"}, math.inf),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, math.inf),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        # systemd: the least of a group's and its parents'
        (
            {
                "proc/self/cgroup": "0::/a.slice/b.service\n",
                "sys/fs/cgroup/a.slice/cpu.max": "50000 100000\n",
                "sys/fs/cgroup/a.slice/b.service/cpu.max": "max 100000\n",
            },
            0.5,
        ),
        # version 1, in a container that sees the host's path but not the host's folders
        (
            {
                "proc/self/cgroup": "3:memory:/docker/1f\n1:cpu,cpuacct:/docker/1f\n",
                f"{V1}cpu.cfs_quota_us": "200000\n",
                f"{V1}cpu.cfs_period_us": "100000\n",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                f"{V1}cpu.cfs_quota_us": "-1\n",
                f"{V1}cpu.cfs_period_us": "100000\n",
            },
            math.inf,
        ),
    ],
)
def test_a_containers_quota_is_found(tmp_path, files, quota):
    assert cpu_quota(write(tmp_path, files)) == quota


@pytest.mark.parametrize("cores", [5, None])
def test_without_affinities_all_cores_count(monkeypatch, cores):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(threads, "cpu_quota", lambda: math.inf)
    assert num_cores() == (cores or 1)


@pytest.mark.parametrize(("quota", "expected"), [(0.5, 1), (1.5, 2), (math.inf, 3)])
def test_a_quota_limits_the_threads(monkeypatch, quota, expected):
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    monkeypatch.setattr(threads, "cpu_quota", lambda: quota)
    assert num_threads() == expected


@pytest.mark.parametrize("before", [{}, {"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}], ids=repr)
def test_threads_wait_briefly_unless_the_user_says_otherwise(monkeypatch, before):
    monkeypatch.setattr(os, "environ", dict(before))
    wait_briefly()
    assert os.environ == (before or {"GOMP_SPINCOUNT": "10000"})


@pytest.mark.parametrize("asked", [" ", "0", "-1", "two", "1.5"])
def test_a_number_of_threads_that_is_none_is_refused(monkeypatch, asked):
    monkeypatch.setenv(VARIABLE, asked)
    with pytest.raises(SettingsError, match=f"PLAUDIT_THREADS must be a positive number of threads, not '{asked}'"):
        map_threads(str, range(2))


def test_importing_it_imports_neither_numba_nor_torch():
    code = "import sys, plaudit.threads; sys.exit('numba' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
