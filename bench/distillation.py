"""Which objective, and how large a transfer set? Trains students in every way and evaluates them on validation.

    python bench/distillation.py RECIPE --teacher DIR [--teacher DIR …] [--seeds 3] [--out FILE]

RECIPE holds the students: models with a kind, no compression. For each: the control (labels of train alone), each
objective on train + unlabelled, and softened KL on train alone. Rows are kept in a JSON-lines file
in --work, so that an interrupted run resumes. The difference from the control has a 95 % interval by paired
bootstrap over the validation reviews, each counted with the mean over its seeds.
"""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from plaudit.bundle.folder import load_bundle, load_trainable
from plaudit.compress.base import Teacher
from plaudit.compress.distill import features_of, label
from plaudit.compress.distill_bow import fit_bow_student, student_ngrams
from plaudit.compress.settings import TransferSettings
from plaudit.compress.transfer import transfer_set
from plaudit.data.load import load_dataset
from plaudit.data.splits import prepare
from plaudit.evaluate.machine import code_version, cpu_name
from plaudit.models.bow.settings import BowSettings
from plaudit.pipeline.recipe import read_recipe
from plaudit.train.context import TrainingContext
from plaudit.train.fit import label_trainer, new_model
from plaudit.train.labels import labels_of
from plaudit.train.settings import ObjectiveSettings
from plaudit.train.targets import Targets

TRANSFER_SETS = {
    "train": TransferSettings(sources=("train",)),
    "train + unlabelled": TransferSettings(),
}
CONTROL = ("hard", "train")
WAYS = {
    CONTROL: {"hard": 1.0},
    ("kl", "train"): {"kl": 1.0},
    ("kl", "train + unlabelled"): {"kl": 1.0},
    ("logit-mse", "train + unlabelled"): {"logit-mse": 1.0},
    ("hard + kl", "train + unlabelled"): {"hard": 0.5, "kl": 0.5},
    ("kl + feature", "train + unlabelled"): {"kl": 1.0, "feature": 1.0},
}
NUM_RESAMPLES = 10_000


