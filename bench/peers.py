"""Peers against Plaudit's models: the same 25,000 IMDB train reviews, the official test split, one machine, one run.

    python bench/peers.py [--model DIR …] [--only NAME …] [--limit N] [--work DIR] [--out FILE]

On Linux, with plaudit[train,transformer,report,onnx,peers].

Each peer is trained on train and validation together, less the texts that repeat a test text, then evaluated
once on test. If a peer has several settings, validation after a fit on train alone shows which is best; all are kept.
Speed is measured from raw text in memory, in its own process, first with all cores, then with one, as `plaudit
evaluate` does, on an evenly spaced sample of test whose size depends on the peer's speed. Peers run one after the
other. A finished one is a line in rows.jsonl in the work folder, so that a stopped run can be resumed.

Writes the rows as JSON, and a chart of accuracy against speed next to them.
"""

import argparse
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from peers import PEERS
from peers.base import Peer, Plaudit
from peers.chart import draw
from plaudit.bundle.locate import shipped_models
from plaudit.data.load import DataSettings, load_dataset
from plaudit.data.splits import prepare
from plaudit.evaluate.machine import code_version, cpu_name, num_cores
from plaudit.evaluate.metrics import wilson_interval
from plaudit.evaluate.score import SPEED_SECONDS
from plaudit.evaluate.speed import measure
from plaudit.storage import replacing

LIBRARIES = ("scikit-learn", "fasttext-wheel", "vaderSentiment", "torch", "onnxruntime", "transformers", "numpy")
WARM_UP = 128  # reviews: ours compile after the first 100,000 characters, which is not to be timed
Row = dict[str, Any]


@dataclass(frozen=True)
class Reviews:
    """Texts with their labels, int64 [N]."""

    texts: list[str]
    labels: np.ndarray

    def __add__(self, other: "Reviews") -> "Reviews":
        return Reviews(self.texts + other.texts, np.concatenate([self.labels, other.labels]))


def main() -> None:
    arguments = parse_arguments()
    console = Console()
    peers = chosen_peers(arguments)
    run = {
        "data": arguments.data,
        "limit": arguments.limit,
        "cpu": cpu_name(),
        "cores": num_cores(),
        "versions": {library: version(library) for library in LIBRARIES},
        "commit": code_version(),
    }
    kept = kept_rows(arguments.work, run)
    if any(peer.name not in kept for peer in peers):
        splits = load_splits(arguments)
        for i, peer in enumerate(peers, start=1):
            if peer.name not in kept:
                console.print(f"[{i}/{len(peers)}] {peer.name}", markup=False)
                kept[peer.name] = measured(peer, splits, arguments.work, console)
                with (arguments.work / "rows.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(kept[peer.name]) + "\n")
    rows = with_best_of_family([kept[peer.name] for peer in peers])
    rows.sort(key=lambda row: -(row["accuracy"] or 0))
    console.print(table(rows))
    verdicts = [verdict(row, rows) for row in rows if row["ours"]]
    console.print(*verdicts, sep="\n")
    command = shlex.join(["python", "bench/peers.py", *sys.argv[1:]])
    with replacing(arguments.out, hint="name another --out") as temporary:
        content = {"command": command, **run, "verdicts": verdicts, "rows": rows}
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    arguments.out.with_suffix(".svg").write_text(draw(rows), encoding="utf-8")
    console.print(f"written to {arguments.out} and {arguments.out.with_suffix('.svg')}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", default=[], help="another Plaudit model folder to compare")
    parser.add_argument("--only", nargs="+", default=[""], help="those whose name has one of these in it")
    parser.add_argument("--data", default="imdb")
    parser.add_argument("--limit", type=int, default=None, help="train on so many reviews, with a smaller test split")
    parser.add_argument("--work", type=Path, default=Path("runs/peers"))
    parser.add_argument("--out", type=Path, default=Path("docs/results/peers.json"))
    return parser.parse_args()


def chosen_peers(arguments: argparse.Namespace) -> list[Peer]:
    ours = [Plaudit(f"Plaudit {Path(model).name}", {"model": model}) for model in shipped_models() + arguments.model]
    names = [peer.name for peer in (*PEERS, *ours)]
    if len(set(names)) < len(names):
        sys.exit(f"two models have one name, rename a folder: {'; '.join(names[len(PEERS) :])}")
    peers = [peer for peer in (*PEERS, *ours) if any(part.lower() in peer.name.lower() for part in arguments.only)]
    if not peers:
        sys.exit(f"--only {shlex.join(arguments.only)} is in no name; names are: {'; '.join(names)}")
    return peers


def kept_rows(work: Path, run: Row) -> dict[str, Row]:
    """Return the rows of an earlier call by name, or start a work folder; rows of another run are no part of this."""
    work.mkdir(parents=True, exist_ok=True)
    about = work / "run.json"
    if not about.exists():
        about.write_text(json.dumps(run), encoding="utf-8")
    if json.loads(about.read_text(encoding="utf-8")) != run:
        sys.exit(f"{work} holds rows of other data, code or machine: delete it, or give another --work")
    lines = (work / "rows.jsonl").read_text(encoding="utf-8").splitlines() if (work / "rows.jsonl").exists() else []
    return {row["name"]: row for row in map(json.loads, lines)}


def load_splits(arguments: argparse.Namespace) -> dict[str, Reviews]:
    settings = DataSettings(name=arguments.data, limit=arguments.limit)
    splits = prepare(load_dataset(settings, console=Console(stderr=True)), settings)
    tables = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    return {
        name: Reviews(part["text"].to_pylist(), part["label"].to_numpy().astype(np.int64))
        for name, part in tables.items()
    }


def measured(peer: Peer, splits: dict[str, Reviews], work: Path, console: Console) -> Row:
    """Train, judge and time a peer, each in a process of its own."""
    every_core = os.sched_getaffinity(0)
    row: Row = {"name": peer.name, "ours": peer.ours, "family": peer.family, "settings": peer.settings}
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name)
        row |= alone(trained, peer, splits["train"], splits["validation"], folder, cores=every_core)
        console.print(f"    {row['size_bytes'] / 1e6:.1f} MB to ship")
        row |= alone(judged, peer, splits["test"], folder, cores=every_core)
        row |= alone(timed, peer, splits["test"].texts, folder, cores=every_core)
        one_core = alone(timed, peer, splits["test"].texts, folder, cores={min(every_core)})
        row["reviews_per_second_one_core"] = one_core["reviews_per_second"]
    accuracy = "random weights" if row["accuracy"] is None else f"{row['accuracy']:.2%}"
    console.print(f"    {accuracy}, {row['reviews_per_second']:,.0f} reviews/s")
    return row


