import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from torch.distributed import TCPStore

from plaudit.cli.main import main
from plaudit.distributed.doctor import group as doctor_group
from plaudit.distributed.doctor import measure as doctor_measure
from plaudit.distributed.doctor import node as doctor
from plaudit.distributed.doctor import run as doctor_run
from plaudit.distributed.doctor.facts import Facts, Gpu, memory_free_bytes, probe
from plaudit.distributed.doctor.group import GROUP_CHECKS, Meeting, joining, judge
from plaudit.distributed.doctor.measure import MESSAGE_BYTES, Measured, Told, neighbours
from plaudit.distributed.doctor.node import NODE_CHECKS, Finding, render
from plaudit.distributed.doctor.run import Examination, call_nodes, call_ranks, examine, may_join, ranks_by_default
from plaudit.distributed.launch import Cluster
from plaudit.errors import TrainingError
from tests.distributed.conftest import FORKS, in_ranks

GIB = 1 << 30
H100 = Gpu(name="NVIDIA H100", memory_bytes=80 * GIB, capability="9.0")
V100 = Gpu(name="NVIDIA V100", memory_bytes=32 * GIB, capability="7.0")
CPU_RANK = {
    "rank": 0,
    "size": 4,
    "node": 0,
    "ranks_of_node": 2,
    "host": "node0",
    "python": "3.12.1",
    "torch": "2.13.0",
    "plaudit": "0.1.0",
    "cuda": None,
    "gpus": (),
    "driver": None,
    "driver_failure": None,
    "has_bf16": True,
    "cores": 16,
    "memory_free_bytes": 64 * GIB,
    "shm_free_bytes": 32 * GIB,
    "open_files": 65_536,
    "shared": "/runs",
    "shared_free_bytes": 1000 * GIB,
}
GPU_RANK = CPU_RANK | {"cuda": "13.0", "gpus": (H100, H100), "driver": "580.95"}


def two_nodes(common, **of_second):
    """Return the facts of four ranks on two nodes; the second node's differ as told."""
    ranks = [Facts.model_validate(common | {"rank": rank}) for rank in range(2)]
    second = common | {"node": 1, "host": "node1"} | of_second
    return ranks + [Facts.model_validate(second | {"rank": rank}) for rank in (2, 3)]


def measured_by(num_ranks=4, *, told=None, **changes):
    """Return plausible figures of ranks of two nodes; `told` is what the last rank tells otherwise."""
    rank = {"interface": "eth0", "counted_bytes": 2 * MESSAGE_BYTES, "link_seconds": {}, "sees_token": True}
    ranks = [Told(**rank) for _ in range(num_ranks - 1)] + [Told(**rank | (told or {}))]
    values = {
        "backend": "gloo",
        "ranks": tuple(ranks),
        "round_trip_s": 2e-4,
        "all_reduce_s": 0.1,
        "clock_offset_s": {2: -2e-3},
        "write_s": 0.1,
        "write_failure": None,
    }
    return Measured(**values | changes)


# What a node tells by itself.


@pytest.mark.parametrize("common", [CPU_RANK, GPU_RANK], ids=["processors", "GPUs"])
@pytest.mark.parametrize("check", NODE_CHECKS, ids=lambda check: check.__name__)
def test_nodes_that_are_fit_are_ok_and_need_no_advice(check, common):
    finding = check(two_nodes(common))
    assert (finding.status, finding.advice) == ("ok", "")


