"""Measure `plaudit predict --input` on millions of reviews, and compare its speed with scoring texts in memory.

    python bench/bulk.py [--reviews 10_000_000] [--codec lz4] [--folder FOLDER] [--ray] [--out FILE]

IMDB's train reviews, repeated and numbered, fill one Parquet file of row groups of 25,000 reviews. The command scores
it into a folder of parts, twice: without the texts, as a table of scores, and with them, which have to be compressed
again. Before and after, a process of its own measures `predict_proba` of texts in memory; both use as many threads as
there are cores. Resident memory is the peak of the command and its children together.

With --ray, two Ray nodes on this machine score the same, and one of them is killed half-way; the parts are compared,
byte for byte, with those of the local engine. It takes the extra `cluster`.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from plaudit.data.load import DataSettings, load_dataset
from plaudit.evaluate.machine import code_version, cpu_name
from plaudit.threads import num_threads

OUT = Path(__file__).parent.parent / "docs" / "results" / "bench_bulk.json"
IN_MEMORY_SECONDS = 5.0


def reviews(data):
    """Return the texts of the train split."""
    return load_dataset(DataSettings(name=data)).split("train")["text"]


def write_reviews(path, texts, num_reviews, codec):
    """Write numbered reviews; each pass over the texts is a row group."""
    schema = pa.schema([("id", pa.int64()), ("text", pa.string())])
    with pq.ParquetWriter(path, schema, compression=codec, use_dictionary=False) as writer:
        for start in range(0, num_reviews, len(texts)):
            part = texts.slice(0, min(len(texts), num_reviews - start))
            ids = pa.array(range(start, start + len(part)))
            writer.write_table(pa.table([ids, part], schema=schema), row_group_size=len(part))


def reviews_per_second_in_memory(texts):
    """Score a list of str repeatedly for some seconds."""
    from plaudit.predictor import load

    predictor = load("bow")
    listed = texts.to_pylist()
    predictor.predict_proba(listed)  # compile and warm up
    num_scored, start = 0, time.perf_counter()
    while time.perf_counter() - start < IN_MEMORY_SECONDS:
        predictor.predict_proba(listed)
        num_scored += len(listed)
    return num_scored / (time.perf_counter() - start)


def in_memory(data):
    """Return reviews per second in memory, measured in a process of its own."""
    command = [sys.executable, __file__, "--in-memory", "--data", data]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run(arguments, folder):
    """Run the command in a folder; return its summary, its seconds and its peak memory."""
    peak = Peak()
    start = time.perf_counter()
    command = [sys.executable, "-m", "plaudit", *arguments, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder) as running:
        watching = threading.Thread(target=peak.watch, args=(running,))
        watching.start()
        content = running.stdout.read()
    seconds = time.perf_counter() - start
    watching.join()
    assert running.returncode == 0, arguments
    summary = json.loads(content)
    return {
        "command": shlex.join(["plaudit", *arguments]),
        "rows": summary["rows"],
        "parts": summary["parts"],
        "seconds_of_command": round(seconds, 1),
        "seconds_of_scoring": summary["seconds"],
        "reviews_per_second": summary["rows_per_second"],
        "peak_resident_mb": round(peak.bytes / 1e6),
    }


class Peak:
    """The peak of resident memory of a process and its children, sampled ten times a second."""

    bytes = 0

    def watch(self, running):
        """Sample until the process has ended."""
        while running.poll() is None:
            self.bytes = max(self.bytes, sum(map(resident_bytes, [running.pid, *children_of(running.pid)])))
            time.sleep(0.1)


def children_of(pid):
    """Return the ids of a process's children, and of theirs."""
    try:
        children = [
            int(child)
            for listed in Path(f"/proc/{pid}/task").glob("*/children")
            for child in listed.read_text().split()
        ]
    except OSError:
        return []
    return [each for child in children for each in (child, *children_of(child))]


def resident_bytes(pid):
    """Return the resident memory of a process, 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def main():
    """Make the file, measure, and write the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reviews", type=int, default=10_000_000)
    parser.add_argument("--data", default="imdb")
    parser.add_argument("--codec", default="lz4", help="compression of the Parquet file")
    parser.add_argument("--folder", type=Path, help="where some gigabytes have room; by default, a temporary one")
    parser.add_argument("--ray", action="store_true", help="also through two nodes, one of which is killed")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--in-memory", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.in_memory:
        print(reviews_per_second_in_memory(reviews(arguments.data)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        source = folder / "reviews.parquet"
        write_reviews(source, reviews(arguments.data), arguments.reviews, arguments.codec)
        content = {
            "command": shlex.join(["python", "bench/bulk.py", *sys.argv[1:]]),
            "reviews": arguments.reviews,
            "codec": arguments.codec,
            "file_mb": round(source.stat().st_size / 1e6),
            "cpu": cpu_name(),
            "threads": num_threads(),
            "commit": code_version(),
            "runs": measured(folder, source, arguments),
        }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"written to {arguments.out}")


def measured(folder, source, arguments):
    """Return the measurements of each run, with the speed in memory right before and after it."""
    runs = {}
    for name, options in {"scores": ["--drop", "text"], "scores and texts": []}.items():
        before = in_memory(arguments.data)
        out = folder / "scored"
        result = run(["predict", "--input", source.name, "--out", out.name, *options], folder)
        after = in_memory(arguments.data)
        result |= {
            "reviews_per_second_in_memory": [round(before), round(after)],
            "of_speed_in_memory": round(result["reviews_per_second"] / ((before + after) / 2), 3),
            "output_mb": round(sum(path.stat().st_size for path in out.glob("part-*")) / 1e6),
        }
        runs[name] = result
        print(json.dumps({name: result}), flush=True)
        if name == "scores" and arguments.ray:
            runs["ray"] = through_ray(folder, source, out, options)
            print(json.dumps({"ray": runs["ray"]}), flush=True)
        shutil.rmtree(out)
    return runs


def through_ray(folder, source, expected, options):
    """Score on two nodes of one core each, kill the second half-way, and compare the parts."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    out = folder / "ray"
    num_parts = len(list(expected.glob("part-*")))
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        doomed = nodes.add_node(num_cpus=1)
        killed_at = []

        def kill_half_way():
            while (num_done := len(list(out.glob("part-*")))) < num_parts // 2:
                time.sleep(0.05)
            nodes.remove_node(doomed, allow_graceful=False)
            killed_at.append(num_done)

        killing = threading.Thread(target=kill_half_way, daemon=True)
        killing.start()
        os.environ["RAY_ADDRESS"] = nodes.address
        result = run(["predict", "--input", source.name, "--out", out.name, *options, "--engine", "ray"], folder)
        del os.environ["RAY_ADDRESS"]
        killing.join()
    finally:
        nodes.shutdown()
    parts = sorted(path.name for path in expected.glob("part-*"))
    same = [name for name in parts if (out / name).read_bytes() == (expected / name).read_bytes()]
    found = sorted(path.name for path in out.glob("part-*"))
    shutil.rmtree(out)
    # This is the memory of the command; the scoring is done by the workers of the nodes.
    return result | {"parts_done_when_killed": killed_at[0], "same_parts": found == parts, "same_bytes": len(same)}


if __name__ == "__main__":
    main()
