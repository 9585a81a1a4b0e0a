"""Check that a run ends with the same weights although a random rank is killed at a random step by `kill -9`.

    python bench/kill_ranks.py [--kills 10] [--seed 0] [--out FILE]

`plaudit launch` trains a small LSTM on reviews of imdb-train with two ranks on this machine's processor, once
undisturbed and once for each kill. When a rank is killed, all of them restart from the last checkpoint. Every run's
weights are compared with the undisturbed one's, bit for bit; `seconds_to_catch_up` is what a kill costs: the time until
the run has repeated the step after which it was killed.
"""

import argparse
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from plaudit.evaluate.machine import code_version, cpu_name, num_cores

RECIPE = """
[data]
name = "imdb-train"
limit = 6_000

[models.lstm]
kind = "lstm"
vocabulary_size = 2_000
max_tokens = 60
embedding_size = 16
hidden_size = 16

[models.lstm.train]
epochs = 2
max_learning_rate = 0.004
log_every_steps = 1
checkpoint_every_steps = 20
"""


def main():
    """Kill a rank in each of several runs; print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/results/bench_kill_ranks.json"))
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.toml"
        recipe.write_text(RECIPE, encoding="utf-8")
        undisturbed = Path(folder) / "undisturbed"
        assert launch(recipe, undisturbed).wait() == 0
        runs = []
        for number in range(arguments.kills):
            out = Path(folder) / str(number)
            run = killed(recipe, out, rank=generator.randrange(2), step=generator.randrange(1, num_steps(undisturbed)))
            runs.append({**run, "same_bits": run["status"] == 0 and weights_of(out) == weights_of(undisturbed)})
            print(json.dumps(runs[-1]), flush=True)
        content = {
            "command": shlex.join(["python", "bench/kill_ranks.py", *sys.argv[1:]]),
            "cpu": cpu_name(),
            "cores": num_cores(),
            "torch": torch.__version__,
            "commit": code_version(),
            "num_steps": num_steps(undisturbed),
            "num_kills": len(runs),
            "num_same_bits": sum(run["same_bits"] for run in runs),
            "runs": runs,
        }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def launch(recipe, out):
    """Start a run of two ranks on one thread each."""
    command = [sys.executable, "-m", "plaudit", "launch", str(recipe), "--out", str(out), "--gpus-per-node", "2"]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)


def killed(recipe, out, *, rank, step):
    """Run a recipe, kill a rank after a step, and return how the run continues."""
    launcher = launch(recipe, out)
    while launcher.poll() is None and num_steps(out) < step:
        time.sleep(0.005)
    os.kill(process_of(launcher, rank), signal.SIGKILL)
    start = time.perf_counter()
    while launcher.poll() is None and not (has_begun_again(out) and num_steps(out) >= step):
        time.sleep(0.005)
    seconds = round(time.perf_counter() - start, 1)
    status = launcher.wait()
    restarts = len(attempts(out)) - 1
    return {"rank": rank, "step": step, "restarts": restarts, "status": status, "seconds_to_catch_up": seconds}


def process_of(launcher, rank):
    """Return the number of a rank's process."""
    for pid in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split():
        if re.search(rf"\0RANK={rank}\0", Path(f"/proc/{pid}/environ").read_text()):
            return int(pid)
    raise ProcessLookupError(f"rank {rank} has ended")


def num_steps(out):
    """Return how many steps a run has done."""
    return metrics_of(out).read_bytes().count(b'"event": "step"') if metrics_of(out).exists() else 0


def has_begun_again(out):
    """Return whether ranks have read the checkpoint after a restart, and cut off the steps after it."""
    return len(attempts(out)) > 1 and metrics_of(out).stat().st_mtime > attempts(out)[-1].stat().st_mtime


def metrics_of(out):
    """Return the path of a run's metrics."""
    return out / "training" / "lstm" / "metrics.jsonl"


def attempts(out):
    """Return the folder of each start of the ranks."""
    return sorted(out.glob("ranks/*/*/attempt_*"))


def weights_of(out):
    """Return the bytes of a run's weights."""
    return (out / "models" / "lstm" / "weights.safetensors").read_bytes()


if __name__ == "__main__":
    main()