# (check, what all ranks tell, what those of the second node tell instead, status, words of the finding, of the advice)
NODE_FAULTS = [
    (
        doctor.versions,
        CPU_RANK,
        {"torch": "2.12.0"},
        "problem",
        "torch 2.12.0, Python 3.12.1 at ranks 2, 3 (node1)",
        "",
    ),
    (doctor.versions, CPU_RANK, {"plaudit": "0.2.0"}, "problem", "but plaudit 0.2.0", "same versions"),
    (
        doctor.versions,
        CPU_RANK,
        {"python": "3.11.7"},
        "warning",
        "Python 3.11.7 at ranks 2, 3 (node1)",
        "same versions",
    ),
    (doctor.gpus, GPU_RANK, {"gpus": ()}, "problem", "none at node1; 2 × NVIDIA H100 (80.0 GiB, 9.0)", "see their"),
    (doctor.gpus, GPU_RANK | {"gpus": (H100,)}, {}, "problem", "1 × NVIDIA H100", "--gpus-per-node 1"),
    (doctor.gpus, GPU_RANK, {"gpus": (V100, V100)}, "warning", "2 × NVIDIA V100 (32.0 GiB, 7.0) on 1 node", "pace"),
    (doctor.gpus, GPU_RANK, {"gpus": (H100, V100)}, "warning", "1 × NVIDIA H100 (80.0 GiB, 9.0), 1 × NV", "pace"),
    (doctor.gpus, GPU_RANK | {"gpus": (H100,) * 8}, {}, "warning", "8 × NVIDIA H100", "--gpus-per-node 8"),
    (
        doctor.driver,
        CPU_RANK,
        {"driver": "580.95"},
        "warning",
        "none, 580.95, but no GPU in torch at node1",
        "for CUDA",
    ),
    (doctor.driver, GPU_RANK, {"gpus": ()}, "warning", "580.95, but no GPU in torch at node1", "CUDA_VISIBLE_DEVICES"),
    (doctor.driver, CPU_RANK, {"driver_failure": "NVML: mismatch"}, "warning", "node1: NVML: mismatch", "restart"),
    (doctor.bf16, CPU_RANK, {"has_bf16": False}, "warning", "not at node1", 'train.precision = "fp32"'),
    (doctor.cores, CPU_RANK, {"cores": 1}, "warning", "1 core for 2 ranks at node1", "--cpus-per-task"),
    (doctor.memory, CPU_RANK, {"memory_free_bytes": 3 * GIB}, "warning", "1.5 GiB a rank at node1", "2.0 GiB"),
    (doctor.memory, CPU_RANK, {"memory_free_bytes": 0}, "warning", "0.0 GiB a rank at node1", "--mem"),
    (doctor.shm, GPU_RANK, {"shm_free_bytes": 64 << 20}, "warning", "0.1 GiB at node1", "--shm-size"),
    (
        doctor.open_files,
        CPU_RANK,
        {"open_files": 256},
        "warning",
        "256 at node1",
        "4 ranks may need 560: ulimit -n 560",
    ),
    (doctor.shared_disk, CPU_RANK, {"shared_free_bytes": None}, "problem", "no /runs at node1", "mount it"),
    (doctor.shared_disk, CPU_RANK, {"shared_free_bytes": 5 * GIB}, "warning", "5.0 GiB at node1", "checkpoints"),
]


@pytest.mark.parametrize(("check", "common", "of_second", "status", "found", "advice"), NODE_FAULTS)
def test_a_node_that_is_unfit_is_found_and_told_what_to_do(check, common, of_second, status, found, advice):
    finding = check(two_nodes(common, **of_second))
    assert finding.status == status
    assert found in finding.found
    assert finding.advice
    assert advice in finding.advice


@pytest.mark.parametrize(
    ("check", "changes", "found"),
    [
        (doctor.bf16, {"has_bf16": False}, "no; training computes in fp32"),
        (doctor.memory, {"memory_free_bytes": None}, "cannot be told here"),
        (doctor.shm, {"shm_free_bytes": 64 << 20}, "0.1 GiB at node0"),  # gloo needs none
        (doctor.open_files, {"open_files": None}, "no limit"),
        (doctor.shared_disk, {"shared": None, "shared_free_bytes": None}, "not looked at"),
    ],
)
def test_what_no_rank_needs_or_can_tell_is_no_fault(check, changes, found):
    finding = check(two_nodes(CPU_RANK | changes))
    assert (finding.status, finding.found) == ("ok", found)


def test_every_check_has_a_fault_that_it_finds():
    assert {check for check, *_ in NODE_FAULTS} == set(NODE_CHECKS)
    assert {check for check, *_ in GROUP_FAULTS} == set(GROUP_CHECKS)


