import pytest
from scipy.stats import t

from plaudit.report.leaderboard import leaderboards
from plaudit.report.run_folder import RunFolder

SETTINGS = {"models": {"bow": {"max_order": 3}}, "data": {"name": "imdb"}}


@pytest.fixture
def put_together(make_result):
    """Return a function from (run, changes of a result) pairs to leaderboards."""

    def build(*made):
        return leaderboards([RunFolder(run, (make_result(**changes),)) for run, changes in made])

    return build


def test_models_that_differ_in_their_seed_alone_are_one_with_mean_and_students_interval(put_together):
    accuracies = (0.90, 0.92, 0.94)
    made = [(f"run-{s}", {"seed": s, "accuracy": a, "recipe": SETTINGS}) for s, a in enumerate(accuracies)]
    (board,) = put_together(*made)
    (entry,) = board.entries
    assert entry.runs == ("run-0", "run-1", "run-2")
    assert entry.name == "bow (run-0)"
    assert entry.accuracy == pytest.approx(0.92)
    half = t.ppf(0.975, 2) * 0.02 / 3**0.5
    assert entry.interval == pytest.approx((0.92 - half, 0.92 + half), rel=1e-4)


def test_a_model_made_once_has_wilsons_interval(put_together):
    (board,) = put_together(("run", {"recipe": SETTINGS}))
    assert board.best.interval == (0.6, 0.98)


def test_a_seed_that_was_scored_twice_counts_once(put_together):
    (board,) = put_together(("a", {"recipe": SETTINGS}), ("b", {"recipe": SETTINGS, "accuracy": 0.8}))
    (entry,) = board.entries
    assert (entry.runs, entry.accuracy) == (("a",), 0.9)


@pytest.mark.parametrize(
    "other",
    [
        {"model": "lstm"},
        {"recipe": {"models": {"bow": {"max_order": 2}}, "data": {"name": "imdb"}}},
        {"recipe": SETTINGS | {"data": {"name": "imdb", "min_words": 3}}},
        {"recipe": None},
    ],
    ids=["name", "settings", "data", "settings not known"],
)
def test_models_of_another_name_or_settings_stay_apart(put_together, other):
    (board,) = put_together(("a", {"recipe": SETTINGS}), ("b", {"recipe": SETTINGS, "seed": 1} | other))
    assert len(board.entries) == 2


def test_the_test_split_of_most_reviews_leads_and_the_most_accurate_model_in_it(put_together):
    found = put_together(
        ("a", {"split": "validation", "n": 99, "confusion": ((49, 0), (0, 50))}),
        ("a", {"data": "small", "n": 5, "confusion": ((2, 0), (0, 3))}),
        ("a", {"accuracy": 0.7, "recipe": None}),
        ("b", {"accuracy": 0.8, "recipe": None, "reviews_per_second": 1.0, "size_bytes": 1}),
    )
    assert [(board.data, board.split) for board in found] == [
        ("imdb", "test"),
        ("small", "test"),
        ("imdb", "validation"),
    ]
    lead = found[0]
    assert (lead.best.name, lead.fastest.name, lead.smallest.name) == ("bow (b)", "bow (a)", "bow (b)")


def test_results_on_different_reviews_never_share_a_table(put_together):
    found = put_together(("a", {}), ("b", {"data_digest": "e" * 64, "n": 20, "confusion": ((10, 0), (0, 10))}))
    assert [(board.n, len(board.entries)) for board in found] == [(20, 1), (10, 1)]
