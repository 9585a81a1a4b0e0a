"""Measures how cleaning affects a bag of n-grams and an LSTM, on three splits of IMDB train by movie.

Evaluated on held-out training reviews; the test split is not read. Each line of --rows is one model, so an interrupted
study resumes where it stopped. Writes docs/results/cleaning.json.

    PLAUDIT_IMDB=aclImdb_v1.tar.gz python bench/cleaning.py --rows runs/cleaning.jsonl
"""

import argparse
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from plaudit.data.load import DataSettings, load_dataset
from plaudit.data.splits import Splits, prepare
from plaudit.evaluate.machine import code_version, cpu_name
from plaudit.models.bow.settings import BowSettings
from plaudit.models.lstm.settings import LSTMSettings
from plaudit.text.cleaning import CleaningSettings
from plaudit.train.bow import train_bow
from plaudit.train.context import TrainingContext
from plaudit.train.fit import fit_network
from plaudit.train.settings import TrainSettings

OUT = Path(__file__).parent.parent / "docs" / "results" / "cleaning.json"
SEEDS = (0, 1, 2)
VALIDATION_FRACTION = 0.2
SHORT = 200
NEGATIONS = frozenset(("no", "not", "nor", "never", "none", "nothing", "cannot", "without", "hardly", "barely"))
BOW: dict[str, Any] = {"refit": False}
LSTM: dict[str, Any] = {"embedding_size": 64, "hidden_size": 64, "vocabulary_size": 10_000, "max_tokens": 400}
TRAIN = TrainSettings(epochs=2, max_learning_rate=0.004, ema_decay=0.99)


@dataclass(frozen=True)
class Variant:
    """Changes to the cleaning settings, to the texts themselves, or to what an LSTM reads of a long one."""

    cleaning: dict[str, Any] = field(default_factory=dict)
    rewrite: Callable[[str], str] | None = None
    lstm: dict[str, Any] = field(default_factory=dict)


def negation_marked(text: str) -> str:
    """Prefix the words after a negation, up to the next punctuation mark (Das & Chen 2007): not GOOD, notXgood."""
    marked, is_negated = [], False
    for token in re.findall(r"<[^>]*>|[\w']+|\s+|.", text, flags=re.DOTALL):
        is_word = token[0].isalnum()
        marked.append(f"notX{token}" if is_negated and is_word else token)
        if is_word and (token.lower() in NEGATIONS or token.lower().endswith("n't")):
            is_negated = True
        elif not is_word and not token.isspace() and token not in ("'", '"'):
            is_negated = False
    return "".join(marked)


def _kept(words: int, *, head: bool, tail: bool) -> Callable[[str], str]:
    def cut(text: str) -> str:
        found = text.split(" ")
        if len(found) <= words:
            return text
        share = words // (head + tail)
        return " ".join([*(found[:share] if head else ()), *(found[-share:] if tail else ())])

    return cut


def _without_negations() -> tuple[str, ...]:
    words = set(CleaningSettings(stop_words="en").resolved().stop_words)
    negations = NEGATIONS | {"t"} | {word for word in words if word.endswith("n't")}
    return tuple(sorted(words - negations - {word.replace("'", "") for word in negations}))