def test_of_many_ranks_that_differ_the_first_are_named():
    odd = [Facts.model_validate(CPU_RANK | {"rank": rank, "torch": "2.12.0"}) for rank in range(40, 60)]
    finding = doctor.versions([Facts.model_validate(CPU_RANK | {"rank": rank}) for rank in range(40)] + odd)
    assert "at ranks 40, 41, 42, 43, 44, 45, 46, 47 and 12 more (node0)" in finding.found


# What ranks tell of themselves.


@pytest.fixture
def no_driver(monkeypatch, tmp_path):
    """A folder that is the only one where programs are looked for."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    return programs


def install_nvidia_smi(programs, script):
    (programs / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "nvidia-smi").chmod(0o755)


def test_a_rank_tells_where_it_is_and_what_it_has(monkeypatch, tmp_path, no_driver):
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "GROUP_RANK": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    facts = probe(tmp_path, version="0.1.0")
    assert (facts.rank, facts.size, facts.node, facts.ranks_of_node) == (5, 8, 2, 2)
    assert (facts.host, facts.torch, facts.plaudit) == (socket.gethostname(), torch.__version__, "0.1.0")
    assert (facts.driver, facts.driver_failure) == (None, None)
    assert facts.cores == len(os.sched_getaffinity(0))
    assert facts.shared == str(tmp_path)
    assert facts.shared_free_bytes > 0
    assert Facts.model_validate_json(facts.model_dump_json()) == facts


def test_a_process_alone_is_the_only_rank(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "GROUP_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    facts = probe(None, version="0.1.0")
    assert (facts.rank, facts.size, facts.node, facts.ranks_of_node) == (0, 1, 0, 1)
    assert (facts.shared, facts.shared_free_bytes) == (None, None)


def test_a_shared_folder_that_is_not_there_has_no_room_that_could_be_told(tmp_path):
    assert probe(tmp_path / "missing", version="0.1.0").shared_free_bytes is None


def test_a_rank_with_gpus_names_them(monkeypatch, no_driver):
    install_nvidia_smi(no_driver, "echo 580.95.05; echo 580.95.05")
    properties = SimpleNamespace(name="NVIDIA H100", total_memory=80 * GIB, major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    facts = probe(None, version="0.1.0")
    assert facts.gpus == (H100, H100)
    assert (facts.driver, facts.driver_failure, facts.has_bf16) == ("580.95.05", None, True)


@pytest.mark.parametrize(
    ("script", "failure"),
    [("echo 'Failed to initialize NVML'; exit 18", "Failed to initialize NVML"), ("exit 9", "status 9")],
)
def test_a_driver_that_fails_is_told_from_none(no_driver, script, failure):
    install_nvidia_smi(no_driver, script)
    facts = probe(None, version="0.1.0")
    assert (facts.driver, facts.driver_failure) == (None, failure)


def machine(root, *, cgroup, limits):
    """Make the files of a machine with 8 GiB free, and of control groups: {path: (limit, bytes in use)}."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable: {8 << 20} kB\n")
    (root / "proc/self/cgroup").write_text(cgroup)
    for path, (limit, in_use) in limits.items():
        folder = root / "sys/fs/cgroup" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{in_use}\n")
    return root


@pytest.mark.parametrize(
    ("cgroup", "limits", "free"),
    [
        ("0::/\n", {}, 8 * GIB),
        ("0::/\n", {".": (5 * GIB, GIB)}, 4 * GIB),
        ("0::/job/step\n", {"job": (3 * GIB, GIB), "job/step": ("max", GIB)}, 2 * GIB),
        ("0::/job/step\n", {"job": (30 * GIB, GIB), "other": (GIB, 0)}, 8 * GIB),
        ("12:memory:/old\n0::/job\n", {"job": (2 * GIB, GIB)}, GIB),
    ],
)
def test_free_memory_is_what_the_machine_and_all_control_groups_leave(tmp_path, cgroup, limits, free):
    assert memory_free_bytes(machine(tmp_path, cgroup=cgroup, limits=limits)) == free


def test_a_machine_without_proc_does_not_tell_its_memory(tmp_path):
    assert memory_free_bytes(tmp_path) is None


# What ranks tell together.


