"""Measure the speed, bytes and accuracy of data-parallel training by every exchange over slow links.

    sudo python bench/distributed.py [--exchanges plain bf16 …] [--links open 1gbit 100mbit] [--out FILE] [--work DIR]

First, for accuracy, two ranks on this host train the recipe distributed to the end by each exchange, and so does one
process alone; `plaudit run` scores each model once on the test split. Then, for speed, two network namespaces stand
for two hosts, joined by a veth pair; a token-bucket filter (tc tbf) at each end lets through what the link would. Both
hosts run `plaudit launch --nodes 2`, with one rank and one core each, for `--steps` steps. Bytes are those that
the first host's end of the cable counted as sent, headers included. Seconds an epoch are those of a step after the
first ones, times the steps of an epoch, without validation. One process with one and with two threads is timed for
comparison. Needs root, for namespaces, and iproute2. Finished parts are kept in --work and not repeated.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from plaudit.distributed.exchange.registry import EXCHANGES
from plaudit.errors import INTERRUPTED_STATUS
from plaudit.evaluate.machine import cpu_name
from plaudit.pipeline.shipped import find_recipe

RECIPE = find_recipe("distributed")
RATES = {"open": None, "1gbit": "1gbit", "100mbit": "100mbit"}
HOSTS = ("plaudit-a", "plaudit-b")
ADDRESSES = ("10.77.0.1", "10.77.0.2")
LOG_EVERY = 16  # whole periods of `local`, so that each counts as many exchanges
SETTINGS = {"local": {"period": 16, "precision": "int4"}, "top-k": {"density": 0.001}, "powersgd": {"rank": 2}}
LEARNING_RATE = 0.003
"""Of all but `local`, for which the recipe's is this times the root of two ranks: each reads half of a batch alone."""


def main():
    """Train over every link by every exchange; print and write the results."""
    arguments = parse_arguments()
    console = Console()
    if os.geteuid() != 0 or shutil.which("tc") is None:
        sys.exit("error: needs root and iproute2 (ip, tc), to join two network namespaces by a throttled link")
    work = arguments.work
    scored = {"alone": train_to_end(work / "alone", None, console)}
    for exchange in arguments.exchanges:
        scored[exchange] = train_to_end(work / exchange, exchange, console)
    steps_per_epoch = events(work / "alone", "epoch")[0]["step"]
    rows = []
    for threads in (1, 2):
        folder = work / f"alone-{threads}"
        train(folder, None, arguments.steps, console, threads=threads)
        rows.append({"exchange": f"alone, {threads} threads", "settings": {}, "link": None})
        rows[-1] |= speed(folder, None, steps_per_epoch) | scored["alone"]
    for link in arguments.links:
        with hosts(RATES[link]):
            for exchange in arguments.exchanges:
                folder = work / f"{exchange}-{link}"
                train(folder, exchange, arguments.steps, console)
                rows.append({"exchange": exchange, "settings": SETTINGS.get(exchange, {}), "link": link})
                rows[-1] |= speed(folder, exchange, steps_per_epoch) | scored[exchange]
    write(arguments.out, rows)
    console.print(table(rows))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exchanges", nargs="+", choices=EXCHANGES, default=list(EXCHANGES))
    parser.add_argument("--links", nargs="+", choices=RATES, default=list(RATES))
    parser.add_argument("--steps", type=int, default=64, help="steps over a slow link")
    parser.add_argument("--work", type=Path, default=Path("runs/bench-distributed"))
    parser.add_argument("--out", type=Path, default=Path("docs/results/bench_distributed.json"))
    return parser.parse_args()


@contextmanager
def hosts(rate):
    """Two namespaces joined by a cable of such a rate, such as "100mbit"; None lets all through."""
    remove_hosts()
    try:
        for host in HOSTS:
            ip("netns", "add", host)
        ip("link", "add", "cable", "netns", HOSTS[0], "type", "veth", "peer", "name", "cable", "netns", HOSTS[1])
        for host, address in zip(HOSTS, ADDRESSES, strict=True):
            ip("-n", host, "addr", "add", f"{address}/24", "dev", "cable")
            ip("-n", host, "link", "set", "cable", "up")
            ip("-n", host, "link", "set", "lo", "up")
            if rate is not None:
                tbf = ["rate", rate, "burst", "256kb", "latency", "200ms"]
                subprocess.run(["tc", "-n", host, "qdisc", "add", "dev", "cable", "root", "tbf", *tbf], check=True)
        yield
    finally:
        remove_hosts()


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def remove_hosts():
    for host in HOSTS:
        subprocess.run(["ip", "netns", "del", host], check=False, capture_output=True)


def cable_bytes():
    """Bytes that the first host has sent to the second."""
    shown = subprocess.run(
        ["ip", "-n", HOSTS[0], "-s", "-j", "link", "show", "cable"], check=True, capture_output=True, text=True
    )
    return json.loads(shown.stdout)[0]["stats64"]["tx"]["bytes"]


def settings_of(exchange):
    """Return the options of plaudit for an exchange, or for a process alone."""
    assignments = [f"--set=models.lstm.train.log_every_steps={LOG_EVERY}"]
    if exchange != "local":
        assignments.append(f"--set=models.lstm.train.max_learning_rate={LEARNING_RATE}")
    if exchange is not None:
        values = {"kind": exchange, **SETTINGS.get(exchange, {})}
        table = ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
        assignments.append(f"--set=models.lstm.train.exchange={{ {table} }}")
    return assignments


