import numpy as np
import pytest

from plaudit.evaluate.bootstrap import draws, intervals, percentile_interval
from plaudit.evaluate.metrics import METRICS, wilson_interval


def judged(n, accuracy=0.8, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    is_right = rng.random(n) < accuracy
    confidence = rng.uniform(0.5, 1, n)
    chosen = np.where(is_right, labels, 1 - labels)
    probabilities = np.stack([1 - confidence, confidence], axis=1)
    probabilities[chosen == 0] = probabilities[chosen == 0, ::-1]
    return labels, probabilities


def test_groups_are_drawn_whole():
    groups = ["a", "b", "a", None, "c", "b", "a"]
    for rows in draws(groups, seed=0, num_draws=50):
        counts = np.bincount(rows, minlength=len(groups))
        assert counts[0] == counts[2] == counts[6]
        assert counts[1] == counts[5]
        assert counts[0] + counts[1] + counts[3] + counts[4] == 4


def test_reviews_without_a_group_are_drawn_one_by_one():
    drawn = np.concatenate(list(draws([None] * 10, seed=0, num_draws=2_000)))
    assert np.bincount(drawn) == pytest.approx(np.full(10, 2_000), rel=0.1)


def test_a_seed_gives_the_same_draws():
    first, again, other = (np.concatenate(list(draws(["a", "b", None], seed=s, num_draws=20))) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_interval_of_independent_reviews_is_close_to_wilsons():
    labels, probabilities = judged(500)
    found = intervals({"accuracy": METRICS["accuracy"]}, labels, probabilities, [None] * 500, seed=0)["accuracy"]
    assert found == pytest.approx(wilson_interval(METRICS["accuracy"](labels, probabilities), 500), abs=0.01)


def test_reviews_that_resemble_each_other_widen_the_interval():
    labels, probabilities = (np.repeat(part, 10, axis=0) for part in judged(50))
    groups = [str(i // 10) for i in range(500)]
    accuracy = {"accuracy": METRICS["accuracy"]}
    (low, high), (low_alone, high_alone) = (
        intervals(accuracy, labels, probabilities, g, seed=0)["accuracy"] for g in (groups, [None] * 500)
    )
    assert high - low > 2 * (high_alone - low_alone)


def test_every_metric_lies_within_its_interval():
    labels, probabilities = judged(400)
    found = intervals(METRICS, labels, probabilities, [None] * 400, seed=0)
    for name in METRICS.keys() - {"ece"}:  # whose draws are noisier than the whole, and so higher
        low, high = found[name]
        assert low < METRICS[name](labels, probabilities) < high


def test_a_metric_that_some_draw_leaves_undefined_has_no_interval():
    labels = np.array([0, 0, 1])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
    assert intervals(METRICS, labels, probabilities, [None] * 3, seed=0)["auc"] is None
    assert percentile_interval(np.array([0.1, np.nan])) is None
