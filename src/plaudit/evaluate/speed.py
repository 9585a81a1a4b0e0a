"""Measures throughput and latency of a model on this machine."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

FIRST_BATCH = 64
MIN_PASSES = 3
MIN_CALLS = 200
MAX_CALLS = 5_000


@dataclass(frozen=True)
class Speed:
    """`cores_used` is processor time over elapsed time while measuring throughput: 1.0 is one busy core."""

    reviews_per_second: float
    latency_ms_p50: float
    latency_ms_p99: float
    cores_used: float


def measure(predict_proba: Callable[[Sequence[str]], Any], texts: Sequence[str], *, seconds: float) -> Speed:
    """Time `predict_proba` on `texts`, for about `seconds` in batches and as long one by one.

    Throughput is the median of passes over an evenly spaced sample, small enough for several passes in that time. A
    model too slow for MIN_PASSES passes or MIN_CALLS calls in `seconds` gets the time it needs.
    """
    sample = _spaced(texts, FIRST_BATCH)
    predict_proba(sample)  # warm up: compiles, fills caches
    while len(sample) < len(texts) and (elapsed := _faster_of_two(predict_proba, sample)) < seconds / 10:
        # At most ×8 at a time, because small batches predict the time of large ones poorly.
        growth = min(8.0, seconds / 5 / elapsed)
        sample = _spaced(texts, max(len(sample) + 1, int(len(sample) * growth)))

    passes: list[tuple[float, float]] = []
    deadline = time.perf_counter() + seconds
    while len(passes) < MIN_PASSES or time.perf_counter() < deadline:
        passes.append(_timed(predict_proba, sample))
    walls, busy = np.array(passes).T

    calls: list[float] = []
    singles = [[text] for text in _spaced(texts, MAX_CALLS)]
    predict_proba(singles[0])  # warm up: a single review may take another code path
    deadline = time.perf_counter() + seconds
    while len(calls) < MIN_CALLS or (len(calls) < MAX_CALLS and time.perf_counter() < deadline):
        calls.append(_timed(predict_proba, singles[len(calls) % len(singles)])[0])
    p50, p99 = np.percentile(calls, [50, 99]) * 1_000

    return Speed(
        reviews_per_second=len(sample) / float(np.median(walls)),
        latency_ms_p50=float(p50),
        latency_ms_p99=float(p99),
        cores_used=float(busy.sum() / walls.sum()),
    )


def _spaced(texts: Sequence[str], count: int) -> list[str]:
    """Return evenly spaced texts, because splits are often sorted by label or rating."""
    positions = np.linspace(0, len(texts) - 1, min(count, len(texts))).astype(int)
    return [texts[position] for position in positions]


def _faster_of_two(predict_proba: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> float:
    """Return the shorter time of two calls, because the first may include compilation."""
    return min(_timed(predict_proba, texts)[0] for _ in range(2))


def _timed(predict_proba: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> tuple[float, float]:
    """Return the elapsed and processor seconds of a call."""
    busy, wall = time.process_time(), time.perf_counter()
    predict_proba(texts)
    return time.perf_counter() - wall, time.process_time() - busy