VARIANTS: dict[str, Variant] = {
    "as shipped: no HTML, lower case, punctuation kept": Variant(),
    "HTML kept": Variant({"strip_html": False}),
    "case kept": Variant({"lowercase": False}),
    "digits dropped": Variant({"digits": "drop"}),
    "punctuation dropped": Variant({"punctuation": "drop"}),
    "letters only": Variant({"digits": "drop", "punctuation": "drop"}),
    "stop words dropped": Variant({"stop_words": "en"}),
    "stop words dropped, negations kept": Variant({"stop_words": "all but negations"}),
    "letters only, stop words dropped (the plan's)": Variant(
        {"digits": "drop", "punctuation": "drop", "stop_words": "en"}
    ),
    "negation marked": Variant(rewrite=negation_marked),
    f"first {SHORT} words": Variant(rewrite=_kept(SHORT, head=True, tail=False)),
    f"last {SHORT} words": Variant(rewrite=_kept(SHORT, head=False, tail=True)),
    f"first {SHORT // 2} and last {SHORT // 2} words": Variant(rewrite=_kept(SHORT, head=True, tail=True)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True, help="JSON-lines file of finished models, to resume from")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    done = [json.loads(line) for line in arguments.rows.read_text().splitlines()] if arguments.rows.exists() else []
    finished = {(row["variant"], row["kind"], row["seed"]) for row in done}
    dataset = load_dataset(DataSettings(name="imdb"), console=console)
    for seed in SEEDS:
        split = prepare(dataset, DataSettings(name="imdb", seed=seed, validation_fraction=VALIDATION_FRACTION))
        for name, variant in VARIANTS.items():
            for kind in ("bow", "lstm"):
                if (name, kind, seed) in finished:
                    continue
                row = {"variant": name, "kind": kind, "seed": seed, **_fitted(kind, variant, split, seed, console)}
                with arguments.rows.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                done.append(row)
                console.print(f"{row['accuracy']:.2%} {kind}, seed {seed}: {name}", highlight=False)
    content = {
        "data": f"imdb train, {VALIDATION_FRACTION:.0%} of its movies held out, {len(SEEDS)} splits",
        "command": "python bench/cleaning.py --rows runs/cleaning.jsonl",
        "hardware": cpu_name(),
        "commit": code_version(),
        "bow": BOW,
        "lstm": {**LSTM, "train": TRAIN.model_dump(mode="json")},
        "rows": _summary(done),
    }
    OUT.write_text(json.dumps(content, indent=1) + "\n")


def _fitted(kind: str, variant: Variant, split: Splits, seed: int, console: Console) -> dict[str, Any]:
    values = {"punctuation": "keep", **variant.cleaning}
    if values.get("stop_words") == "all but negations":
        values["stop_words"] = _without_negations()
    cleaning = CleaningSettings.model_validate(values)
    if variant.rewrite is not None:
        split = replace(split, train=_rewritten(split.train, variant), validation=_rewritten(split.validation, variant))
    with tempfile.TemporaryDirectory() as folder:
        context = TrainingContext(seed, Path(folder), resume=False, console=console)
        if kind == "bow":
            done = train_bow(BowSettings(cleaning=cleaning, **BOW), split, context)
        else:
            done = fit_network(LSTMSettings(cleaning=cleaning, **LSTM, **variant.lstm), TRAIN, split, context)
    accuracy, seconds = done.provenance.validation_accuracy, round(done.provenance.train_seconds, 1)
    return {"accuracy": accuracy, "reviews": len(split.validation), "train_seconds": seconds}


def _rewritten(table: pa.Table, variant: Variant) -> pa.Table:
    assert variant.rewrite is not None
    texts = pa.array([variant.rewrite(text) for text in table["text"].to_pylist()])
    return table.set_column(table.schema.get_field_index("text"), "text", texts)


def _summary(done: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean over seeds, and the mean difference from what ships with its standard error, paired by split."""
    rows = []
    first = next(iter(VARIANTS))
    for kind in ("bow", "lstm"):
        for name in VARIANTS:
            of = {row["seed"]: row["accuracy"] for row in done if row["variant"] == name and row["kind"] == kind}
            base = {row["seed"]: row["accuracy"] for row in done if row["variant"] == first and row["kind"] == kind}
            differences = [of[seed] - base[seed] for seed in SEEDS]
            rows.append(
                {
                    "kind": kind,
                    "variant": name,
                    "accuracies": [round(of[seed], 5) for seed in SEEDS],
                    "accuracy": round(float(np.mean(list(of.values()))), 5),
                    "difference": round(float(np.mean(differences)), 5),
                    "standard_error": round(float(np.std(differences, ddof=1) / len(SEEDS) ** 0.5), 5),
                }
            )
    return rows


if __name__ == "__main__":
    main()
