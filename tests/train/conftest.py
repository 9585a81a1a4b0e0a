import random
from contextlib import contextmanager

import pyarrow as pa
import pytest
import torch

from plaudit.data.splits import Splits
from plaudit.data.table import SCHEMA
from plaudit.device import has_bf16
from plaudit.train import loop

WORDS = {
    0: ["dull", "tedious", "awful", "boring", "weak", "mess", "waste"],
    1: ["moving", "lovely", "superb", "funny", "gripping", "gem", "delight"],
}
PRECISIONS = ["fp32"] + ["bf16"] * has_bf16(torch.device("cpu"))
"""What this processor can train in."""
NEUTRAL = ["the", "film", "was", "a", "story", "about", "people", "and", "their", "dog", "in", "town"]


def table(num_reviews: int, split: str, seed: int) -> pa.Table:
    generator = random.Random(seed)
    rows = []
    for number in range(num_reviews):
        label = number % 2
        words = generator.choices(NEUTRAL, k=generator.randint(1, 30)) + generator.choices(WORDS[label], k=2)
        generator.shuffle(words)
        row = {"id": f"{split}/{number}", "text": " ".join(words), "label": label, "split": split}
        rows.append({"group": None, "rating": None, **row})
    return pa.Table.from_pylist(rows, SCHEMA)


def splits_of(num_train: int = 120, num_validation: int = 40) -> Splits:
    empty = SCHEMA.empty_table()
    return Splits(
        train=table(num_train, "train", 1),
        validation=table(num_validation, "validation", 2),
        test=empty,
        unlabelled=empty,
        labels=("negative", "positive"),
        dropped={},
        name="tiny",
        digest="",
    )


@pytest.fixture(autouse=True)
def one_thread():
    """Keep tiny networks from waiting for each other's threads when several tests run at once."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_splits():
    """Return a function that makes splits of so many train and validation reviews."""
    return splits_of


@pytest.fixture
def splits():
    return splits_of()


class Killed(BaseException):
    """Stands in for SIGKILL in the same process: nothing of ours catches it."""


@pytest.fixture
def killed_after(monkeypatch):
    """Return a context in which training dies when it has taken so many steps, as it must."""

    @contextmanager
    def dying(steps):
        original, taken = loop.train_step, []

        def killing(*arguments, **named):
            if len(taken) == steps:
                raise Killed
            taken.append(None)
            return original(*arguments, **named)

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(loop, "train_step", killing)
            yield

    return dying