@pytest.mark.parametrize("check", GROUP_CHECKS, ids=lambda check: check.__name__)
def test_ranks_that_work_well_together_are_ok_and_need_no_advice(check):
    links = {(1, 2): 0.2, (3, 0): 0.2}
    finding = check(two_nodes(CPU_RANK), measured_by(told={"link_seconds": links}))
    assert (finding.status, finding.advice) == ("ok", "")


ONE_OF_THREE_LINKS_IS_SLOW = {"link_seconds": {(1, 2): 0.01, (3, 0): 0.1, (0, 1): 0.01}}
# (check, what the last rank tells otherwise, other figures, status, words of the finding, of the advice)
GROUP_FAULTS = [
    (doctor_group.network, {"interface": "lo"}, {}, "problem", "loopback at rank 3 (node1)", "GLOO_SOCKET_IFNAME"),
    (doctor_group.round_trip, {}, {"round_trip_s": 6e-3}, "warning", "6,000 µs", "core of its own"),
    (doctor_group.bandwidth, {}, {"all_reduce_s": 1.0}, "warning", "96 MB/s from each rank, 1.0 s to add up", "top-k"),
    (doctor_group.links, {"link_seconds": {(3, 0): 1.0}}, {}, "warning", "64 MB/s from rank 3 (node1) to", "top-k"),
    (doctor_group.links, ONE_OF_THREE_LINKS_IS_SLOW, {}, "warning", "640 MB/s from rank 3", "others carry 6,400 MB/s"),
    (doctor_group.clocks, {}, {"clock_offset_s": {2: 1.5}}, "warning", "node1 is 1.5 s ahead of node0", "NTP"),
    (doctor_group.clocks, {}, {"clock_offset_s": {2: -60}}, "warning", "node1 is 60.0 s behind node0", "NTP"),
    (doctor_group.shared_storage, {"sees_token": False}, {}, "problem", "rank 3 (node1) cannot read", "mount"),
    (
        doctor_group.shared_storage,
        {},
        {"write_s": None, "write_failure": "no"},
        "problem",
        "write to /runs: no",
        "room",
    ),
    (doctor_group.shared_storage, {}, {"write_s": 4.0}, "warning", "16 MB on disk in 4.0 s", "checkpoint_every_steps"),
    (doctor_group.byte_count, {"counted_bytes": 0}, {}, "warning", "0 MB counted where a rank sent 96 MB", "counted"),
]


@pytest.mark.parametrize(("check", "told", "changes", "status", "found", "advice"), GROUP_FAULTS)
def test_what_hampers_ranks_is_found_and_told_what_to_do(check, told, changes, status, found, advice):
    finding = check(two_nodes(CPU_RANK), measured_by(told=told, **changes))
    assert finding.status == status
    assert found in finding.found
    assert advice in finding.advice


def test_the_loopback_is_no_fault_on_one_host():
    ranks = two_nodes(CPU_RANK, host="node0")
    assert doctor_group.network(ranks, measured_by(told={"interface": "lo"})).status == "ok"


def test_gpus_of_one_node_need_not_be_counted_on_the_wire():
    finding = doctor_group.byte_count(two_nodes(GPU_RANK), measured_by(backend="NCCL", told={"counted_bytes": 0}))
    assert finding.status == "ok"


def test_gpus_talk_by_nccl(monkeypatch):
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "ib0")
    finding = doctor_group.network(two_nodes(GPU_RANK), measured_by(backend="NCCL"))
    assert finding == Finding("network", "NCCL by ib0, gloo by eth0")


@pytest.mark.parametrize("check", GROUP_CHECKS, ids=lambda check: check.__name__)
def test_a_lone_rank_has_no_fault(check):
    alone = [Facts.model_validate(CPU_RANK | {"size": 1, "ranks_of_node": 1, "shared": None})]
    measured = measured_by(1, clock_offset_s={}, write_s=None, told={"counted_bytes": 0, "sees_token": None})
    assert check(alone, measured).status == "ok"


@pytest.mark.parametrize(
    ("nodes", "pairs"),
    [
        ([0], []),
        ([0, 0, 0], []),
        ([0, 1], [(0, 1)]),
        ([0, 0, 1, 1], [(1, 2)]),
        ([0, 0, 1, 1, 2, 2], [(1, 2), (3, 4), (5, 0)]),
    ],
)
def test_links_are_those_between_neighbours_on_different_nodes(nodes, pairs):
    assert neighbours(nodes) == pairs


