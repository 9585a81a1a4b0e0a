"""Measures the effect of each setting of the bag of n-grams by five-fold cross-validation on IMDB train, by movie.

The test split is not touched. Writes docs/results/bow_ablation.json.
"""

import json
from pathlib import Path

import numpy as np
from rich.console import Console

from plaudit.data.load import DataSettings, load_dataset
from plaudit.evaluate.machine import code_version
from plaudit.evaluate.metrics import wilson_interval
from plaudit.models.bow.fit import fit_bow
from plaudit.models.bow.settings import BowSettings
from plaudit.settings import override

OUT = Path(__file__).parent.parent / "docs" / "results" / "bow_ablation.json"
NUM_FOLDS = 5
VARIANTS: dict[str, list[str]] = {
    "default": [],
    "2^24 slots": ["slot_bits=24"],
    "2^18 slots": ["slot_bits=18"],
    "2^17 slots": ["slot_bits=17"],
    "without punctuation": ["cleaning.punctuation=drop"],
    "English stop words dropped": ["cleaning.stop_words=en"],
    "words and bigrams only": ["max_order=2"],
    "words only": ["max_order=1"],
    "at least 3 times": ["min_count=3"],
    "at least 8 times": ["min_count=8"],
    "not normalized": ["norm=none"],
    "C = 0.1": ["inverse_regularization=0.1"],
    "C = 0.4": ["inverse_regularization=0.4"],
}


def main() -> None:
    console = Console(stderr=True)
    train = load_dataset(DataSettings(name="imdb")).split("train")
    texts = np.array(train["text"].to_pylist(), object)
    labels = train["label"].to_numpy().astype(np.int64)
    movies, movie = np.unique(train["group"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    fold = (np.random.default_rng(0).permutation(len(movies)) % NUM_FOLDS)[movie]
    rows = []
    for name, assignments in VARIANTS.items():
        settings = BowSettings.model_validate(override(BowSettings().model_dump(), assignments))
        right, losses, num_ngrams = [], [], []
        for held in range(NUM_FOLDS):
            model = fit_bow(
                settings, texts[fold != held].tolist(), labels[fold != held], ("negative", "positive"), console=console
            )
            probabilities = model.predict_proba(texts[fold == held].tolist()).astype(float)
            right.append(probabilities.argmax(1) == labels[fold == held])
            losses.append(-np.log(np.take_along_axis(probabilities, labels[fold == held, None], axis=1)))
            num_ngrams.append(len(model.keys))
        accuracy, log_loss = float(np.concatenate(right).mean()), float(np.concatenate(losses).mean())
        rows.append(
            {
                "variant": name,
                "settings": assignments,
                "accuracy": round(accuracy, 5),
                "accuracy_ci95": [round(end, 5) for end in wilson_interval(accuracy, len(labels))],
                "log_loss": round(log_loss, 5),
                "ngrams": round(np.mean(num_ngrams)),
            }
        )
        print(f"{accuracy:.2%}  {log_loss:.4f}  {rows[-1]['ngrams']:9,} n-grams  {name}", flush=True)
    content = {"data": "imdb train, 5 folds by movie, seed 0", "n": len(labels), "commit": code_version(), "rows": rows}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
