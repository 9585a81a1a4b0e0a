import json
import os
import socket
import subprocess
import sys
import threading

import pytest
import torch
from torch.distributed import HashStore

from plaudit.cli.main import main
from plaudit.distributed import doctor
from plaudit.distributed.doctor import (
    CHECKS,
    Facts,
    Finding,
    check_free_memory,
    check_shared_folder,
    default_ranks,
    meet,
)
from plaudit.distributed.launch import Cluster
from plaudit.errors import OutputError, SettingsError, TrainingError, TrainingInterruptedError
from plaudit.threads import num_cores
from tests.distributed.conftest import in_ranks

GIB = 1 << 30
CPU_NODE = {
    "host": "node0",
    "plaudit": "0.1.0",
    "torch": "2.13.0",
    "python": "3.12.1",
    "ranks": 2,
    "cores": 16,
    "shm_bytes": 32 * GIB,
}
GPU_NODE = CPU_NODE | {"gpus": ("NVIDIA H100", "NVIDIA H100"), "has_driver": True}


def two_nodes(common, **of_second):
    return [Facts.model_validate(common), Facts.model_validate(common | {"host": "node1"} | of_second)]


# What nodes know of themselves.


@pytest.mark.parametrize("common", [CPU_NODE, GPU_NODE], ids=["CPUs", "GPUs"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_nodes_that_are_fit_are_ok_and_need_no_advice(check, common):
    finding = check(two_nodes(common))
    assert (finding.status, finding.advice) == ("ok", "")


# (check, facts of both nodes, those of the second that differ, status, words of the finding, of the advice)
FAULTS = [
    (doctor.versions, CPU_NODE, {"torch": "2.12.0"}, "problem", "torch 2.12.0, Python 3.12.1 on node1", "same"),
    (doctor.versions, CPU_NODE, {"plaudit": "0.2.0"}, "problem", "plaudit 0.2.0", "same"),
    (doctor.versions, CPU_NODE, {"python": "3.11.7"}, "warning", "Python 3.11.7 on node1", "same"),
    (doctor.devices, GPU_NODE, {"gpus": ()}, "problem", "no GPU on node1, but on others", "leave these nodes out"),
    (
        doctor.devices,
        GPU_NODE,
        {"gpus": ("NVIDIA H100",)},
        "problem",
        "GPUs 1 (NVIDIA H100)",
        "--gpus-per-node 1",
    ),
    (doctor.devices, CPU_NODE, {"has_driver": True}, "warning", "no GPU on node1, but NVIDIA's driver", "for CUDA"),
    (doctor.devices, CPU_NODE, {"cores": 1}, "warning", "on node1: ranks 2, cores 1, no GPUs", "--cpus-per-task"),
    (doctor.shared_memory, GPU_NODE, {"shm_bytes": 64 << 20}, "warning", "0.1 GiB free on node1", "--shm-size"),
]


@pytest.mark.parametrize(("check", "common", "of_second", "status", "found", "advice"), FAULTS)
def test_a_node_that_is_unfit_is_found_with_advice(check, common, of_second, status, found, advice):
    finding = check(two_nodes(common, **of_second))
    assert finding.status == status
    assert found in finding.found
    assert advice in finding.advice


@pytest.mark.parametrize("shm_bytes", [None, 64 << 20])
def test_shared_memory_is_no_fault_where_no_rank_needs_it(shm_bytes):
    assert doctor.shared_memory(two_nodes(CPU_NODE, shm_bytes=shm_bytes)).status == "ok"


def test_of_many_nodes_that_differ_the_first_are_named():
    odd = [Facts.model_validate(CPU_NODE | {"host": f"node{number}", "torch": "2.12.0"}) for number in range(40, 60)]
    found = doctor.versions([Facts.model_validate(CPU_NODE), *odd]).found
    assert found.endswith("on node40, node41, node42, node43, node44, node45, node46, node47 and 12 more")


def test_a_node_knows_its_versions_and_what_it_has(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    facts = doctor.probe(3, "0.1.0")
    assert (facts.host, facts.torch, facts.ranks) == (socket.gethostname(), torch.__version__, 3)
    assert (facts.cores, facts.gpus, facts.has_driver) == (num_cores(), (), False)
    (tmp_path / "nvidia-smi").touch(mode=0o755)
    assert doctor.probe(3, "0.1.0").has_driver
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on macOS
    assert doctor.probe(3, "0.1.0").cores == num_cores()


@pytest.mark.parametrize(("num_gpus", "nodes", "ranks"), [(0, 1, 2), (0, 2, 1), (1, 1, 1), (8, 1, 8), (8, 2, 8)])
def test_there_is_a_rank_per_gpu_and_on_one_node_someone_to_talk_to(monkeypatch, num_gpus, nodes, ranks):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    assert default_ranks(nodes) == ranks


def test_a_gpu_that_another_program_uses_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (70 * GIB, 80 * GIB))
    check_free_memory(torch.device("cuda", 1))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10 * GIB, 80 * GIB))
    with pytest.raises(SettingsError, match=r"GPU 1 of .*: 10.0 of 80.0 GiB are free; end what else uses it"):
        check_free_memory(torch.device("cuda", 1))


# How nodes meet.


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_one_node_has_nobody_to_meet():
    facts = Facts(host="node0")
    store, finding, nodes = meet(Cluster(), facts)
    assert isinstance(store, HashStore)
    assert (finding.status, nodes) == ("ok", [facts])


