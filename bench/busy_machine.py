"""Training speed of an LSTM on a quiet and on a busy machine, by how its threads wait for each other.

    python bench/busy_machine.py [--hidden 48] [--seconds 6] [--busy 4] [--rounds 3] [--out FILE]

Each way trains the same network on random words in a process of its own, first alone, then with so many processes
beside it that compute without a pause. `default` is what OpenMP does by itself: a thread that waits keeps its core busy
for milliseconds. `passive` sleeps at once. `chosen` is what `plaudit` does: waits briefly, and uses all threads or one,
whichever is faster when it starts. Rounds alternate, so that drift hits all alike.
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

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS")
WAYS = {
    "default": {},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "chosen": {"GOMP_SPINCOUNT": str(SPIN_COUNT)},
}


def main():
    """Measure each way, print and write what came out."""
    arguments = parse_arguments()
    if arguments.measure:
        print(tokens_per_second(arguments))
        return
    speeds = {way: {"quiet": [], "busy": []} for way in WAYS}
    for _ in range(arguments.rounds):
        for state, num_busy in (("quiet", 0), ("busy", arguments.busy)):
            for way in WAYS:
                speeds[way][state].append(measured(way, num_busy, arguments))
                print(f"{way}, {state}: {speeds[way][state][-1]:,.0f} tokens/s", flush=True)
    medians = {way: {state: statistics.median(each) for state, each in by.items()} for way, by in speeds.items()}
    best = {state: max(by[state] for way, by in medians.items() if way != "chosen") for state in ("quiet", "busy")}
    content = {
        "command": shlex.join(["python", "bench/busy_machine.py", *sys.argv[1:]]),
        "cpu": cpu_name(),
        "threads": num_threads(),
        "hidden": arguments.hidden,
        "busy_processes": arguments.busy,
        "tokens_per_second": medians,
        "chosen_to_best": {state: medians["chosen"][state] / best[state] for state in best},
        "chosen_to_default": {state: medians["chosen"][state] / medians["default"][state] for state in best},
        "rounds": speeds,
    }
    print(json.dumps({name: content[name] for name in content if name.startswith(("tokens", "chosen"))}, indent=1))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def parse_arguments():
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--busy", type=int, default=4, help="processes that compute beside it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=48, help="units of each direction; word vectors have 4/3 as many")
    parser.add_argument("--out", type=Path, default=Path("docs/results/bench_busy_machine.json"))
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args()


def measured(way, num_busy, arguments):
    """Return the tokens/s that a process reaches in this way."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | WAYS[way]
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(num_busy)]
    try:
        options = ["--measure", way, "--hidden", str(arguments.hidden), "--seconds", str(arguments.seconds)]
        command = [sys.executable, __file__, *options]
        return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def tokens_per_second(arguments):
    """Train on random words for so long and return the tokens/s."""
    import torch

    from plaudit.train.thread_choice import ThreadChoice

    torch.manual_seed(0)
    hidden = arguments.hidden
    embedding = torch.nn.Embedding(10_000, hidden * 4 // 3)
    lstm = torch.nn.LSTM(hidden * 4 // 3, hidden, batch_first=True, bidirectional=True)
    classifier = torch.nn.Linear(2 * hidden, 2)
    optimizer = torch.optim.AdamW([*embedding.parameters(), *lstm.parameters(), *classifier.parameters()], fused=True)
    ids, labels = torch.randint(10_000, (18, 230)), torch.randint(2, (18,))  # 4,096 tokens, as the recipe quick has

    def forward_and_backward():
        optimizer.zero_grad()
        states, _ = lstm(embedding(ids))
        torch.nn.functional.cross_entropy(classifier(states.amax(1)), labels).backward()

    forward_and_backward()
    if arguments.measure == "chosen":
        ThreadChoice().measure(forward_and_backward)
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < arguments.seconds:
        forward_and_backward()
        optimizer.step()
        steps += 1
    return steps * ids.numel() / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
