"""Scores trained models on IMDB's validation reviews, to choose between them.

    python bench/validation.py MODEL … [--blend MODEL …] [--out FILE]

MODEL is a folder of a run's models; each is compared with the first: the difference of log losses has a 95 % interval
by bootstrap over movies. Those after --blend are blended as in an ensemble, all of them and all but each. Logits are
cached, so that another model can be added in a moment.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from plaudit.bundle.folder import load_bundle
from plaudit.compress.base import Teacher
from plaudit.compress.cached_logits import cached_logits
from plaudit.data.load import DataSettings, load_dataset
from plaudit.data.splits import prepare
from plaudit.evaluate.bootstrap import draws, percentile_interval
from plaudit.evaluate.machine import code_version
from plaudit.models.ensemble import blend, fit_weights
from plaudit.train.labels import labels_of


def main():
    """Score every model on validation, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--blend", type=Path, nargs="+", default=[], metavar="MODEL")
    parser.add_argument("--out", type=Path, default=Path("docs/results/validation.json"))
    arguments = parser.parse_args()
    console = Console(stderr=True)
    data = DataSettings(name="imdb")
    splits = prepare(load_dataset(data, console=console), data)
    texts, labels = splits.validation["text"].to_pylist(), labels_of(splits.validation)
    drawn = list(draws(splits.validation["group"].to_pylist(), seed=0))
    logits_of, seconds = {}, {}
    for folder in dict.fromkeys([*arguments.models, *arguments.blend]):
        bundle = load_bundle(folder)
        logits_of[folder] = cached_logits(Teacher(folder.name, bundle.model), texts, console=console)
        seconds[str(folder)] = bundle.provenance.train_seconds
    scored = {str(folder): logits_of[folder] for folder in arguments.models}
    if arguments.blend:
        scored["all of --blend"] = blended(arguments.blend, logits_of, labels)
        for left_out in arguments.blend:
            others = [folder for folder in arguments.blend if folder != left_out]
            scored[f"all of --blend but {left_out.name}"] = blended(others, logits_of, labels)
    rows, first = [], None
    for name, logits in scored.items():
        logits = logits.astype(float)
        nats = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]
        first = nats if first is None else first
        difference = nats - first
        rows.append(
            {
                "model": name,
                "accuracy": round(float((logits.argmax(1) == labels).mean()), 5),
                "log_loss": round(float(nats.mean()), 5),
                "log_loss_less_the_first": round(float(difference.mean()), 5),
                "ci95": [round(end, 5) for end in percentile_interval(np.array([difference[d].mean() for d in drawn]))],
                "train_seconds": seconds.get(name),
            }
        )
    table = Table("model", "accuracy %", "log loss", "less the first")
    for row in rows:
        low, high = row["ci95"]
        difference = f"{row['log_loss_less_the_first']:+.4f} ({low:+.4f} to {high:+.4f})"
        table.add_row(row["model"], f"{100 * row['accuracy']:.2f}", f"{row['log_loss']:.4f}", difference)
    Console().print(table)
    command = shlex.join(["python", "bench/validation.py", *sys.argv[1:]])
    content = {"command": command, "n": len(labels), "commit": code_version(), "rows": rows}
    arguments.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def blended(folders, logits, labels):
    """Return the blended logits of models, with weights fitted to these labels as those of an ensemble are."""
    chosen = [logits[folder] for folder in folders]
    return blend(chosen, fit_weights(chosen, labels).tolist())


if __name__ == "__main__":
    main()
