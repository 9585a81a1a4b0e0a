"""Tiny real objects that several folders of tests need."""

import pytest

from undertone.evaluate.results import Hardware, Latency, Result


def result_with(**changes):
    values = {
        "model": "bow",
        "kind": "bow",
        "data": "imdb",
        "split": "test",
        "n": 10,
        "accuracy": 0.9,
        "accuracy_ci95": (0.6, 0.98),
        "f1": 0.9,
        "auc": 0.95,
        "log_loss": 0.3,
        "ece": 0.02,
        "reviews_per_second": 1e5,
        "latency_ms": Latency(p50=0.1, p99=0.3),
        "size_bytes": 2_000_000,
        "parameters": 500_000,
        "train_seconds": 30.5,
        "seed": 0,
        "recipe": {"kind": "bow", "max_order": 3},
        "hardware": Hardware(cpu="A processor", cores=2, cores_used=1.0, gpu=None),
        "commit": "abc",
        "labels": ("neg", "pos"),
        "confusion": ((4, 1), (0, 5)),
    }
    return Result.model_validate(values | changes)


@pytest.fixture
def make_result():
    """Return a function that makes a result with the fields it is given and plausible others."""
    return result_with
