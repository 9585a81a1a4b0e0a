"""What the report tells the owner of some texts: how far to trust it, what decides, what to do next, the recipe."""

import itertools
import json
import tomllib

import pytest

from plaudit.data.quality.report import inspect
from plaudit.data.table import Dataset
from plaudit.evaluate.analysis import Analysis, Comparison, Coverage, ModelAnalysis
from plaudit.pipeline.recipe import read_recipe
from plaudit.report.compose import compose
from plaudit.report.document import Code, Heading, Paragraph, SideBySide, Table
from plaudit.report.html import render
from plaudit.report.run_folder import Candidate, Choice, RunFolder, read_runs
from plaudit.report.sections.summary import as_toml
from tests.report.conftest import make_table


def report_on(*results, **files):
    return compose([RunFolder("mine", results, **files)], excerpt_characters=300)


def blocks_of(document, chapter):
    found = [section.blocks for section in document.sections if section.name == chapter]
    for block in found[0] if found else ():
        yield from block.blocks if isinstance(block, SideBySide) else [block]


def texts_of(document, chapter):
    return "\n".join(block.text for block in blocks_of(document, chapter) if isinstance(block, Paragraph))


@pytest.fixture
def own(make_result):
    """A function that makes a result of 200 texts of a file from its confusion table."""

    def make(confusion=((85, 5), (10, 100)), **changes):
        n = sum(map(sum, confusion))
        right = sum(row[i] for i, row in enumerate(confusion))
        accuracy = right / n
        ci95 = changes.pop("accuracy_ci95", (max(0, accuracy - 0.04), min(1, accuracy + 0.04)))
        known = {"data": "replies.csv", "n": n, "accuracy": accuracy, "accuracy_ci95": ci95, "confusion": confusion}
        return make_result(**known, **changes)

    return make


def baselines_of(own):
    guessing = own(((0, 90), (0, 110)), model="largest class", kind="baseline", reviews_per_second=9e9, recipe=None)
    rival = own(((80, 10), (14, 96)), model="TF-IDF + logistic regression", kind="baseline", recipe=None, seed=None)
    return guessing, rival


def test_the_headline_is_a_sentence_with_the_interval_and_the_largest_class(own):
    title = report_on(own()).title
    assert title.replace("\u00a0", " ") == "92.5 % accuracy on 200 texts (88.5–96.5); always guessing “pos” gets 55.0 %"


@pytest.mark.parametrize(
    ("confusion", "ci95", "caution"),
    [
        (((85, 5), (10, 100)), (0.88, 0.96), None),
        (((4, 1), (0, 45)), (0.895, 0.99), "Only 50 texts were tested"),
        (((0, 20), (0, 180)), (0.85, 0.93), "bow is no better than always guessing “pos”"),
        (((15, 5), (10, 170)), (0.88, 0.95), "bow may be no better than always guessing “pos”"),
    ],
)
def test_what_the_headline_cannot_be_trusted_for_is_said_above_all(own, confusion, ci95, caution):
    document = report_on(own(confusion, accuracy_ci95=ci95))
    if caution is None:
        assert document.cautions == ()
    else:
        assert any(text.startswith(caution) for text in document.cautions)
        assert render(document).index(caution.split("“")[0]) < render(document).index('<section id="evaluation"')


def test_a_baseline_is_a_row_of_the_comparison_and_nothing_else(own):
    document = report_on(own(), *baselines_of(own))
    scores = next(blocks_of(document, "evaluation"))
    assert [row[0] for row in scores.rows] == ["bow", "TF-IDF + logistic regression", "largest class"]
    assert "9,000,000,000" not in render(document)
    assert document.title.startswith("92.5")  # of the only model, which needs no name
    assert {section.name for section in document.sections} == {"evaluation", "next", "recipe"}
    measured = texts_of(document, "recipe")
    assert "A processor" in measured and "TF-IDF" not in measured