def small_messages():
    doctor_measure.MESSAGE_BYTES = doctor_measure.WRITE_BYTES = 400_000
    doctor_measure._NUM_ROUND_TRIPS = 10
    doctor_measure._SHARED_PATIENCE_S = 0.3


def measure_on_nodes_of_their_own(group, shared, clock_ahead_s=0.0):
    """Measure as if each rank were on a node of its own; let the last one's clock be ahead."""
    small_messages()
    now = time.time
    if group.rank == group.size - 1:
        doctor_measure.time.time = lambda: now() + clock_ahead_s
    return doctor_measure.measure(group, node=group.rank, shared=shared[group.rank])


def test_ranks_measure_messages_clocks_and_storage(tmp_path):
    first, *others = in_ranks(measure_on_nodes_of_their_own, [tmp_path] * 3, 100.0, size=3)
    assert others == [None, None]
    assert first.backend == "gloo"
    assert first.round_trip_s > 0
    assert first.all_reduce_s > 0
    assert {link for link, seconds in first.link_seconds.items() if seconds > 0} == {(0, 1), (1, 2), (2, 0)}
    assert first.clock_offset_s == {1: pytest.approx(0, abs=0.5), 2: pytest.approx(100, abs=0.5)}
    assert first.write_s > 0
    assert [(told.interface, told.sees_token) for told in first.ranks] == [("lo", True)] * 3
    if sys.platform.startswith("linux"):
        assert all(told.counted_bytes >= 400_000 * 4 / 3 for told in first.ranks)
    assert list(tmp_path.iterdir()) == []


def test_a_rank_that_sees_another_folder_is_found(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    first, _ = in_ranks(measure_on_nodes_of_their_own, [tmp_path, elsewhere])
    assert [told.sees_token for told in first.ranks] == [True, False]


def test_a_folder_that_cannot_be_written_to_is_told_with_the_reason(tmp_path):
    first, _ = in_ranks(measure_on_nodes_of_their_own, [tmp_path / "missing", tmp_path])
    assert (first.write_s, first.write_failure) == (None, "No such file or directory")
    assert [told.sees_token for told in first.ranks] == [None, None]


# Who comes, and who stays.


def test_ranks_that_all_came_and_stayed_are_ok():
    finding = joining(Meeting(tuple(two_nodes(CPU_RANK)), 0.25, "node0:29500"))
    assert finding == Finding("ranks", "4 on 2 nodes, all there in 0.2 s")


@pytest.mark.parametrize(("came", "named"), [([0, 1, 3], "but not rank 2"), ([0], "but not ranks 1, 2, 3")])
def test_ranks_that_did_not_come_are_named(came, named):
    ranks = tuple(facts for facts in two_nodes(CPU_RANK) if facts.rank in came)
    finding = joining(Meeting(ranks, 60.0, "node0:29500"))
    assert finding.status == "problem"
    assert f"{len(came)} of 4 came in 60.0 s, {named}" in finding.found
    assert "node0:29500" in finding.advice


def test_without_figures_what_nodes_tell_is_judged_alone():
    meeting = Meeting(tuple(two_nodes(CPU_RANK)), 0.25, "node0:29500", "rank 3 did not answer")
    findings = judge(meeting, None)
    assert (findings[0].found, findings[0].status) == ("rank 3 did not answer", "problem")
    assert len(findings) == 1 + len(NODE_CHECKS)
    assert len(judge(meeting, measured_by())) == 1 + len(NODE_CHECKS) + len(GROUP_CHECKS)


@pytest.mark.parametrize(
    ("ranks", "may"),
    [
        (two_nodes(CPU_RANK), True),
        (two_nodes(GPU_RANK), True),
        (two_nodes(CPU_RANK)[:3], False),
        (two_nodes(GPU_RANK, gpus=()), False),
        (two_nodes(GPU_RANK, gpus=(H100,)), False),
        (two_nodes(CPU_RANK, plaudit="0.2.0"), False),
    ],
    ids=["all", "all with GPUs", "one missing", "some without GPUs", "too few GPUs", "other version"],
)
def test_ranks_that_could_not_talk_to_each_other_do_not_try(ranks, may):
    assert may_join(Meeting(tuple(ranks), 1.0, "node0:29500")) is may


@pytest.fixture
def store():
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def test_a_rank_of_another_version_is_named_though_it_tells_less_and_more(store):
    first = Facts.model_validate(CPU_RANK | {"size": 2})
    told = CPU_RANK | {"rank": 1, "size": 2, "host": "node1", "plaudit": "0.2.0", "colour": "red"}
    del told["cores"]
    store.set("doctor/rank/1", json.dumps(told))
    meeting = call_ranks(store, first, place="node0:29500", timeout_s=5)
    assert [facts.rank for facts in meeting.ranks] == [0, 1]
    assert "but plaudit 0.2.0, torch 2.13.0, Python 3.12.1 at rank 1 (node1)" in judge(meeting, None)[1].found


def test_the_call_of_ranks_ends_when_time_is_up(store):
    meeting = call_ranks(store, Facts.model_validate(CPU_RANK), place="node0:29500", timeout_s=0.1)
    assert (meeting.missing, len(meeting.ranks)) == ([1, 2, 3], 1)
    assert meeting.seconds >= 0.1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def be_a_part(rank, size, port, folder, sabotage):
    """Take part in an examination, as a process of `plaudit doctor` does."""
    small_messages()
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), GROUP_RANK=str(rank), OMP_NUM_THREADS="1")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), PLAUDIT_PEER_TIMEOUT="2")
    if sabotage is not None:
        doctor_run.measure = sabotage
    sys.exit(doctor_run.take_part(None, folder, version="0.1.0"))


