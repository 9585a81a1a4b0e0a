"""Job scripts on a real Slurm cluster of two nodes, which deploy/slurm/local.sh starts on this machine."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import toy_csv

RECIPE = """
[models.lstm]
kind = "lstm"
min_count = 1
embedding_size = 8
hidden_size = 8

[models.lstm.train]
epochs = 30
max_learning_rate = 0.01
batch_tokens = 256
precision = "fp32"
log_every_steps = 1
checkpoint_every_steps = 1_000_000
"""
LOCAL = Path(__file__).parents[1] / "deploy" / "slurm" / "local.sh"


@pytest.fixture
def slurm(tmp_path):
    """Two idle nodes; call it with a command (srun, sbatch, scontrol …) to get what that prints."""
    # Sockets lie in the folder, so its path must be short: tmp_path itself.
    started = subprocess.run([LOCAL, "start", tmp_path], capture_output=True, text=True, timeout=120)
    if started.returncode != 0:
        pytest.skip(started.stderr.strip())
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))}
    environment |= {"SLURM_CONF": str(tmp_path / "slurm.conf"), "OMP_NUM_THREADS": "1"}

    def run(*command, timeout=150):
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    subprocess.run([LOCAL, "stop", tmp_path], check=True, timeout=120)


@pytest.mark.slow
def test_a_job_of_two_tasks_gets_both_nodes(slurm):
    assert sorted(slurm("srun", "-N2", "printenv", "SLURMD_NODENAME").split()) == ["node1", "node2"]


@pytest.fixture
def submit(slurm, tmp_path):
    """Return a function that has a recipe's two ranks trained on the two nodes and returns the job's number."""
    recipe = tmp_path / "a recipe.toml"
    recipe.write_text(f"[data]\nname = {json.dumps(str(toy_csv(tmp_path / 'reviews.csv', 300)))}\n{RECIPE}")

    def launch(out):
        # Both nodes are this machine, hence the loopback.
        meeting = ("--nodes", "2", "--gpus-per-node", "1", "--cpu", "--rendezvous", f"127.0.0.1:{free_port()}")
        slurm(*PLAUDIT, "launch", recipe, "--out", out, *meeting, "--slurm", "--sbatch=--partition=low")
        (job,) = slurm("squeue", "--noheader", "--format=%A").split()
        return job

    return launch


PLAUDIT = (sys.executable, "-m", "plaudit")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(is_so, seconds=150):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def facts(slurm, job):
    """Return what Slurm knows of a job: JobState, Restarts …"""
    return dict(re.findall(r"(\w+)=(\S*)", slurm("scontrol", "show", "job", job)))


@pytest.mark.slow
def test_a_job_on_two_nodes_that_is_preempted_goes_on_and_ends_with_the_same_bits(slurm, submit, tmp_path):
    out, undisturbed = tmp_path / "a run", tmp_path / "undisturbed"
    job = submit(out)
    metrics = out / "training" / "lstm" / "metrics.jsonl"
    wait_until(lambda: metrics.exists() and metrics.stat().st_size)
    slurm("sbatch", "--partition=high", "--nodes=2", "--output=/dev/null", "--wrap=sleep 1")
    wait_until(lambda: facts(slurm, job)["JobState"] == "PENDING")
    done_before = metrics.read_bytes()
    wait_until(lambda: facts(slurm, job)["JobState"] not in ("PENDING", "RUNNING", "COMPLETING"))
    log = (out / "ranks" / f"slurm-{job}.log").read_text()
    after = facts(slurm, job)
    assert (after["JobState"], after["ExitCode"], after["Restarts"]) == ("COMPLETED", "0:0", "1"), log
    assert "error: stopped by SIGTERM; continue with --resume" in log
    assert metrics.read_bytes().startswith(done_before), "it did some of it again"
    slurm(*PLAUDIT, "launch", tmp_path / "a recipe.toml", "--out", undisturbed, "--gpus-per-node", "2")
    weights = [folder / "models" / "lstm" / "weights.safetensors" for folder in (out, undisturbed)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
def test_a_job_that_is_warned_before_it_listens_comes_back_but_not_once_it_is_cancelled(slurm, submit, tmp_path):
    def its_step_runs():
        return f"{job}.0" in slurm("squeue", "--steps", "--noheader")

    job = submit(tmp_path / "run")
    wait_until(its_step_runs)
    slurm("scancel", "--signal=USR1", job)
    wait_until(lambda: facts(slurm, job)["JobState"] == "PENDING")
    wait_until(its_step_runs)
    slurm("scancel", job)
    wait_until(lambda: not slurm("squeue", "--noheader"))
    time.sleep(2)  # in which it would come back
    assert (facts(slurm, job)["JobState"], facts(slurm, job)["Restarts"]) == ("CANCELLED", "1")
