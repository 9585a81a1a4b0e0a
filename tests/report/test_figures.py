import xml.etree.ElementTree as ET

import pytest

from plaudit.evaluate.analysis import Coverage, ModelAnalysis, Slice
from plaudit.report import figures, scatter
from plaudit.report.leaderboard import Entry

EPOCHS = [
    {"event": "step", "step": 10, "epoch": 0, "train_loss": 0.7, "train_accuracy": 0.5},
    {"event": "step", "step": 20, "epoch": 0, "train_loss": 0.4, "train_accuracy": 0.8},
    {"event": "epoch", "step": 20, "epoch": 1, "validation_loss": 0.5, "validation_accuracy": 0.75},
]
SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]


def tooltips(svg):
    return [element.get("data-tooltip") for element in ET.fromstring(svg).iter() if element.get("data-tooltip")]


@pytest.fixture
def entry(make_result):
    """Return a function that makes a model by accuracy and speed."""

    def make(model, accuracy, speed, run="run"):
        ci95 = (accuracy - 0.01, accuracy + 0.01)
        result = make_result(model=model, accuracy=accuracy, accuracy_ci95=ci95, reviews_per_second=speed)
        return Entry((run,), (result,))

    return make


def analysis_of(model):
    return ModelAnalysis(
        model=model,
        reliability=((10, 0.6, 0.5), (90, 0.95, 0.9)),
        coverage=tuple(Coverage(coverage=c, accuracy=1 - c / 10, threshold=0.6) for c in (1.0, 0.5)),
        slices=(
            Slice(by="length", name="0–49 words", n=5, accuracy=0.8, ci95=(0.4, 0.9)),
            Slice(by="length", name="50–99 words", n=5, accuracy=0.6, ci95=(0.3, 0.8)),
        ),
    )


@pytest.fixture(scope="module")
def drawn():
    analyses = [analysis_of("bow"), analysis_of("lstm")]
    levels = [{"change": "typos", "model": "bow", "accuracy": 0.5, "tooltip": "bow, typos"}]
    return {
        "loss": figures.learning_curve(EPOCHS, "loss"),
        "accuracy": figures.learning_curve(EPOCHS, "accuracy"),
        "reliability": figures.reliability_diagram([(10, 0.6, 0.5), (90, 0.95, 0.9)]),
        "coverage": figures.coverage(analyses),
        "slices": figures.slices(analyses, "length"),
        "levels": figures.perturbations(levels),
    }


def test_charts_are_well_formed_and_suit_light_and_dark_pages(drawn):
    for svg in drawn.values():
        ET.fromstring(svg)
        assert "currentColor" in svg
        for black_or_white in ('"#000', '"black"', '"white"', '"#fff'):
            assert black_or_white not in svg
        assert "http" not in svg.replace("http://www.w3.org/", "")
        # Ids would clash with those of another chart on the page.
        assert " id=" not in svg


def test_learning_curve_names_both_parts(drawn):
    assert {"training", "validation"} <= set(texts(drawn["loss"]))


def test_lines_are_named_in_a_legend_and_points_have_tooltips(drawn):
    assert {"bow", "lstm"} <= set(texts(drawn["slices"]))
    assert "bow, 0–49 words: 80.0\u00a0% of 5 texts" in tooltips(drawn["slices"])
    assert "lstm: 95.0\u00a0% accuracy on the most confident 50\u00a0% (confidence at least 60.0\u00a0%)" in tooltips(
        drawn["coverage"]
    )


def test_a_kind_of_slice_that_no_model_has_is_not_drawn():
    assert figures.slices([analysis_of("bow")], "rating") is None


def test_a_log_without_figures_has_no_curve():
    assert figures.learning_curve([{"event": "step", "step": 1}], "loss") is None


def test_a_long_log_is_thinned_to_what_can_be_seen():
    events = [{"event": "step", "step": step, "train_loss": 1 / (step + 1)} for step in range(50_000)]
    svg = figures.learning_curve(events, "loss")
    assert len(svg) < 30_000
    assert "50,000" in texts(svg) or "40,000" in texts(svg)


def test_unbeaten_models_are_those_that_none_beats_in_both(entry):
    best, middle, fast = entry("best", 0.9, 1e2), entry("middle", 0.8, 1e3), entry("fast", 0.7, 1e4)
    slower, worse = entry("slower", 0.8, 5e2), entry("worse", 0.6, 1e4)
    assert scatter.unbeaten([slower, best, middle, worse, fast]) == [best, middle, fast]


def test_models_that_tie_are_both_unbeaten(entry):
    assert len(scatter.unbeaten([entry("a", 0.9, 1e3), entry("b", 0.9, 1e3)])) == 2


def test_unbeaten_models_are_labelled_and_the_others_have_tooltips(entry):
    models = [entry("bow", 0.8, 1e5), entry("lstm <b>", 0.9, 1e3), entry("beaten", 0.7, 1e2)]
    svg = scatter.accuracy_against_speed(models)
    assert {"bow", "lstm <b>"} <= set(texts(svg))
    assert "beaten" not in texts(svg)
    assert "beaten (run): 70.00\u00a0% at 100 texts/s" in tooltips(svg)


def test_a_label_is_at_the_height_of_its_point_where_nothing_is_in_its_way(entry):
    points = [
        scatter.Point("b", 1e5, 0.8, (0.79, 0.81), "lstm"),
        scatter.Point("unlabelled", 1e3, 0.85, (0.84, 0.86), "lstm", is_labelled=False),
        scatter.Point("a", 1e2, 0.9, (0.89, 0.91), "bow"),
    ]
    assert scatter.label_heights(points, ["left", "right", "right"]) == [0.8, None, 0.9]


def test_models_with_the_same_figures_are_drawn_too(entry):
    svg = scatter.accuracy_against_speed([entry("a", 0.9, 1e3), entry("b", 0.9, 1e3)])
    heights = {
        element.get("transform").split(",")[1]
        for element in ET.fromstring(svg).iter(f"{SVG}text")
        if element.text in ("a", "b")
    }
    assert len(heights) == 2  # the names do not cover each other


def test_same_figures_give_the_same_bytes(drawn):
    assert figures.learning_curve(EPOCHS, "loss") == drawn["loss"]