def test_a_baseline_that_wins_is_a_caution_and_not_the_best_model(own):
    document = report_on(own(((80, 10), (30, 80))), *baselines_of(own))
    assert document.title.startswith("80.0")
    assert any("TF-IDF + logistic regression is more accurate: 88.0" in text for text in document.cautions)


def test_a_model_is_compared_with_baselines_but_they_not_with_each_other(own):
    results = (own(), *baselines_of(own))
    names = [result.model for result in results]
    pairs = [(names[0], names[1]), (names[0], names[2]), (names[2], names[1])]
    figures = {"difference": 0.1, "ci95": (0.0, 0.2), "only_first_right": 9, "only_second_right": 3, "p_value": 0.1}
    compared = tuple(Comparison(first=first, second=second, **figures) for first, second in pairs)
    models = tuple(
        ModelAnalysis(
            model=name,
            reliability=((400, 0.9, 0.9),),
            coverage=(Coverage(coverage=1.0, accuracy=0.9, threshold=0.5),),
            slices=(),
        )
        for name in names
    )
    analysis = Analysis(data="replies.csv", split="test", models=models, comparisons=compared)
    document = report_on(*results, analysis=analysis)
    tables = [block for block in blocks_of(document, "evaluation") if isinstance(block, Table)]
    assert [row[:2] for row in tables[-1].rows] == pairs[:2]
    page = render(document)
    assert "Accuracy by confidence of bow" in page and "Accuracy by confidence of largest class" not in page


def test_without_a_baseline_the_largest_class_still_has_its_row(own):
    scores = next(blocks_of(report_on(own()), "evaluation"))
    assert scores.rows[1][0] == "always “pos”" and scores.rows[1][1] == "55.00"


def test_no_chapter_is_empty_and_no_heading_stands_alone(run_dir, own):
    for document in (compose(read_runs(run_dir), excerpt_characters=300), report_on(own())):
        for section in document.sections:
            assert section.blocks
            assert not isinstance(section.blocks[-1], Heading)
            assert not any(
                isinstance(a, Heading) and isinstance(b, Heading) for a, b in itertools.pairwise(section.blocks)
            )
            assert all(block.rows for block in blocks_of(document, section.name) if isinstance(block, Table))


def test_texts_are_never_called_reviews_or_movies(own):
    table = make_table()
    data = inspect(Dataset("replies.csv", ("neg", "pos"), table, "0123456789abcdef", {"empty text": 3}))
    results = (own(), own(((80, 10), (14, 96)), model="lstm", kind="lstm", reviews_per_second=9e5))
    page = render(report_on(*results, data=data)).casefold()
    for word in ("review", "movie", "film", "imdb"):
        assert word not in page


def test_classes_have_recall_and_precision(own):
    tables = [block for block in blocks_of(report_on(own()), "evaluation") if isinstance(block, Table)]
    rows = [[cell.replace("\u00a0", " ") for cell in row] for row in tables[1].rows]
    assert rows[0] == ["neg", "90", "45.0 %", "94.4 %", "89.5 %", "91.9 %"]


def test_of_many_classes_the_confusions_are_listed(own):
    labels = tuple(f"class {i}" for i in range(30))
    confusion = [[0] * 30 for _ in labels]
    for i in range(30):
        confusion[i][i] = 5
    confusion[7][8] = 4
    document = report_on(own(confusion, labels=labels))
    classes, confused = (
        block
        for block in blocks_of(document, "evaluation")
        if isinstance(block, Table)
        if block.rows[0][0][:5] == "class"
    )
    assert len(classes.rows) == 20 and "class 7" in {row[0] for row in classes.rows}
    assert confused.rows == (("class 7", "class 8", "4 of 9"),)
    confusion[7][8] = 0
    tables = list(blocks_of(report_on(own(confusion, labels=labels)), "evaluation"))
    assert all(block.rows for block in tables if isinstance(block, Table))
    assert "**Tell “class 7” and “class 8” apart.** 4 of the 9" in texts_of(document, "next")


