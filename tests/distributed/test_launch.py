"""`plaudit launch` as it is used: a launcher and two ranks, all processes, and signals that really come."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file
from torch.distributed import TCPStore

from plaudit.distributed import launch as launching
from plaudit.distributed.launch import Cluster, reach, start_ranks
from plaudit.errors import SettingsError
from plaudit.pipeline import run as runs
from plaudit.pipeline.recipe import read_recipe
from plaudit.train.checkpoint import load_checkpoint
from tests.conftest import toy_csv

BOW = """
[models.bow]
kind = "bow"
min_count = 2
slot_bits = 16
"""
# The bias of attention, which changes nothing, would learn from rounding errors alone: max pooling.
LSTM = """
[models.lstm]
kind = "lstm"
min_count = 1
embedding_size = 8
hidden_size = 8
pooling = ["max"]
embedding_dropout = 0
output_dropout = 0

[models.lstm.train]
epochs = 4
max_learning_rate = 0.01
batch_tokens = 256
precision = "fp32"
log_every_steps = 1
checkpoint_every_steps = 1_000_000
"""
LONG = ("--set", "models.lstm.train.epochs=10")
OFTEN = ("--set", "models.lstm.train.checkpoint_every_steps=10")
NUM_STEPS = 10 * 16
SECONDS = 180


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with recipes for the toy reviews: one of both kinds, one of the LSTM alone."""
    folder = tmp_path_factory.mktemp("launch")
    data = f"[data]\nname = {json.dumps(str(toy_csv(folder / 'reviews.csv', 300)))}\n"
    (folder / "both.toml").write_text(data + BOW + LSTM)
    (folder / "lstm.toml").write_text(data + LSTM)
    return folder


@pytest.fixture(scope="module")
def launch():
    """Return a function that launches two ranks on one thread each; those that still run in the end are killed."""
    launchers = []

    def start(recipe, out, *options, shutdown_timeout_s="120"):
        command = [sys.executable, "-m", "plaudit", "launch", recipe, "--out", out, "--gpus-per-node", "2", *options]
        # A rank that is stopped by SIGSTOP does not hear SIGTERM either, and is waited for so long.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": shutdown_timeout_s}
        launcher = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        launchers.append((launcher, out))
        return launcher

    yield start
    for launcher, out in launchers:
        for pid in processes_of(out):
            os.kill(pid, signal.SIGKILL)
        launcher.communicate()


@pytest.fixture(scope="module")
def undisturbed(launch, folder):
    """The weights that the long recipe of the LSTM ends with when nothing happens to its two ranks."""
    out = folder / "undisturbed"
    status, told = finish(launch(folder / "lstm.toml", out, *LONG), out)
    assert status == 0, told
    return weights_of(out)


def finish(launcher, out):
    """Return the exit status of a launcher and what it and the first rank told; see that no process is left."""
    _, told = launcher.communicate(timeout=SECONDS)
    assert processes_of(out) == []
    return launcher.returncode, told


def processes_of(out):
    """Return the numbers of the processes that were given this folder."""
    numbers = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if f"\0{out}\0" in (process / "cmdline").read_text(errors="replace"):
                numbers.append(int(process.name))
    return numbers


def ranks_of(out):
    """Return the numbers of the processes that train there, by rank."""
    ranks = {}
    for pid in processes_of(out):
        found = re.search(r"\0RANK=(\d+)\0", Path(f"/proc/{pid}/environ").read_text(errors="replace"))
        if found:
            ranks[int(found[1])] = pid
    return ranks


def num_steps(out):
    path = out / "training" / "lstm" / "metrics.jsonl"
    return path.read_bytes().count(b'"event": "step"') if path.exists() else 0


def wait_for_step(launcher, out, step):
    deadline = time.monotonic() + SECONDS
    while num_steps(out) < step:
        assert launcher.poll() is None, launcher.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def weights_of(out):
    return (out / "models" / "lstm" / "weights.safetensors").read_bytes()


def test_what_a_launcher_leaves_before_anything_is_trained_begins_no_run(folder, tmp_path):
    recipe = read_recipe(folder / "lstm.toml")
    (tmp_path / "ranks").mkdir()
    assert runs.has_begun(recipe, tmp_path, resume=False) is False
    (tmp_path / "notes").write_text("")
    with pytest.raises(SettingsError, match="is not empty and holds no run"):
        runs.has_begun(recipe, tmp_path, resume=True)


def test_ranks_share_the_work_of_networks_and_leave_other_models_to_the_first(folder):
    network = "\nmin_count = 1\ntrain = { epochs = 1, max_learning_rate = 0.1 }\n"
    more = f"""
[models.words]
kind = "lstm"
pretrain = {{ epochs = 1, max_learning_rate = 0.1 }}
[models.student]
kind = "lstm"{network}distill.teachers = ["bow"]
[models.small]
from = "lstm"
prune.ratio = 0.5
[models.both]
kind = "ensemble"
members = ["bow", "lstm"]
"""
    (folder / "more.toml").write_text((folder / "both.toml").read_text() + more)
    models = read_recipe(folder / "more.toml").models
    assert [name for name in models if not runs._shares_work(models[name])] == ["bow", "both"]


def at(server):
    return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_rendezvous_is_a_free_port_of_this_node_or_where_an_agent_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = at(server)
    reach(free, 0.2)
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    reach(f"127.0.0.1:{store.port}", 10)


def hang_up(server):
    with suppress(OSError):  # the server was closed
        while True:
            server.accept()[0].close()