def main():
    """Train the students that are still missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--teacher", type=Path, action="append", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("runs/distillation"))
    parser.add_argument("--out", type=Path, default=Path("docs/results/distillation.json"))
    arguments = parser.parse_args()
    console = Console()
    recipe = read_recipe(arguments.recipe)
    splits = prepare(load_dataset(recipe.data, console=console), recipe.data)
    work = Work(splits, arguments, console)
    for seed in range(arguments.seeds):
        for name, entry in recipe.models.items():
            for way in WAYS:
                # A bow is fitted in closed form: another seed changes nothing. It has no features.
                if isinstance(entry.model, BowSettings) and (seed or "feature" in WAYS[way]):
                    continue
                if (name, *way, seed) not in work.done:
                    work.add(name, entry, way, seed)
    content = {
        "command": shlex.join(["python", "bench/distillation.py", *sys.argv[1:]]),
        "recipe": recipe.resolved(),
        "teacher_weights": work.teacher_weights,
        "n": splits.validation.num_rows,
        "cpu": cpu_name(),
        "commit": code_version(),
        "rows": [row for name in recipe.models for row in table(name, work.rows, labels_of(splits.validation))],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


class Work:
    """The rows so far, and what the trainings share."""

    def __init__(self, splits, arguments, console):
        self.splits, self.console, self.work = splits, console, arguments.work
        self.work.mkdir(parents=True, exist_ok=True)
        self.path = self.work / "rows.jsonl"
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.rows = [json.loads(line) for line in lines]
        self.done = {(row["student"], row["objective"], row["transfer"], row["seed"]) for row in self.rows}
        self.folders = arguments.teacher
        self.teachers = [Teacher(folder.name, load_bundle(folder).model) for folder in self.folders]
        self.texts, self.ngrams = {}, {}
        for name, settings in TRANSFER_SETS.items():
            self.texts[name] = transfer_set(splits, settings)
        texts = self.texts["train + unlabelled"]
        largest = label(self.teachers, splits, texts, weights=None, console=Console(stderr=True))
        self.teacher_weights = largest.provenance["weights"]
        self.soft = {name: largest.of(texts.ids, source=name) for name, texts in self.texts.items()}
        self.features = None

    def add(self, name, entry, way, seed):
        """Train one student and keep its results on validation."""
        losses, transfer = WAYS[way], self.texts[way[1]]
        if "feature" in losses and self.features is None:
            networks = [Teacher(folder.name, load_trainable(folder).model) for folder in self.folders]
            self.features = features_of(networks, transfer.texts)
        features = self.features if "feature" in losses else None
        targets = Targets(transfer.labels, None if way == CONTROL else self.soft[way[1]], features)
        objective = ObjectiveSettings(losses=losses)
        start = time.perf_counter()
        if isinstance(entry.model, BowSettings):
            student = self.fit_bow(entry.model, way, transfer, targets, objective)
        else:
            context = TrainingContext(seed, self.work / "training", resume=False, console=self.console)
            student, _ = new_model(entry.model, self.splits, transfer.texts, None, context)
            validation = self.splits.validation
            label_trainer(student, entry.train, transfer.texts, targets, validation, context, objective=objective).run()
        seconds = time.perf_counter() - start
        logits = student.logits(self.splits.validation["text"].to_pylist())
        logits = logits.astype(float) - np.logaddexp.reduce(logits.astype(float), axis=1)[:, None]
        labels = labels_of(self.splits.validation)
        row = {
            "student": name,
            "objective": way[0],
            "transfer": way[1],
            "seed": seed,
            "texts": len(transfer),
            "seconds": round(seconds, 1),
            "log_loss": round(-float(logits[np.arange(len(labels)), labels].mean()), 5),
            "wrong": np.flatnonzero(logits.argmax(1) != labels).tolist(),
        }
        self.rows.append(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        accuracy = 1 - len(row["wrong"]) / len(labels)
        self.console.print(f"{name}, {way[0]}, {way[1]}, seed {seed}: {accuracy:.2%}, {seconds:,.0f} s")

    def fit_bow(self, settings, way, transfer, targets, objective):
        """Fit a bow student on n-grams that the objectives share."""
        place = (settings, way[1], way == CONTROL)
        if place not in self.ngrams:
            self.ngrams = {place: student_ngrams(settings, transfer.texts, targets, len(self.splits.labels))}
        return fit_bow_student(
            settings, self.ngrams[place], targets, self.splits.labels, objective=objective, console=self.console
        )


def table(student, rows, labels):
    """Return a row for each way: mean accuracy and log loss over seeds, and the difference from the control."""
    of_way = {}
    for way in WAYS:
        members = [row for row in rows if (row["student"], row["objective"], row["transfer"]) == (student, *way)]
        if members:
            right = np.ones((len(members), len(labels)))
            for i, row in enumerate(members):
                right[i, row["wrong"]] = 0
            of_way[way] = (members, right)
    control = of_way[CONTROL][1].mean(axis=0)
    random = np.random.default_rng(0)
    draws = random.integers(len(labels), size=(NUM_RESAMPLES, len(labels)))
    for way, (members, right) in of_way.items():
        difference = right.mean(axis=0) - control
        interval = np.percentile(difference[draws].mean(axis=1), [2.5, 97.5])
        by_seed = right.mean(axis=1)
        yield {
            "student": student,
            "objective": way[0],
            "transfer": way[1],
            "texts": members[0]["texts"],
            "seeds": len(members),
            "accuracy": round(float(by_seed.mean()), 5),
            "accuracy_by_seed": [round(float(value), 5) for value in by_seed],
            "log_loss": round(float(np.mean([row["log_loss"] for row in members])), 5),
            "points_over_control": round(100 * float(difference.mean()), 3),
            "points_over_control_ci95": [round(100 * float(end), 3) for end in interval],
            "seconds": round(float(np.mean([row["seconds"] for row in members])), 1),
        }


if __name__ == "__main__":
    main()
