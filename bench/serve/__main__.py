"""Compares the service under load with a plain one, over loopback, with client and server on the same cores.

    python -m bench.serve [--quick]
    python -m bench.serve --overload      # only overload, with more and more connections; bench_serve_overload.json

Needs wrk and h2load (Debian: wrk, nghttp2-client) and a quiet machine for twelve minutes. Bodies are IMDB's train
reviews. Writes docs/results/bench_serve.json.

steady      1,000 requests/s of one review each, from 100 connections with random pauses
saturation  32 connections that never pause
batch       4 connections with 250 reviews per request
overload    128 connections that never pause and ignore Retry-After; accepted requests, then 1,000 requests/s
memory      five minutes of 1,000 requests/s, resident memory every second
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from plaudit.data.load import DataSettings, load_dataset
from plaudit.evaluate.machine import code_version, cpu_name

HERE = Path(__file__).parent
OUT = HERE.parent.parent / "docs" / "results" / "bench_serve.json"
PORT = 8765
URL = f"http://127.0.0.1:{PORT}/v1/predict"
BATCH = 250
STEADY = 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="take a twentieth of the time and write nothing")
    parser.add_argument("--overload", action="store_true", help="only overload, with more and more connections")
    arguments = parser.parse_args()
    share = 0.05 if arguments.quick else 1.0
    services = {
        "plaudit, bow": [sys.executable, "-m", "plaudit", "serve", "--port", str(PORT), "--model", "bow"],
        "plaudit, lstm": [sys.executable, "-m", "plaudit", "serve", "--port", str(PORT), "--model", "lstm"],
        "TF-IDF + logistic regression": [sys.executable, str(HERE / "plain.py"), str(PORT)],
    }
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        one, many = bodies(Path(folder))
        if arguments.overload:
            with running(services["plaudit, bow"]):
                found = by_connections(one, Path(folder))
            services = {}
        for name, command in services.items():
            with running(command) as process:
                found[name] = measured(process, one, many, Path(folder), share, name)
                print(name, json.dumps(found[name]), flush=True)
    content = {"commit": code_version(), "cpu": cpu_name(), "cores": os.cpu_count()}
    if arguments.overload:
        print(json.dumps(found, indent=1))
        OUT.with_stem("bench_serve_overload").write_text(json.dumps(content | found, indent=1) + "\n")
    elif share == 1:
        OUT.write_text(json.dumps(content | {"services": found}, indent=1) + "\n")


def bodies(folder):
    """Write one review a request, and BATCH of them; return the files."""
    table = load_dataset(DataSettings(name="imdb")).table
    train = table.filter(np.array(table["split"]) == "train")["text"].to_pylist()
    drawn = [train[i] for i in np.random.default_rng(0).permutation(len(train))]
    one, many = folder / "one.jsonl", folder / "many.jsonl"
    one.write_text("".join(json.dumps({"texts": text}) + "\n" for text in drawn[:2000]))
    batches = (drawn[start : start + BATCH] for start in range(0, 40 * BATCH, BATCH))
    many.write_text("".join(json.dumps({"texts": batch}) + "\n" for batch in batches))
    return one, many


@contextmanager
def running(command):
    """Start a service, wait until it says that it is ready, and stop it in the end."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 300
            while "ready" not in read(log):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[1:4]} did not start:\n{read(log)[-2000:]}")
                time.sleep(0.2)
            time.sleep(1)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


def read(log):
    log.seek(0)
    return log.read(100_000)


def measured(process, one, many, folder, share, name):
    load(one, connections=16, seconds=max(1, 5 * share))
    saturated = load(one, connections=32, seconds=10 * share)
    steady = at_rate(one, seconds=20 * share)
    batches = load(many, connections=4, seconds=10 * share)
    found = {
        "steady": steady,
        "saturation_requests_per_second": per_second(saturated),
        "batch_reviews_per_second": BATCH * per_second(batches),
        "overload": overloaded(one, folder, seconds=10 * share),
        "after_overload": at_rate(one, seconds=5 * share),
    }
    if name.endswith("bow"):
        found["memory"] = memory(process, one, seconds=300 * share)
    return found


def by_connections(one, folder):
    """Send more and more requests at once, with what saturates the service before and after."""
    load(one, connections=16, seconds=5)
    before = per_second(load(one, connections=32, seconds=10))
    rows = [overloaded(one, folder, seconds=10, connections=number) for number in (128, 160, 200, 256)]
    after = per_second(load(one, connections=32, seconds=10))
    return {"saturation_requests_per_second": [before, after], "overload": rows}


def load(bodies, *, connections, seconds, pause_ms=0.0):
    environment = {**os.environ, "BODIES": str(bodies), "PAUSE_MS": str(pause_ms)}
    seconds = max(1, round(seconds))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=30s", "-s", str(HERE / "load.lua"), URL]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def per_second(of):
    return round((of["requests"] - of["not_200"]) / of["seconds"])


def at_rate(bodies, *, seconds):
    """Load with pauses that make it 1,000 requests a second where answers take no time: connections ÷ pause."""
    connections = 100
    found = load(bodies, connections=connections, seconds=seconds, pause_ms=1000 * connections / STEADY - 1.5)
    return {"requests_per_second": round(found["requests"] / found["seconds"]), **found}


def overloaded(bodies, folder, *, seconds, connections=128):
    """Tell accepted from shed requests, which wrk does not: h2load logs each, all with the same review."""
    body, log = folder / "body.json", folder / "h2load.log"
    body.write_text(bodies.read_text().splitlines()[0])
    log.unlink(missing_ok=True)
    seconds = max(1, round(seconds))
    command = ["h2load", "--h1", f"-c{connections}", "-t1", f"-D{seconds}", f"--log-file={log}", "-d", str(body)]
    subprocess.run([*command, "-H", "content-type: application/json", URL], capture_output=True, check=True)
    rows = [tuple(map(int, row)) for row in re.findall(r"^\d+\t(-?\d+)\t(\d+)", log.read_text(), flags=re.MULTILINE)]
    accepted = np.array([micros for status, micros in rows if status == 200]) / 1000
    shed = np.array([micros for status, micros in rows if status == 503]) / 1000
    return {
        "connections": connections,
        "requests_per_second": round(len(rows) / seconds),
        "accepted_per_second": round(len(accepted) / seconds),
        "accepted_p50_ms": round(float(np.percentile(accepted, 50)), 3),
        "accepted_p99_ms": round(float(np.percentile(accepted, 99)), 3),
        "shed_per_second": round(len(shed) / seconds),
        "shed_p99_ms": round(float(np.percentile(shed, 99)), 3) if len(shed) else None,
        "other": len(rows) - len(accepted) - len(shed),
    }


def memory(process, bodies, *, seconds):
    samples, stop = [], threading.Event()

    def watch():
        while not stop.wait(1):
            samples.append(process.memory_info().rss / 2**20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    found = at_rate(bodies, seconds=seconds)
    stop.set()
    watcher.join()
    fifth = max(1, len(samples) // 5)
    first, last = (round(float(np.median(part)), 1) for part in (samples[:fifth], samples[-fifth:]))
    return {"first_fifth_mib": first, "last_fifth_mib": last, "max_mib": round(max(samples), 1), "steady": found}


if __name__ == "__main__":
    main()