def alone(function: Callable[..., Row], *arguments: Any, cores: set[int]) -> Row:
    """Call `function` in a fresh process that may use these cores only."""
    before = os.sched_getaffinity(0)
    # The child inherits them before it imports a library that counts its cores to size a pool of threads.
    os.sched_setaffinity(0, cores)
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(function, *arguments).result()
    finally:
        os.sched_setaffinity(0, before)


def trained(peer: Peer, train: Reviews, validation: Reviews, folder: Path) -> Row:
    row = {}
    if peer.family:
        peer.train(train.texts, train.labels)
        row["validation_accuracy"] = float(np.mean(peer.predict(validation.texts) == validation.labels))
    reviews = train + validation
    row["train_seconds"] = peer.train(reviews.texts, reviews.labels)
    peer.save(folder)
    return row | {"size_bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())}


def judged(peer: Peer, test: Reviews, folder: Path) -> Row:
    if peer.speed_only:
        return {"accuracy": None, "accuracy_ci95": None}
    peer.load(folder)
    accuracy = float(np.mean(peer.predict(test.texts) == test.labels))
    return {"accuracy": accuracy, "accuracy_ci95": wilson_interval(accuracy, len(test.labels))}


def timed(peer: Peer, texts: Sequence[str], folder: Path) -> Row:
    peer.load(folder)
    peer.predict(texts[:WARM_UP])
    batch_sizes = []

    def predict(batch: Sequence[str]) -> None:
        batch_sizes.append(len(batch))
        peer.predict(batch)

    speed = measure(predict, texts, seconds=SPEED_SECONDS)
    return {
        "reviews_per_second": speed.reviews_per_second,
        "reviews_timed_at_once": max(batch_sizes),
        "cores_used": speed.cores_used,
        "latency_ms_p50": speed.latency_ms_p50,
    }


def with_best_of_family(rows: list[Row]) -> list[Row]:
    """Mark the row of each family that validation prefers; one without a family is its only member."""
    best: dict[str, float] = {}
    for row in rows:
        if row["family"]:
            best[row["family"]] = max(best.get(row["family"], 0), row["validation_accuracy"])
    return [
        row | {"best_of_family": not row["family"] or row["validation_accuracy"] == best[row["family"]]} for row in rows
    ]


def table(rows: list[Row]) -> Table:
    result = Table("model", caption="* of several settings, what validation prefers")
    result.add_column("accuracy %", justify="right", no_wrap=True)
    for column in ("reviews/s", "one core", "ms, one", "MB", "train s"):
        result.add_column(column, justify="right")
    for row in rows:
        low, high = row["accuracy_ci95"] or (0, 0)
        result.add_row(
            row["name"] + (" *" if row["family"] and row["best_of_family"] else ""),
            f"{100 * row['accuracy']:.2f} ± {50 * (high - low):.2f}" if row["accuracy_ci95"] else "–",
            f"{row['reviews_per_second']:,.0f}",
            f"{row['reviews_per_second_one_core']:,.0f}",
            f"{row['latency_ms_p50']:.2f}",
            f"{row['size_bytes'] / 1e6:.1f}",
            "–" if row["train_seconds"] is None else f"{row['train_seconds']:.1f}",
            style="bold" if row["ours"] else None,
        )
    return result


def verdict(model: Row, rows: list[Row]) -> str:
    """Say which peers are as accurate as `model` and, with every core or with one, as fast."""
    speeds = ("reviews_per_second", "reviews_per_second_one_core")
    equals = [
        row["name"]
        for row in rows
        if not row["ours"]
        and (row["accuracy"] or 0) >= model["accuracy"]
        and any(row[speed] >= model[speed] for speed in speeds)
    ]
    return f"{', '.join(equals) or 'no peer'} is both as accurate and as fast as {model['name']}"


if __name__ == "__main__":
    main()