def test_nodes_tell_each_other_what_they_know_though_their_versions_differ(monkeypatch):
    cluster = Cluster(nodes=2, rendezvous=f"localhost:{free_port()}", timeout_s=60)
    other = {**CPU_NODE, "host": "node1", "plaudit": "0.2.0", "colour": "red"}
    del other["cores"]
    sent = {"node0": CPU_NODE, "node1": other}
    monkeypatch.setattr(Facts, "model_dump_json", lambda facts: json.dumps(sent[facts.host]))
    found = []
    first = threading.Thread(target=lambda: found.append(meet(cluster, Facts.model_validate(CPU_NODE))))
    first.start()
    found.append(meet(cluster, Facts(host="node1")))
    first.join(60)
    for _, finding, nodes in found:
        assert finding.status == "ok"
        assert sorted(node.host for node in nodes) == ["node0", "node1"]
        assert doctor.versions(nodes).status == "problem"


def test_a_node_that_does_not_come_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor, "_wait_for_count", lambda store, key, count, seconds: store.add(key, 0))
    place = f"localhost:{free_port()}"
    _, finding, nodes = meet(Cluster(nodes=2, rendezvous=place), Facts(host="node0"))
    assert (finding.status, len(nodes)) == ("problem", 1)
    assert f"1 of 2 came to {place}: node0" in finding.found


def test_a_rendezvous_where_another_program_listens_is_a_problem():
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"localhost:{server.getsockname()[1]}"
        store, finding, _ = meet(Cluster(nodes=2, rendezvous=place, timeout_s=0.2), Facts())
    assert store is None
    assert (finding.status, finding.found) == ("problem", f"no answer from {place} for 0.2 s")


# What ranks try together.


def look_into(world, folders):
    doctor._SHARED_PATIENCE_S = 0.2
    check_shared_folder(world, folders[world.rank])


def test_a_folder_that_all_ranks_see_is_left_as_it_was(tmp_path):
    assert in_ranks(look_into, [tmp_path] * 2) == [None, None]
    assert list(tmp_path.iterdir()) == []


def test_a_rank_that_sees_another_folder_says_so(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (second,) = in_ranks(look_into, [tmp_path, elsewhere], lost=[0])
    assert isinstance(second, SettingsError)
    assert str(second).startswith(f"{elsewhere}: {socket.gethostname()} does not see the files of other nodes; mount ")


def test_a_folder_that_cannot_be_written_to_is_refused_with_the_reason(tmp_path):
    (first,) = in_ranks(look_into, [tmp_path / "missing"] * 2, lost=[1])
    assert isinstance(first, OutputError)
    assert str(first).startswith(f"{tmp_path / 'missing'}: not writable: No such file or directory; ")


def try_ranks_that_end_with(monkeypatch, error):
    def start_ranks(*_, **__):
        raise error

    monkeypatch.setattr(doctor, "start_ranks", start_ranks)
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "5")
    return doctor.try_ranks(Cluster(), None)


def test_ranks_that_fail_are_a_problem_with_the_reason(monkeypatch):
    reason = "rank 1 (process 7 of this node) was ended by SIGKILL"
    finding = try_ranks_that_end_with(monkeypatch, TrainingError(f"{reason}, more often than --max-restarts allows"))
    assert (finding.status, finding.found) == ("problem", reason)


def test_ranks_that_are_stopped_have_nothing_to_resume(monkeypatch):
    with pytest.raises(TrainingInterruptedError, match=r"^stopped by SIGINT$"):
        try_ranks_that_end_with(monkeypatch, TrainingInterruptedError("stopped by SIGINT; continue with --resume"))


def test_ranks_are_not_started_where_a_check_finds_a_problem(monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", (lambda nodes: Finding("odd", "it is", "problem"),))
    monkeypatch.setattr(doctor, "start_ranks", None)
    assert [finding.name for finding in doctor.examine(Cluster(), None, version="0.1.0")] == ["nodes", "odd"]


# The command.


def run_main(monkeypatch, *options):
    monkeypatch.setenv("TORCH_CPP_LOG_LEVEL", "FATAL")
    monkeypatch.setattr(sys, "argv", ["plaudit", "doctor", *options])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


def test_a_problem_is_shown_as_json_and_by_the_exit_status(monkeypatch, capsys):
    findings = [Finding("nodes", "node0"), Finding("ranks", "they [red]failed", "problem", "see why")]
    monkeypatch.setattr(doctor, "examine", lambda cluster, shared, version: findings)
    assert run_main(monkeypatch, "--json") == 1
    assert json.loads(capsys.readouterr().out)["findings"][1] == {
        "name": "ranks",
        "found": "they [red]failed",
        "status": "problem",
        "advice": "see why",
    }
    assert run_main(monkeypatch) == 1
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["ranks", "they", "[red]failed", "problem", "see", "why"] in shown


def test_nodes_without_a_rendezvous_are_refused(monkeypatch, capsys):
    assert run_main(monkeypatch, "--nodes", "2") == 2
    assert "give --rendezvous HOST:PORT" in capsys.readouterr().err


@pytest.mark.slow
def test_two_ranks_of_this_machine_are_examined(tmp_path):
    shared = tmp_path / "shared"
    command = [sys.executable, "-m", "plaudit", "doctor", "--json", "--gpus-per-node", "2", "--shared", shared]
    for status in (1, 0):
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
        findings = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
        assert done.returncode == status, done.stdout + done.stderr
        if status:
            assert findings["ranks"]["found"] == f"{shared}: not writable: No such file or directory"
            assert findings["ranks"]["advice"] == "create it, and share it with all nodes"
            shared.mkdir()
    assert findings["ranks"]["found"] == f"2 exchanged a message, and all see {shared}"
    assert list(shared.iterdir()) == []
