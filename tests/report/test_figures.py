import xml.etree.ElementTree as ET

import pytest

from undertone.report import figures

EPOCHS = [
    {"event": "step", "step": 10, "epoch": 0, "train_loss": 0.7, "train_accuracy": 0.5},
    {"event": "step", "step": 20, "epoch": 0, "train_loss": 0.4, "train_accuracy": 0.8},
    {"event": "epoch", "step": 20, "epoch": 1, "validation_loss": 0.5, "validation_accuracy": 0.75},
]


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(scope="module")
def drawn():
    return {
        "loss": figures.learning_curve(EPOCHS, "loss"),
        "accuracy": figures.learning_curve(EPOCHS, "accuracy"),
        "reliability": figures.reliability_diagram([(10, 0.6, 0.5), (90, 0.95, 0.9)]),
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


def test_a_log_without_figures_has_no_curve():
    assert figures.learning_curve([{"event": "step", "step": 1}], "loss") is None


def test_a_long_log_is_thinned_to_what_can_be_seen():
    events = [{"event": "step", "step": step, "train_loss": 1 / (step + 1)} for step in range(50_000)]
    svg = figures.learning_curve(events, "loss")
    assert len(svg) < 30_000
    assert "50,000" in texts(svg) or "40,000" in texts(svg)


def test_every_model_is_named_beside_its_point(make_result):
    results = [
        make_result(model="bow", reviews_per_second=1e5),
        make_result(model="lstm <b>", reviews_per_second=1e3, accuracy=0.8, accuracy_ci95=(0.5, 0.9)),
    ]
    assert {"bow", "lstm <b>"} <= set(texts(figures.accuracy_against_speed(results)))


def test_models_with_the_same_figures_are_drawn_too(make_result):
    svg = figures.accuracy_against_speed([make_result(model="a"), make_result(model="b")])
    heights = {
        element.get("transform")
        for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
        if element.text in ("a", "b")
    }
    assert len(heights) == 2  # the names do not cover each other


def test_same_figures_give_the_same_bytes(drawn):
    assert figures.learning_curve(EPOCHS, "loss") == drawn["loss"]
