import random

import numpy as np
import pytest

POSITIVE = ["fine", "superb", "moving", "delight"]
NEGATIVE = ["dull", "awful", "boring", "mess"]
FILLER = [
    "the",
    "film",
    "was",
    "and",
    "its",
    "plot",
    "with",
    "an",
    "actor",
    "in",
    "this",
    "scene",
    "of",
    "some",
    "music",
]


def invented(num_texts, seed=0, share_of_words=0.25):
    """Texts of two classes, told apart by a quarter of their words, and their label ids."""
    rng = random.Random(seed)
    texts, ids = [], []
    for i in range(num_texts):
        words = (NEGATIVE, POSITIVE)[i % 2]
        texts.append(
            " ".join(rng.choice(words if rng.random() < share_of_words else FILLER) for _ in range(12)) + f" {i}"
        )
        ids.append(i % 2)
    return texts, np.array(ids, np.int64)


@pytest.fixture(scope="session")
def reviews():
    return invented(240)


@pytest.fixture
def csv_file(tmp_path, monkeypatch, reviews):
    """A file of 240 texts in the current folder."""
    monkeypatch.chdir(tmp_path)
    texts, ids = reviews
    path = tmp_path / "reviews.csv"
    rows = [f"{text},{('neg', 'pos')[label]}" for text, label in zip(texts, ids, strict=True)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path