def test_suggestions_follow_from_the_figures(own):
    good = texts_of(report_on(own()), "next")
    assert good.startswith("**Use it.** In this run's folder, `plaudit predict --model models/bow --input FILE`")
    few = texts_of(report_on(own(((4, 1), (0, 45)), accuracy_ci95=(0.88, 0.99))), "next")
    for step in ("Test on more texts", "Look at recall and F1", "See whether the labels can be told"):
        assert f"**{step}" in few
    coverage = tuple(
        Coverage(coverage=c, accuracy=a, threshold=t) for c, a, t in ((1.0, 0.925, 0.5), (0.8, 0.98, 0.71))
    )
    model = ModelAnalysis(model="bow", reliability=((200, 0.9, 0.9),), coverage=coverage, slices=())
    analysis = Analysis(data="replies.csv", split="test", models=(model,), comparisons=())
    assert "`--abstain-below 0.71`" in texts_of(report_on(own(), analysis=analysis), "next")
    fast = own(((84, 6), (10, 100)), model="small", reviews_per_second=1e7)
    assert "**Consider small.** It is 100 times as fast as bow" in texts_of(report_on(own(), fast), "next")


def test_marks_in_labels_are_text(own):
    page = render(report_on(own(labels=("`<i>`", "**b**"))))
    assert "<code>&lt;i&gt;" not in page and "<b>b</b>" not in page and "&lt;i&gt;" in page


def test_the_recipe_is_toml_that_makes_the_same_run(tmp_path, own):
    written = read_recipe("quick", ["data.name=replies.csv"])
    document = report_on(own(), recipe=json.loads(json.dumps(written.resolved())))
    (code,) = (block for block in blocks_of(document, "recipe") if isinstance(block, Code))
    (tmp_path / "quick.toml").write_text(code.text)
    assert read_recipe(tmp_path / "quick.toml").resolved() == written.resolved()


def test_a_recipe_of_its_own_hand_is_shown_as_it_was_written(own):
    document = report_on(own(), recipe={"seed": 7}, recipe_toml="# why\nseed = 7\n")
    assert [block.text for block in blocks_of(document, "recipe") if isinstance(block, Code)] == ["# why\nseed = 7\n"]


def test_the_candidates_of_a_choice_are_shown_with_the_chosen_one_first(own):
    candidates = tuple(Candidate(f"n-grams {i}", chosen=i == 3, accuracy=0.9, log_loss=i / 10) for i in range(12))
    document = report_on(own(), choice=Choice(num_texts=320, num_folds=5, candidates=candidates))
    (table,) = blocks_of(document, "tried")
    assert [row[0] for row in table.rows[:3]] == ["n-grams 3", "n-grams 0", "n-grams 1"]
    assert table.caption.startswith("8 of 12 candidates in cross-validation: 5 folds of 320 texts")
    nothing = report_on(own(), choice=Choice(num_texts=2, num_folds=1, candidates=()))
    assert "tried" not in {section.name for section in nothing.sections}


def test_what_is_null_is_left_out_of_toml_and_empty_tables_are_kept():
    tables = {"a": None, "b": {"c": None}, "d": {}, "e": {"f": {"g": None}, "h": [1, 2]}}
    assert tomllib.loads(as_toml(tables)) == {"d": {}, "e": {"h": [1, 2]}}


def test_seeds_do_not_widen_an_interval_beyond_all_or_nothing(own):
    results = [
        own(((85, 5), (10, 100)), seed=1, recipe={"models": {}}),
        own(((90, 0), (0, 110)), seed=2, recipe={"models": {}}),
    ]
    document = compose([RunFolder(f"run-{i}", (result,)) for i, result in enumerate(results)], excerpt_characters=0)
    assert "(48.6–100.0)" in document.title
    assert "trained with 2 seeds, and each scored once" in document.abstract[0]
