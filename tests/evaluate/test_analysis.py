import json

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binomtest

from plaudit.data.table import SCHEMA
from plaudit.errors import DataError
from plaudit.evaluate.analysis import analyze, mcnemar, read_analysis, write_analysis
from plaudit.evaluate.predictions import Predictions

N = 60


def table(ratings=True, groups=True):
    rows = [
        {
            "id": f"review {i}",
            "text": "word " * (20 if i < 40 else 120),
            "label": i % 2,
            "split": "test",
            "group": str(i) if i < 20 else f"many {i // 10}" if groups else None,
            "rating": (2 if i % 2 == 0 else 9) if ratings else None,
        }
        for i in range(N)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def predictions(model, wrong, *, ids=None):
    """Right but for the first `wrong` reviews, and the surer the later."""
    labels = np.arange(N) % 2
    confidence = np.linspace(0.51, 0.99, N)
    chosen = np.where(np.arange(N) < wrong, 1 - labels, labels)
    probabilities = np.full((N, 2), 0.0, np.float32)
    probabilities[np.arange(N), chosen] = confidence
    probabilities[np.arange(N), 1 - chosen] = 1 - confidence
    return Predictions(model, "test", ids or [f"review {i}" for i in range(N)], labels, probabilities)


def analysis_of(*models, **columns):
    return analyze(models, table(**columns), data="toy", split="test")


def slices(analysis, by):
    return {s.name: (s.n, s.accuracy) for s in analysis.models[0].slices if s.by == by}


def test_slices_hold_each_review_once():
    analysis = analysis_of(predictions("bow", 12))
    assert slices(analysis, "length") == {"0–49 words": (40, 28 / 40), "100–149 words": (20, 1)}
    assert slices(analysis, "rating") == {"2": (30, 24 / 30), "9": (30, 24 / 30)}
    assert slices(analysis, "reviews of its group") == {"1": (20, 8 / 20), "10–19": (40, 1)}


def test_what_is_not_known_has_no_slices():
    analysis = analysis_of(predictions("bow", 12), ratings=False, groups=False)
    assert {s.by for s in analysis.models[0].slices} == {"length"}


def test_accuracy_rises_where_the_model_may_abstain():
    coverage = analysis_of(predictions("bow", 12)).models[0].coverage
    assert (coverage[0].coverage, coverage[0].accuracy) == (1, 48 / 60)
    assert coverage[-1].accuracy == 1
    at_half = next(point for point in coverage if point.coverage == 0.5)
    assert at_half.threshold == pytest.approx(np.linspace(0.51, 0.99, N)[30], abs=1e-6)


def test_models_are_compared_on_the_reviews_that_only_one_gets_right():
    (pair,) = analysis_of(predictions("worse", 15), predictions("better", 5)).comparisons
    assert (pair.first, pair.second) == ("better", "worse")
    assert (pair.only_first_right, pair.only_second_right) == (10, 0)
    assert pair.difference == pytest.approx(10 / 60)
    assert pair.ci95[0] < pair.difference < pair.ci95[1]
    assert pair.p_value == pytest.approx(2 / 2**10)


def test_a_model_alone_is_compared_with_none():
    assert analysis_of(predictions("bow", 5)).comparisons == ()


def test_every_pair_is_compared_once():
    pairs = analysis_of(*(predictions(name, n) for name, n in (("a", 9), ("b", 3), ("c", 6)))).comparisons
    assert [(pair.first, pair.second) for pair in pairs] == [("b", "c"), ("b", "a"), ("c", "a")]


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (3, 3), (5, 9), (40, 17), (612, 700), (3_000, 2_000)])
def test_mcnemar_is_the_exact_test_of_a_fair_coin(first, second):
    expected = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


def test_predictions_of_other_reviews_are_refused():
    with pytest.raises(DataError, match="predictions of bow: are for other reviews than toy, test"):
        analysis_of(predictions("bow", 5, ids=[str(i) for i in range(N)]))


def test_an_analysis_survives_its_file_to_six_digits(tmp_path):
    analysis = analysis_of(predictions("a", 12), predictions("b", 3))
    write_analysis(tmp_path / "analysis.json", analysis)
    read = read_analysis(tmp_path / "analysis.json")
    assert read.comparisons[0].p_value == pytest.approx(analysis.comparisons[0].p_value, abs=1e-6)
    assert [m.model for m in read.models] == ["a", "b"]
    assert "word word" not in (tmp_path / "analysis.json").read_text()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [({"format": 7}, "format"), ({"models": None}, "models"), ({"surplus": 1}, "surplus"), (None, "it is not JSON")],
)
def test_another_file_is_refused_in_one_line(tmp_path, change, complaint):
    path = tmp_path / "analysis.json"
    write_analysis(path, analysis_of(predictions("a", 12)))
    path.write_text("{" if change is None else json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=complaint) as refusal:
        read_analysis(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)
    with pytest.raises(DataError, match="no such analysis file; `plaudit run` writes one"):
        read_analysis(tmp_path / "none.json")
