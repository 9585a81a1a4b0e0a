"""`plaudit select`: folds that tear nothing apart, judges that choose nothing, and what follows from it."""

import csv
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from plaudit.data.folds import assign_folds, fold_splits
from plaudit.data.load import load_dataset
from plaudit.data.splits import prepare, text_keys
from plaudit.errors import DataError, MissingExtraError, SettingsError
from plaudit.pipeline.recipe import read_recipe
from plaudit.search import select as selecting
from plaudit.search.comparison import Candidate, Constraints, recommended
from plaudit.search.select import select
from plaudit.search.select_view import draw, recommendation
from tests.conftest import toy_reviews
from tests.train.conftest import one_thread  # noqa: F401  # the fixture serves here too

QUIET = Console(quiet=True)
BOW = """
[models.bow]
kind = "bow"
min_count = 1
slot_bits = 16
"""
WORSE = """
[models.rare]
kind = "bow"
min_count = 30
slot_bits = 16
"""
SMALL = """
[models.small]
from = "bow"
[models.small.quantize]
"""
WORDS = """
[models.words]
kind = "lstm"
min_count = 1
embedding_size = 8
hidden_size = 6
pretrain = { epochs = 1, max_learning_rate = 0.01, batch_tokens = 64, window_tokens = 8 }

[models.lstm]
kind = "lstm"
min_count = 1
embedding_size = 8
hidden_size = 6
pretrained = "words"
train = { epochs = 1, max_learning_rate = 0.01, precision = "fp32" }
"""
OPEN = Constraints()


@pytest.fixture(autouse=True)
def no_time_for_timing(monkeypatch):
    monkeypatch.setattr(selecting, "_SPEED_SECONDS", 0.001)


@pytest.fixture
def read(toy_file, tmp_path):
    """Return a function that reads a recipe of these models for the toy reviews, or for another file."""

    def read_models(models, file=toy_file):
        path = tmp_path / "toy.toml"
        path.write_text(f"[data]\nname = {json.dumps(str(file))}\nvalidation_fraction = 0.2\n{models}")
        return read_recipe(path)

    return read_models


def run(recipe, out, *, folds=3, constraints=OPEN, seed=0, resume=False):
    return select(recipe, out, folds=folds, constraints=constraints, seed=seed, resume=resume, console=QUIET)


