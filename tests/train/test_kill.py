"""Runs that are really killed: a subprocess, SIGKILL, and the same bits in the end."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

SCRIPT = """
import os, signal, sys
from pathlib import Path
import numpy as np
import torch
from rich.console import Console
from conftest import splits_of
from test_fit import MODEL, TRAIN
from plaudit.train.context import TrainingContext
from plaudit.train.fit import fit_network

torch.set_num_threads(1)
run_dir, kill_in_write = Path(sys.argv[1]), int(sys.argv[2])
if kill_in_write:
    fsync, calls = os.fsync, []
    def killing(descriptor):
        # The checkpoint's bytes are written but it has not taken the old one's place.
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("checkpoint.tmp"):
            calls.append(None)
            if len(calls) == kill_in_write:
                os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)
    os.fsync = killing
train = TRAIN.model_copy(update={"epochs": 6, "precision": "auto", "log_every_steps": 1})
splits = splits_of(240, 40)
result = fit_network(MODEL, train, splits, TrainingContext(0, run_dir, True, Console(quiet=True)))
np.savez(run_dir / "weights.npz", **result.model.state().tensors)
"""
ROOT = Path(__file__).parents[2]


def start(run_dir, kill_in_write=0):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(Path(__file__).parent), *sys.path]),
    }
    command = [sys.executable, "-c", SCRIPT, str(run_dir), str(kill_in_write)]
    return subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE)


def finish(process):
    _, stderr = process.communicate(timeout=120)
    return process.returncode, stderr.decode()


def num_steps(run_dir):
    path = run_dir / "metrics.jsonl"
    return path.read_bytes().count(b'"event": "step"') if path.exists() else 0


@pytest.mark.slow
def test_a_run_killed_at_random_steps_and_while_writing_ends_with_the_same_bits(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert finish(start(whole)) == (0, "")
    total = num_steps(whole)
    generator = random.Random()  # any step will do: unseeded on purpose, and shown if it fails
    stops = sorted(generator.sample(range(2, total - 2), 3))
    for stop in stops:
        process = start(killed)
        while num_steps(killed) < stop and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        finish(process)
    code, _ = finish(start(killed, kill_in_write=2))
    assert code in (-signal.SIGKILL, 0)
    assert finish(start(killed)) == (0, "")
    expected, actual = np.load(whole / "weights.npz"), np.load(killed / "weights.npz")
    for name in expected:
        np.testing.assert_array_equal(expected[name], actual[name], err_msg=f"{name}, killed at {stops}")
    assert num_steps(killed) == total


@pytest.mark.slow
def test_a_run_killed_while_it_writes_its_first_checkpoint_starts_over(tmp_path):
    assert finish(start(tmp_path, kill_in_write=1))[0] == -signal.SIGKILL
    assert not (tmp_path / "checkpoint.pt").exists()
    assert finish(start(tmp_path)) == (0, "")
    assert not (tmp_path / "checkpoint.tmp").exists()