def examined(folder, ranks, *, size=2, sabotaged=None, sabotage=None):
    """Return {rank: (exit status, what it left)} of those of an examination's ranks that end by themselves."""
    port = free_port()
    processes = {}
    for rank in ranks:
        arguments = (rank, size, port, folder, sabotage if rank == sabotaged else None)
        processes[rank] = FORKS.Process(target=be_a_part, args=arguments)
        processes[rank].start()
    try:
        found = {}
        for rank, process in processes.items():
            if rank == sabotaged:
                continue
            process.join(60)
            left = json.loads((folder / f"{rank:06}.json").read_text())
            findings = tuple(Finding(**finding) for finding in left["findings"])
            found[rank] = process.exitcode, Examination(findings, left["has_problem"])
        return found
    finally:
        for process in processes.values():
            process.kill()
            process.join()


def test_the_first_of_the_ranks_finds_what_there_is(tmp_path):
    found = examined(tmp_path, [0, 1])
    status, examination = found[0]
    assert status == 0
    assert not examination.has_problem
    assert len(examination.findings) == 1 + len(NODE_CHECKS) + len(GROUP_CHECKS)
    assert examination.findings[0].found.startswith("2 on 2 nodes")
    assert found[1] == (0, Examination((), has_problem=False))


def test_a_rank_that_never_comes_is_named_by_the_first(tmp_path):
    status, examination = examined(tmp_path, [0])[0]
    assert (status, examination.has_problem) == (1, True)
    assert "1 of 2 came in 2.0 s, but not rank 1" in examination.findings[0].found


def test_a_first_rank_that_never_comes_is_missed_by_the_others(tmp_path):
    status, examination = examined(tmp_path, [1])[1]
    assert (status, examination.has_problem) == (1, True)
    (finding,) = examination.findings
    assert finding.status == "problem"
    assert finding.found.startswith("rank 1 (") and "gets no answer from the first one, at 127.0.0.1:" in finding.found


def stop_here(group, **_):
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.slow
def test_a_rank_that_stops_while_others_measure_is_named(tmp_path):
    status, examination = examined(tmp_path, [0, 1, 2], size=3, sabotaged=1, sabotage=stop_here)[0]
    assert (status, examination.has_problem) == (1, True)
    assert examination.findings[0].status == "problem"
    assert examination.findings[0].found.startswith("rank 1 did not answer")
    assert len(examination.findings) == 1 + len(NODE_CHECKS)


