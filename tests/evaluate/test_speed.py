import time

import numpy as np

from plaudit.evaluate.speed import MIN_CALLS, measure

REVIEWS = [f"review {number}" for number in range(1_000)]


class SlowByReview:
    """Takes a fixed time for each review and remembers how many it was given."""

    def __init__(self, seconds_per_review):
        self.seconds_per_review = seconds_per_review
        self.sizes = []

    def __call__(self, texts):
        self.sizes.append(len(texts))
        time.sleep(self.seconds_per_review * len(texts))
        return np.full((len(texts), 2), 0.5, dtype=np.float32)


def test_figures_are_those_of_the_predictor_and_percentiles_are_in_order():
    speed = measure(SlowByReview(0.0005), REVIEWS, seconds=0.2)
    assert 500 < speed.reviews_per_second <= 2_000
    assert 0.5 <= speed.latency_ms_p50 <= speed.latency_ms_p99
    assert speed.cores_used < 0.5  # sleeping uses none


def test_one_by_one_calls_are_enough_for_a_99th_percentile():
    predictor = SlowByReview(0.0)
    measure(predictor, REVIEWS, seconds=0.01)
    assert predictor.sizes.count(1) >= MIN_CALLS


def test_sample_grows_until_a_pass_takes_long_enough():
    predictor = SlowByReview(0.0)
    measure(predictor, REVIEWS, seconds=0.05)
    assert max(predictor.sizes) == len(REVIEWS)


def test_sample_is_spread_over_a_sorted_split():
    seen = []
    measure(lambda texts: seen.append(texts), REVIEWS, seconds=0.01)
    assert seen[0][0] == REVIEWS[0]
    assert seen[0][-1] == REVIEWS[-1]


def test_a_single_review_is_enough():
    assert measure(SlowByReview(0.0001), ["one"], seconds=0.01).reviews_per_second > 0