def train_to_end(folder, exchange, console):
    """Train on this host, score once on test, and return the accuracy."""
    verb = ["train"] if exchange is None else ["launch", "--gpus-per-node", "2"]
    for command in (verb, ["run"]):
        done = folder / ("models/lstm/bundle.json" if command is verb else "results.json")
        if not done.exists():
            console.print(f"{folder.name}: {command[0]}")
            arguments = [*command, str(RECIPE), "--out", str(folder), "--resume", *settings_of(exchange)]
            subprocess.run([sys.executable, "-m", "plaudit", *arguments], check=True, capture_output=True)
    result = json.loads((folder / "results.json").read_text())["results"][0]
    best = max(event["validation_accuracy"] for event in events(folder, "epoch"))
    return {"accuracy": result["accuracy"], "accuracy_ci95": result["accuracy_ci95"], "validation_accuracy": best}


def train(folder, exchange, steps, console, *, threads=1):
    """Train for `steps` steps: on both hosts by an exchange, or in one process of `threads` threads."""
    if (folder / "done.json").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [str(RECIPE), "--out", str(folder), *settings_of(exchange)]
    if exchange is None:
        cores = ",".join(map(str, range(threads)))
        starts = [["taskset", "-c", cores, sys.executable, "-m", "plaudit", "train", *command]]
    else:
        command = ["launch", *command, "--nodes", "2", "--gpus-per-node", "1", "--max-restarts", "0"]
        command += ["--rendezvous", f"{ADDRESSES[0]}:29400"]
        inside = [("ip", "netns", "exec", host, "taskset", "-c", str(core)) for core, host in enumerate(HOSTS)]
        starts = [[*host, sys.executable, "-m", "plaudit", *command] for host in inside]
    console.print(f"{folder.name}: {steps} steps")
    logs = [(folder.parent / f"{folder.name}-{number}.log").open("w") for number in range(len(starts))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    processes = [
        subprocess.Popen(start, env=environment, stdout=log, stderr=log)
        for start, log in zip(starts, logs, strict=True)
    ]
    sent, is_stopping = {}, False
    while any(process.poll() is None for process in processes):
        time.sleep(0.05)
        step = last_step(folder)
        if step is not None and step not in sent:
            sent[step] = 0 if exchange is None else cable_bytes()
        if step is not None and step >= steps and not is_stopping:
            is_stopping = True
            for process in processes:
                process.send_signal(signal.SIGTERM)
    if any(process.returncode != INTERRUPTED_STATUS for process in processes):
        sys.exit(f"error: {folder}: ended with {[process.returncode for process in processes]}; see its logs")
    (folder / "done.json").write_text(json.dumps(sent))


def events(folder, kind):
    path = folder / "training" / "lstm" / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def last_step(folder):
    try:
        found = events(folder, "step")
    except ValueError:  # the last line is being written
        return None
    return found[-1]["step"] if found else None


def speed(folder, exchange, steps_per_epoch):
    """Return seconds, tokens and bytes of a step after the first ones, which wait for allocations."""
    start = 2 * LOG_EVERY
    sent = {int(step): number for step, number in json.loads((folder / "done.json").read_text()).items()}
    steps = [event for event in events(folder, "step") if event["step"] >= start and event["step"] in sent]
    num_steps = steps[-1]["step"] - steps[0]["step"]
    seconds = (steps[-1]["seconds"] - steps[0]["seconds"]) / num_steps
    row = {
        "steps_timed": num_steps,
        "seconds_per_step": round(seconds, 5),
        "seconds_per_epoch": round(seconds * steps_per_epoch, 1),
        "tokens_per_second": round(statistics.fmean(event["tokens_per_second"] for event in steps[1:])),
    }
    if exchange is not None:
        row["bytes_per_step"] = round((sent[steps[-1]["step"]] - sent[steps[0]["step"]]) / num_steps)
        for share in ("wait_share", "exchange_share"):
            row[share] = round(statistics.fmean(event[share] for event in steps[1:]), 4)
    return row


def write(path, rows):
    content = {
        "command": shlex.join(["python", "bench/distributed.py", *sys.argv[1:]]),
        "recipe": RECIPE.name,
        "cpu": cpu_name(),
        "torch": version("torch"),
        "rows": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def table(rows):
    shown = Table(
        "exchange", "link", "s/epoch", "bytes/step", "less than plain", "exchange", "of open", "test accuracy"
    )
    plain = {row["link"]: row for row in rows if row["exchange"] == "plain"}
    opened = {row["exchange"]: row for row in rows if row["link"] == "open"}
    for row in rows:
        sent = row.get("bytes_per_step")
        shown.add_row(
            row["exchange"],
            row["link"] or "none",
            f"{row['seconds_per_epoch']:,.0f}",
            f"{sent:,}" if sent else "",
            f"{plain[row['link']]['bytes_per_step'] / sent:,.1f} x" if sent and row["link"] in plain else "",
            f"{row['exchange_share']:.1%}" if sent else "",
            f"{opened[row['exchange']]['seconds_per_step'] / row['seconds_per_step']:.1%}" if sent else "",
            f"{row['accuracy']:.2%}" if "accuracy" in row else "",
        )
    return shown


if __name__ == "__main__":
    main()