@pytest.mark.parametrize("answers", [False, True], ids=["silent", "hangs up"])
def test_a_port_that_another_program_has_is_named_in_time(answers):
    with socket.create_server(("127.0.0.1", 0)) as server:
        if answers:
            threading.Thread(target=hang_up, args=(server,), daemon=True).start()
        cluster = Cluster(rendezvous=at(server), timeout_s=0.3)
        with pytest.raises(SettingsError, match=f"{at(server)}: another program has this port; choose a free one"):
            start_ranks(cluster, ["train"], log_dir=Path("never made"), run_id="never")


def test_another_node_that_does_not_answer_is_named_in_time(monkeypatch):
    monkeypatch.setattr(launching, "is_here", lambda host: False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = at(server)
    with pytest.raises(SettingsError, match=f"{free}: no answer in 0.3 s; start plaudit launch on 127.0.0.1 too"):
        start_ranks(Cluster(nodes=2, rendezvous=free, timeout_s=0.3), [], log_dir=Path("never made"), run_id="never")


@pytest.mark.slow
def test_two_ranks_make_once_what_one_process_makes(launch, folder, tmp_path):
    status, told = finish(launch(folder / "both.toml", tmp_path / "two"), tmp_path / "two")
    assert status == 0, told
    assert "score the models: plaudit run " in told
    runs.train(read_recipe(folder / "both.toml"), tmp_path / "one", resume=False, console=Console(quiet=True))
    one, two = (load_file(tmp_path / name / "models" / "lstm" / "weights.safetensors") for name in ("one", "two"))
    for name in one:  # sums of gradients differ in their last bits
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-5, err_msg=name)
    bows = [(tmp_path / name / "models" / "bow" / "weights.safetensors").read_bytes() for name in ("one", "two")]
    assert bows[0] == bows[1]
    assert told.count("bow: ") == 1
    assert num_steps(tmp_path / "two") == num_steps(tmp_path / "one") == 4 * 16
    (of_the_second,) = (tmp_path / "two" / "ranks").glob("*/*/attempt_0/1/stderr.log")
    assert of_the_second.read_text() == ""
    assert not list((tmp_path / "two").rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_whose_rank_is_killed_ends_with_the_same_bits(launch, folder, tmp_path, undisturbed, rank):
    out = tmp_path / "run"
    launcher = launch(folder / "lstm.toml", out, *LONG, *OFTEN)
    # Any step will do: unseeded on purpose, and shown if it fails.
    step = random.Random().randrange(1, NUM_STEPS // 2)
    wait_for_step(launcher, out, step)
    os.kill(ranks_of(out)[rank], signal.SIGKILL)
    status, told = finish(launcher, out)
    assert status == 0, told
    assert list((out / "ranks").glob("*/*/attempt_1")), "it was not started again"
    assert weights_of(out) == undisturbed, f"killed after step {step}"
    assert num_steps(out) == NUM_STEPS


@pytest.mark.slow
def test_a_run_that_is_stopped_again_and_again_ends_with_the_same_bits(launch, folder, tmp_path, undisturbed):
    out = tmp_path / "run"
    # The last as Slurm does without cgroups: the ranks hear of it from Slurm and from their launcher.
    for number, is_for_all in ((signal.SIGUSR1, False), (signal.SIGINT, False), (signal.SIGTERM, True)):
        before = num_steps(out)
        launcher = launch(folder / "lstm.toml", out, *LONG, "--resume")
        wait_for_step(launcher, out, before + 2)
        ranks = ranks_of(out)
        assert sorted(ranks) == [0, 1]
        for pid in (*(ranks.values() if is_for_all else ()), launcher.pid):
            os.kill(pid, number)
        status, told = finish(launcher, out)
        assert status == 130, told
        assert told.splitlines()[-1].startswith("error: stopped by SIG")
        assert told.endswith("; continue with --resume\n")
        checkpoint = load_checkpoint(out / "training" / "lstm")
        assert checkpoint["position"]["step"] == num_steps(out), "it kept less than it had done"
        assert not (out / "models").exists()
        assert before < num_steps(out) < NUM_STEPS
    status, told = finish(launch(folder / "lstm.toml", out, *LONG, "--resume"), out)
    assert status == 0, told
    assert weights_of(out) == undisturbed


@pytest.mark.slow
def test_a_rank_that_is_silent_is_named(launch, folder, tmp_path):
    out = tmp_path / "run"
    options = (*LONG, "--timeout", "8", "--max-restarts", "0")
    launcher = launch(folder / "lstm.toml", out, *options, shutdown_timeout_s="1")
    wait_for_step(launcher, out, 2)
    os.kill(ranks_of(out)[0], signal.SIGSTOP)
    status, told = finish(launcher, out)
    assert status == 2, told
    assert told.splitlines()[-1].startswith("error: rank 1 (process ")
    assert "rank 0 did not answer in 8 s, or died; rank 1 gives up" in told
    assert "Traceback" not in told


@pytest.mark.slow
def test_a_run_whose_rank_is_silent_ends_with_the_same_bits(launch, folder, tmp_path, undisturbed):
    out = tmp_path / "run"
    launcher = launch(folder / "lstm.toml", out, *LONG, "--timeout", "8", shutdown_timeout_s="1")
    wait_for_step(launcher, out, 2)
    os.kill(ranks_of(out)[1], signal.SIGSTOP)
    status, told = finish(launcher, out)
    assert status == 0, told
    assert "rank 1 did not answer in 8 s, or died; rank 0 gives up" in told
    assert weights_of(out) == undisturbed
