"""Training speed of a small LSTM on a quiet and on a busy machine, by how its threads wait for each other.

    python bench/busy_machine.py [--seconds 6] [--busy 4] [--rounds 3] [--out FILE]

Each way trains the same network (embedding 64, hidden 48, two directions) on random words in a process of its own,
first alone, then with so many processes beside it that compute without a pause. `default` is what OpenMP does by
itself: a thread that waits keeps its core busy for milliseconds. `passive` sleeps at once. `bounded` is what `plaudit`
sets where the user has set nothing (`plaudit.threads`). Rounds alternate, so that drift hits all alike.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

from plaudit.evaluate.machine import cpu_name
from plaudit.threads import SPIN_COUNT, num_threads

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
WAYS = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "bounded": {"GOMP_SPINCOUNT": str(SPIN_COUNT)},
    "one thread": {"OMP_NUM_THREADS": "1"},
}


def main():
    """Measure each way, print and write what came out."""
    arguments = parse_arguments()
    if arguments.measure:
        print(tokens_per_second(arguments.seconds))
        return
    ways = WAYS | {f"spin {count}": {"GOMP_SPINCOUNT": str(count)} for count in arguments.spin}
    speeds = {way: {"quiet": [], "busy": []} for way in ways}
    for _ in range(arguments.rounds):
        for way, variables in ways.items():
            for state, num_busy in (("quiet", 0), ("busy", arguments.busy)):
                speeds[way][state].append(measured(variables, num_busy, arguments.seconds))
                print(f"{way}, {state}: {speeds[way][state][-1]:,.0f} tokens/s", flush=True)
    medians = {way: {state: statistics.median(each) for state, each in by.items()} for way, by in speeds.items()}
    content = {
        "command": shlex.join(["python", "bench/busy_machine.py", *sys.argv[1:]]),
        "cpu": cpu_name(),
        "threads": num_threads(),
        "busy_processes": arguments.busy,
        "spin_count": SPIN_COUNT,
        "tokens_per_second": medians,
        "bounded_to_best_on_a_quiet_machine": medians["bounded"]["quiet"] / max(by["quiet"] for by in medians.values()),
        "bounded_to_default_on_a_busy_machine": medians["bounded"]["busy"] / medians["default"]["busy"],
        "rounds": speeds,
    }
    print(json.dumps({name: content[name] for name in content if name.startswith(("tokens", "bounded"))}, indent=1))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def parse_arguments():
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--busy", type=int, default=4, help="processes that compute beside it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spin", type=int, nargs="*", default=[], help="other spin counts to try")
    parser.add_argument("--out", type=Path, default=Path("docs/results/bench_busy_machine.json"))
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def measured(variables, num_busy, seconds):
    """Return the tokens/s that a process with these variables reaches."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | variables
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(num_busy)]
    try:
        command = [sys.executable, __file__, "--measure", "--seconds", str(seconds)]
        return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def tokens_per_second(seconds):
    """Train on random words for so long and return the tokens/s."""
    import torch

    torch.manual_seed(0)
    embedding, lstm = torch.nn.Embedding(10_000, 64), torch.nn.LSTM(64, 48, batch_first=True, bidirectional=True)
    classifier = torch.nn.Linear(96, 2)
    parameters = [*embedding.parameters(), *lstm.parameters(), *classifier.parameters()]
    optimizer = torch.optim.AdamW(parameters, fused=True)
    ids, labels = torch.randint(10_000, (18, 230)), torch.randint(2, (18,))  # 4,096 tokens, as recipes/quick.toml has

    def step():
        optimizer.zero_grad()
        states, _ = lstm(embedding(ids))
        torch.nn.functional.cross_entropy(classifier(states.amax(1)), labels).backward()
        optimizer.step()

    for _ in range(3):
        step()
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        step()
        steps += 1
    return steps * ids.numel() / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