def grouped_csv(path):
    """Write 60 reviews of 12 movies; every fifth review of a movie repeats one of the next movie."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("review", "sentiment", "group"))
        reviews = toy_reviews(60)
        for number, (text, label) in enumerate(reviews):
            writer.writerow((text, label, f"movie {number // 5}"))
        writer.writerow((reviews[0][0].upper(), reviews[0][1], "movie 11"))
    return path


def pool_of(recipe, *, folds=3, seed=0):
    return assign_folds(prepare(load_dataset(recipe.data), recipe.data), folds, seed)


def test_a_movie_or_a_text_is_in_one_fold_only(read, tmp_path):
    pool = pool_of(read(BOW, grouped_csv(tmp_path / "movies.csv")))
    assert set(pool.fold.tolist()) == {1, 2, 3}
    for column in (np.array(pool.table["group"].to_pylist()), text_keys(pool.table["text"])):
        for value in np.unique(column):
            assert len(set(pool.fold[column == value].tolist())) == 1
    assert len(np.unique(pool.unit)) < len(set(pool.table["group"].to_pylist())), "a shared text joins two movies"


def test_folds_have_near_as_many_of_each_label_and_depend_on_the_seed(read):
    recipe = read(BOW)
    pool = pool_of(recipe)
    counts = np.array([np.bincount(pool.labels[pool.fold == fold], minlength=2) for fold in (1, 2, 3)])
    assert counts.min() > 0
    assert np.ptp(counts, axis=0).max() <= 1
    assert not np.array_equal(pool.fold, pool_of(recipe, seed=1).fold)
    np.testing.assert_array_equal(pool.fold, pool_of(recipe).fold)


def test_models_of_a_fold_see_neither_its_judges_nor_the_test_split(read, tmp_path):
    recipe = read(BOW, grouped_csv(tmp_path / "movies.csv"))
    pool = pool_of(recipe)
    test = prepare(load_dataset(recipe.data), recipe.data).test
    for fold in (1, 2, 3):
        made_from = fold_splits(pool, recipe.data, fold, 0)
        judges = pool.table.filter(pool.fold == fold)
        parts = [made_from.train, made_from.validation, judges, test]
        assert made_from.test.num_rows == 0
        assert made_from.train.num_rows + made_from.validation.num_rows + judges.num_rows == pool.table.num_rows
        assert all(part.num_rows for part in parts)
        for column in ("id", "group"):
            sets = [set(part[column].to_pylist()) for part in parts]
            assert sum(map(len, sets)) == len(set.union(*sets)), column


def test_unlabelled_texts_that_repeat_a_judge_are_not_read(read, tmp_path):
    path = tmp_path / "split.csv"
    reviews = toy_reviews(60)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("review", "sentiment", "split"))
        writer.writerows((text, label, "train") for text, label in reviews)
        writer.writerows((text.upper(), "", "unsup") for text, _ in reviews)
    recipe = read(BOW, path)
    pool = pool_of(recipe)
    assert pool.splits.unlabelled.num_rows >= len(pool.labels)
    for fold in (1, 2, 3):
        unlabelled = {text.lower() for text in fold_splits(pool, recipe.data, fold, 0).unlabelled["text"].to_pylist()}
        judges = {text.lower() for text in pool.table.filter(pool.fold == fold)["text"].to_pylist()}
        assert unlabelled and not unlabelled & judges


def test_too_few_reviews_for_so_many_folds_are_refused(read):
    with pytest.raises(DataError, match=r"reviews labelled 'negative' in 27 groups are too few for 40 folds"):
        pool_of(read(BOW), folds=40)


def test_the_better_of_two_is_found_and_the_difference_has_an_interval(read, tmp_path):
    selection = run(read(WORSE + BOW), tmp_path / "out")
    best, worse = selection.candidates
    assert (best.model, best.accuracy, best.below_best) == ("bow", 1.0, None)
    assert best.accuracy_ci95 == pytest.approx((0.934, 1), abs=1e-3), "54 right ones of 54 prove no more"
    assert worse.below_best == pytest.approx(best.accuracy - worse.accuracy)
    assert 0 < worse.below_best_ci95[0] < worse.below_best < worse.below_best_ci95[1]
    assert (selection.most_accurate, selection.as_good, selection.recommended) == ("bow", (), "bow")
    assert "No other model is as good" in recommendation(selection)
    assert worse.accuracy_ci95[0] < worse.accuracy < worse.accuracy_ci95[1]
    assert worse.accuracy == pytest.approx(np.mean(worse.fold_accuracies), abs=0.02)


def test_of_models_as_good_the_fastest_is_recommended(read, tmp_path):
    selection = run(read(BOW + SMALL), tmp_path / "out")
    assert {selection.most_accurate, *selection.as_good} == {"bow", "small"}
    assert selection.recommended in {"bow", "small"}
    assert "Equally good, as far as these reviews can tell" in recommendation(selection)
    assert "the fastest of the equally good" in recommendation(selection)


def test_the_fastest_is_recommended_and_of_those_about_as_fast_the_smallest():
    def candidate(model, latency_ms, size_bytes):
        return Candidate(
            model,
            accuracy=0.9,
            accuracy_ci95=(0.8, 0.95),
            log_loss=0.3,
            latency_ms_p50=latency_ms,
            size_bytes=size_bytes,
            parameters=1,
            train_seconds=1.0,
            fold_accuracies=(0.9,),
            misses={},
        )

    best = candidate("best", 1.0, 100)
    assert recommended([best, candidate("faster", 0.5, 900)]).model == "faster"
    assert recommended([best, candidate("smaller", 1.05, 90)]).model == "smaller"
    assert recommended([best, candidate("slower", 1.2, 90)]).model == "best"


def test_a_size_keeps_out_the_most_accurate(read, tmp_path):
    recipe, out = read(BOW + WORSE), tmp_path / "out"
    sizes = {each.model: each.size_bytes for each in run(recipe, out).candidates}
    limit = (sizes["bow"] + sizes["rare"]) / 2e6
    selection = run(recipe, out, constraints=Constraints(max_size_mb=limit), resume=True)
    assert selection.most_accurate == selection.recommended == "rare"
    assert selection.candidates[0].misses.keys() == {"size_mb"}
    assert "Not considered" in recommendation(selection)


def test_where_no_model_keeps_to_what_is_asked_for_the_nearest_is_named(read, tmp_path):
    selection = run(read(BOW + WORSE), tmp_path / "out", constraints=Constraints(max_latency_ms=1e-6, min_accuracy=99))
    assert (selection.most_accurate, selection.recommended, selection.as_good) == (None, None, ())
    assert selection.nearest in {"bow", "rare"}
    said = recommendation(selection)
    assert said.startswith("No model meets 1e-06 ms and 99 % accuracy. The nearest is ")
    assert json.loads((tmp_path / "out/select.json").read_text())["nearest"] == selection.nearest


def test_a_model_of_another_counts_and_a_language_model_does_not(read, tmp_path):
    selection = run(read(BOW + SMALL + WORDS), tmp_path / "out", folds=2)
    assert {each.model for each in selection.candidates} == {"bow", "small", "lstm"}
    assert not (tmp_path / "out/unfinished").exists()


def test_a_selection_that_was_cut_short_goes_on_to_the_same_end(read, tmp_path, monkeypatch):
    recipe = read(BOW + SMALL)
    whole = run(recipe, tmp_path / "whole")
    original, taken = selecting.append_row, []

    def dying(path, row):
        taken.append(row)
        if len(taken) == 3:  # both of fold 1, and then the bow of fold 2
            raise KeyboardInterrupt
        original(path, row)

    monkeypatch.setattr(selecting, "append_row", dying)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "cut")
    monkeypatch.setattr(selecting, "append_row", original)
    before = (tmp_path / "cut/folds.jsonl").read_text()
    resumed = run(recipe, tmp_path / "cut", resume=True)
    assert (tmp_path / "cut/folds.jsonl").read_text().startswith(before)
    for name in ("accuracy", "log_loss", "accuracy_ci95", "fold_accuracies"):
        assert [getattr(each, name) for each in resumed.candidates] == [
            getattr(each, name) for each in whole.candidates
        ]


def test_a_selection_that_was_cut_short_before_its_first_model_goes_on(read, tmp_path, monkeypatch):
    recipe, out, really = read(BOW), tmp_path / "out", selecting.build

    def interrupted(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(selecting, "build", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, out)
    monkeypatch.setattr(selecting, "build", really)
    run(recipe, out, resume=True)
    assert len((out / "folds.jsonl").read_text().splitlines()) == 1 + 3
    assert run(recipe, out, resume=True).most_accurate == "bow"


def test_a_folder_in_use_is_refused_unless_it_is_to_be_resumed_with_the_same(read, tmp_path):
    recipe, out = read(BOW), tmp_path / "out"
    run(recipe, out)
    with pytest.raises(SettingsError, match="holds a selection already; resume it with --resume"):
        run(recipe, out)
    with pytest.raises(SettingsError, match="began with another folds"):
        run(recipe, out, folds=4, resume=True)
    with pytest.raises(SettingsError, match="began with another seed"):
        run(recipe, out, seed=4, resume=True)
    with pytest.raises(SettingsError, match="began with another recipe"):
        run(read(BOW + SMALL), out, resume=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(SettingsError, match="is not empty and holds no selection"):
        run(recipe, other)


def test_probabilities_that_are_gone_are_said_to_be(read, tmp_path):
    recipe, out = read(BOW), tmp_path / "out"
    run(recipe, out)
    (out / "out-of-fold/fold-2/bow.parquet").unlink()
    with pytest.raises(DataError, match=r"fold-2/bow\.parquet: is missing or not what was written"):
        run(recipe, out, resume=True)


def test_what_may_have_read_the_judges_is_refused(read, tmp_path):
    with pytest.raises(
        SettingsError, match=r"models\.small is made of lstm, which may have learned from the very reviews"
    ):
        run(read('[models.small]\nfrom = "lstm"\n[models.small.prune]\nratio = 0.5'), tmp_path / "out")
    with pytest.raises(SettingsError, match="has only language models"):
        run(read(WORDS.split("[models.lstm]")[0]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"min_accuracy": 0.9}, "--min-accuracy 0.9: give percent, such as 88"),
        ({"min_accuracy": 101.0}, "--min-accuracy 101: give percent"),
        ({"max_latency_ms": 0.0}, "--max-latency-ms 0: give a number above 0"),
        ({"max_size_mb": float("nan")}, "--max-size-mb nan: give a number above 0"),
    ],
)
def test_a_constraint_without_sense_is_refused(given, message):
    with pytest.raises(SettingsError, match=message):
        Constraints(**given)


def test_the_result_holds_every_figure_and_is_drawn(read, tmp_path):
    pytest.importorskip("altair")
    selection = run(read(BOW + WORSE), tmp_path / "out", constraints=Constraints(max_latency_ms=1e3))
    content = json.loads((tmp_path / "out/select.json").read_text())
    assert (content["format"], content["n"], content["recommended"]) == (1, 54, "bow")
    assert content["constraints"]["max_latency_ms"] == 1e3
    assert content["candidates"][0].keys() >= {"train_seconds", "latency_ms_p50", "size_bytes", "log_loss"}
    assert content["provenance"]["folds"] == 3
    draw(selection, tmp_path / "select.svg")
    assert "rare" in (tmp_path / "select.svg").read_text()
    draw(replace(selection, candidates=selection.candidates[:1]), tmp_path / "one.svg")
    assert (tmp_path / "one.svg").is_file()


def test_more_than_two_labels_are_compared_too(read, tmp_path):
    path = tmp_path / "three.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("review", "sentiment"))
        for number, (text, label) in enumerate(toy_reviews(90)):
            odd = number % 3 == 0
            writer.writerow((f"{text} middling" if odd else text, "neutral" if odd else label))
    (candidate,) = run(read(BOW, path), tmp_path / "out").candidates
    assert candidate.accuracy > 0.5


def test_without_the_report_extra_only_the_picture_is_missing(read, tmp_path, monkeypatch):
    selection = run(read(BOW), tmp_path / "out")
    for name in ("plaudit.report.search_charts", "plaudit.report.scatter", "plaudit.report.chart_style"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(MissingExtraError, match=r"select\.svg needs altair: pip install 'plaudit\[report\]'"):
        draw(selection, tmp_path / "out/select.svg")
    assert not (tmp_path / "out/select.svg").exists()