def test_nodes_that_come_are_counted_at_the_rendezvous():
    cluster = Cluster(nodes=2, rendezvous=f"localhost:{free_port()}", timeout_s=10)
    found = []
    threads = [threading.Thread(target=lambda: found.append(call_nodes(cluster))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [finding.status for _, finding in found] == ["ok", "ok"]
    assert all(store is not None for store, _ in found)


def test_a_node_that_does_not_come_is_a_problem():
    _, finding = call_nodes(Cluster(nodes=2, rendezvous=f"localhost:{free_port()}", timeout_s=0.2))
    assert finding.status == "problem"
    assert f"1 of 2 came to localhost:{finding.advice.rpartition(':')[2]}: {socket.gethostname()}" in finding.found


def test_a_rendezvous_where_another_program_listens_is_a_problem():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        store, finding = call_nodes(Cluster(nodes=2, rendezvous=f"localhost:{port}", timeout_s=1))
    assert store is None
    assert finding.status == "problem"
    assert finding.found == f"nobody answers at localhost:{port} for 1 s"


@pytest.mark.parametrize(("num_gpus", "nodes", "ranks"), [(0, 1, 2), (0, 2, 1), (1, 1, 1), (8, 1, 8), (8, 2, 8)])
def test_there_is_a_rank_for_each_gpu_and_on_one_node_someone_to_talk_to(monkeypatch, num_gpus, nodes, ranks):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    assert ranks_by_default(nodes) == ranks


def test_a_rank_that_dies_before_it_can_tell_anything_is_a_problem(monkeypatch):
    def start_ranks(*_, **__):
        raise TrainingError(
            "rank 1 (process 7 of this node) was ended by SIGKILL, more often than --max-restarts allows"
        )

    monkeypatch.setattr(doctor_run, "start_ranks", start_ranks)
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "5")
    examination = examine(Cluster(), ["doctor"])
    assert examination.has_problem
    (finding,) = examination.findings
    assert (finding.status, finding.found) == ("problem", "rank 1 (process 7 of this node) was ended by SIGKILL")


# The command.


def test_the_table_shows_every_finding_as_it_is():
    console = Console(width=120, record=True, file=io.StringIO())
    findings = [Finding("one", "[red]odd"), Finding("two", "2", "warning", "do"), Finding("three", "3", "problem")]
    render(findings, console)
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["one", "[red]odd", "ok"] in lines
    assert ["two", "2", "warning", "do"] in lines
    assert ["three", "3", "problem"] in lines


def test_a_problem_is_told_as_json_and_by_the_exit_status(monkeypatch, capsys):
    monkeypatch.setenv("TORCH_CPP_LOG_LEVEL", "FATAL")
    place = f"localhost:{free_port()}"
    command = ["plaudit", "doctor", "--nodes", "2", "--rendezvous", place, "--timeout", "1", "--json"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["name"] == "nodes"
    assert finding["status"] == "problem"


def test_nodes_without_a_rendezvous_are_refused(monkeypatch, capsys):
    monkeypatch.setenv("TORCH_CPP_LOG_LEVEL", "FATAL")
    monkeypatch.setattr(sys, "argv", ["plaudit", "doctor", "--nodes", "2"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "give --rendezvous HOST:PORT" in capsys.readouterr().err


def doctor_process(*options):
    command = [sys.executable, "-m", "plaudit", "doctor", "--json", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.slow
def test_two_ranks_of_this_machine_are_examined(tmp_path):
    done = doctor_process("--shared", str(tmp_path), "--timeout", "60")
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert done.returncode == 0, done.stdout
    assert len(findings) == 1 + len(NODE_CHECKS) + len(GROUP_CHECKS)
    assert findings["ranks"]["found"].startswith("2 on 1 node")
    assert findings["shared storage"]["found"].startswith("all read what one wrote")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_shared_folder_that_is_missing_ends_the_command_with_status_one(tmp_path):
    done = doctor_process("--shared", str(tmp_path / "missing"), "--gpus-per-node", "1")
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert done.returncode == 1, done.stderr
    problems = {name for name, finding in findings.items() if finding["status"] == "problem"}
    assert problems == {"disk of --shared", "shared storage"}
