"""Measures reviews per second on one core, from raw text to vocabulary ids and to a bag of n-grams' predictions.

Each is compared with a plain alternative in Python, since the ratio carries over to other machines. Every figure is the
best of several passes, in processor time of this thread; the gain from two threads is measured in elapsed time.
Writes docs/results/bench_text_kernel.json, unless --out names another file.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from plaudit.bundle.folder import load_bundle
from plaudit.bundle.locate import model_folder
from plaudit.data.load import DataSettings, load_dataset
from plaudit.evaluate.machine import code_version, cpu_name
from plaudit.models.bow.model import BowModel, pruned
from plaudit.text.cleaning import CleaningSettings
from plaudit.text.reference import tokenize
from plaudit.text.vocabulary import Vocabulary
from plaudit.threads import VARIABLE, num_threads

OUT = Path(__file__).parent.parent / "docs" / "results" / "bench_text_kernel.json"
NUM_KEPT, SLOT_BITS = 80_000, 17
"""Of a pruned bow, whose table fits the cache of a core."""


def reviews_per_second(
    work: Callable[[Sequence[str]], object],
    texts: Sequence[str],
    passes: int,
    clock: Callable[[], float] = time.process_time,
) -> float:
    work(texts[:100])  # compile and warm up
    seconds = []
    for _ in range(passes):
        start = clock()
        work(texts)
        seconds.append(clock() - start)
    return len(texts) / min(seconds)


def speedup_of_two_threads(bow: BowModel, texts: Sequence[str], passes: int) -> float | None:
    """Return None where there is one core."""
    del os.environ[VARIABLE]
    if num_threads() == 1:
        return None
    rates = []
    for threads in ("1", "2"):
        os.environ[VARIABLE] = threads
        rates.append(reviews_per_second(bow.predict_proba, texts, passes, time.perf_counter))
    return round(rates[1] / rates[0], 2)


def count_vectorizer(vocabulary: Vocabulary) -> Callable[[Sequence[str]], object]:
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(vocabulary=list(vocabulary.words), token_pattern=r"[^\W_]+").transform


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="imdb-train", help="whose train split is read")
    parser.add_argument("--passes", type=int, default=7)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    os.environ[VARIABLE] = "1"
    texts = load_dataset(DataSettings(name=arguments.data)).split("train")["text"].to_pylist()
    few = texts[:: len(texts) // 2000]  # the plain ways take a hundred times as long

    cleaning = CleaningSettings()
    vocabulary = Vocabulary.build(texts, cleaning, max_words=30_000)
    ids = {word: i + 2 for i, word in enumerate(vocabulary.words)}
    bow = load_bundle(model_folder("bow")).model
    assert isinstance(bow, BowModel)
    small_bow = pruned(bow, NUM_KEPT, SLOT_BITS)
    rates = {
        "ids: this kernel": reviews_per_second(vocabulary.encode, texts, arguments.passes),
        "ids: the plain reference": reviews_per_second(
            lambda part: [np.array([ids.get(token, 1) for token in tokenize(text, cleaning)]) for text in part], few, 1
        ),
        "counts: scikit-learn's CountVectorizer": reviews_per_second(count_vectorizer(vocabulary), few, 3),
        "bow: raw text to probabilities": reviews_per_second(bow.predict_proba, texts, arguments.passes),
        f"bow of the {NUM_KEPT:,} largest weights": reviews_per_second(
            small_bow.predict_proba, texts, arguments.passes
        ),
    }
    for name, rate in rates.items():
        print(f"{rate:12,.0f} reviews/s  {name}")
    print(f"{rates['ids: this kernel'] / rates['ids: the plain reference']:12.0f} × the plain reference")
    speedup = speedup_of_two_threads(small_bow, texts, arguments.passes)
    print(f"{speedup:12} × with two threads" if speedup else "              two threads: not measured on one core")
    content = {
        "reviews_per_second_one_core": {name: round(rate) for name, rate in rates.items()},
        "speedup_of_two_threads": speedup,
    }
    content |= {"n": len(texts), "data": arguments.data, "cpu": cpu_name(), "commit": code_version()}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(content, indent=1) + "\n")
    print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
