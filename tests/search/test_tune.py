"""`plaudit tune`: what may be searched, trials judged on validation alone, and studies that go on."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from plaudit.bundle.folder import load_bundle
from plaudit.data.load import load_dataset
from plaudit.data.splits import prepare
from plaudit.errors import SettingsError, TrainingError, TrainingInterruptedError
from plaudit.pipeline import run as runs
from plaudit.pipeline.build import build
from plaudit.pipeline.recipe import read_recipe
from plaudit.search import study as studies
from plaudit.search import tune as tuning
from plaudit.search import tune_view as view
from plaudit.search.space import read_space, with_values
from plaudit.search.study import TrialResult, read_search
from plaudit.settings import read_toml
from plaudit.train.context import TrainingContext
from tests.conftest import toy_csv
from tests.train.conftest import one_thread  # noqa: F401  # the fixture serves here too

QUIET = Console(quiet=True)
BOW = """
[models.bow]
kind = "bow"
min_count = 2
slot_bits = 16
"""
LSTM = """
[models.lstm]
kind = "lstm"
min_count = 1
embedding_size = 8
hidden_size = 6

[models.lstm.train]
epochs = 3
max_learning_rate = 0.05
batch_tokens = 200
precision = "fp32"
"""
SPACE = """
[tune.bow]
inverse_regularization = { low = 0.001, high = 1.0, log = true }
min_count = { low = 1, high = 30 }
"""
RATES = """
[tune.lstm]
"train.max_learning_rate" = { low = 1e-9, high = 0.1, log = true }
hidden_size = { choices = [4, 6] }
"""


@pytest.fixture
def write(toy_file, tmp_path):
    """Return a function that writes a recipe for the toy reviews."""

    def write_recipe(text):
        path = tmp_path / "toy.toml"
        path.write_text(f"[data]\nname = {json.dumps(str(toy_file))}\nvalidation_fraction = 0.3\n{text}")
        return path

    return write_recipe


def search_of(path, model="bow", *, objective="accuracy", seed=None, assignments=()):
    return read_search(path, list(assignments), model=model, objective=objective, seed=seed)


def tune(search, out, *, trials=4, workers=1, timeout_minutes=None):
    return tuning.tune(search, out, trials=trials, workers=workers, timeout_minutes=timeout_minutes, console=QUIET)


def space_of(path, model="bow"):
    recipe, tables = read_recipe(path), read_toml(path)
    return read_space(recipe.tune, model, tables["models"], source="toy.toml")


# What may be searched.


def test_a_range_is_of_whole_numbers_where_the_setting_takes_no_others(write):
    dropout = "[tune.lstm]\noutput_dropout = { low = 0, high = 0.9 }\nembedding_size = { low = 4, high = 8 }\n"
    space = space_of(write(LSTM + dropout + "[tune.lstm.train]\nweight_decay = { low = 0, high = 1 }"), "lstm")
    assert set(space) == {"output_dropout", "embedding_size", "train.weight_decay"}
    assert [path for path, ranges in space.items() if isinstance(ranges.high, int)] == ["embedding_size"]


def test_a_table_for_one_model_is_not_for_another_and_one_for_all_is(write):
    path = write(BOW + LSTM + SPACE + RATES)
    assert set(space_of(path)) == {"inverse_regularization", "min_count"}
    assert set(space_of(path, "lstm")) == {"train.max_learning_rate", "hidden_size"}
    path = write(BOW + "[tune]\nmin_count = { low = 1, high = 3 }\n[tune.bow]\nmin_count = { low = 1, high = 9 }")
    assert space_of(path)["min_count"].high == 9


def test_a_kind_has_a_space_of_its_own(write):
    path = write(BOW + LSTM)
    assert {"inverse_regularization", "min_count", "max_order", "smoothing"} == set(space_of(path))
    assert "train.max_learning_rate" in space_of(path, "lstm")


def test_values_reach_inner_tables_and_leave_the_others_alone():
    before = {"kind": "lstm", "train": {"epochs": 3}}
    after = with_values(before, {"train.max_learning_rate": 0.1, "hidden_size": 4})
    assert after == {"kind": "lstm", "train": {"epochs": 3, "max_learning_rate": 0.1}, "hidden_size": 4}
    assert before == {"kind": "lstm", "train": {"epochs": 3}}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("min_cuont = { low = 1, high = 3 }", r"models\.bow\.min_cuont is unknown; did you mean min_count\?"),
        ("min_count = { low = 0, high = 3 }", r"models\.bow\.min_count = 0: .*greater than or equal to 1"),
        ("max_order = { low = 1, high = 99 }", r"models\.bow\.max_order = 99: .*less than or equal to 8"),
        ('storage = { choices = ["fp16", "fp8"] }', r"models\.bow\.storage = 'fp8'"),
        ("min_count = { low = 3, high = 1 }", r"tune\.min_count.*low must be less than high"),
        ("min_count = { low = 3 }", r"tune\.min_count.*give low and high, or choices"),
        ("min_count = { choices = [3] }", r"tune\.min_count.*give two choices or more"),
        ("min_count = { low = 1, high = 4, choices = [1, 2] }", "choices cannot be combined with low"),
        ("smoothing = { low = 0, high = 4, log = true }", "log needs low > 0"),
        ("min_count = { low = 1, hihg = 4 }", r"tune\.min_count\.hihg is unknown; did you mean high\?"),
        ("min_count = 3", r"tune\.bow\.min_count = 3: give a range"),
        ("refit = { choices = [true, false] }", r"tune\.refit: cannot be searched"),
    ],
)
def test_a_wrong_name_or_range_is_refused_before_anything_is_trained(write, table, message):
    with pytest.raises(SettingsError, match=message) as caught:
        search_of(write(f"{BOW}[tune.bow]\n{table}"))
    assert len(str(caught.value).splitlines()) == 1


def test_settings_that_need_each_other_may_be_searched_together(write):
    both = "[tune.lstm]\nbackward = { choices = [false, true] }\nbidirectional = { choices = [true, false] }"
    assert set(space_of(write(LSTM + both), "lstm")) == {"backward", "bidirectional"}


def test_what_cannot_be_tuned_is_refused(write, tmp_path):
    words = '[models.words]\nkind = "lstm"\npretrain = { epochs = 1, max_learning_rate = 0.1 }\n'
    for model, text, message in (
        ("bwo", BOW, r"models\.bwo is unknown; did you mean bow\?"),
        ("words", words, "is a language model"),
        ("small", f'{BOW}[models.small]\nfrom = "bow"\n[models.small.prune]\nratio = 0.5', r"has no \[tune\.small\]"),
    ):
        with pytest.raises(SettingsError, match=message):
            search_of(write(text), model)
    with pytest.raises(SettingsError, match="--objective auc: give accuracy or log_loss"):
        search_of(write(BOW), objective="auc")
    with pytest.raises(SettingsError, match="--trials 0, --workers 1: give 1 or more"):
        tune(search_of(write(BOW)), tmp_path / "out", trials=0)
    with pytest.raises(SettingsError, match="--timeout-minutes -1: give a number above 0"):
        tune(search_of(write(BOW)), tmp_path / "out", timeout_minutes=-1)


def test_other_verbs_do_not_look_at_the_table(write):
    recipe = read_recipe(write(BOW + SPACE))
    assert recipe.resolved() == read_recipe(write(BOW)).resolved()


# Studies.


def test_a_study_begins_with_the_recipes_settings_and_its_best_recipe_trains(write, tmp_path):
    path, out = write(BOW + SPACE), tmp_path / "out"
    found = tune(search_of(path, objective="log_loss"), out, trials=6)
    assert [trial.number for trial in found.trials] == list(range(6))
    assert found.trials[0].values == {"inverse_regularization": 0.2, "min_count": 2}
    best = found.ranked[0]
    assert best.log_loss == min(trial.log_loss for trial in found.trials)
    content = json.loads((out / "tune.json").read_text())
    assert (content["format"], content["best"]["number"], len(content["trials"])) == (1, best.number, 6)
    recipe = read_recipe(out / "best.toml", ["models.bow.refit=false"])
    assert recipe.models["bow"].model.min_count == best.values["min_count"]
    runs.train(recipe, tmp_path / "trained", resume=False, console=QUIET)
    provenance = load_bundle(tmp_path / "trained/models/bow").provenance
    assert provenance.validation_accuracy == pytest.approx(best.accuracy, abs=1e-5)


def test_trials_fit_on_train_alone_even_where_the_recipe_refits(write, tmp_path, monkeypatch):
    seen = []
    original = studies.build

    def looking(entry, splits, *arguments, **named):
        seen.append((entry.model.refit, splits.test.num_rows))
        return original(entry, splits, *arguments, **named)

    monkeypatch.setattr(studies, "build", looking)
    tune(search_of(write(BOW + SPACE)), tmp_path / "out", trials=2)
    assert seen == [(False, 0)] * 2
    assert read_recipe(tmp_path / "out/best.toml").models["bow"].model.refit


def test_a_study_goes_on_to_as_many_trials_and_comes_to_the_same(write, tmp_path):
    search = search_of(write(BOW + SPACE))
    whole = tune(search, tmp_path / "whole", trials=5)
    tune(search, tmp_path / "parts", trials=2)
    parts = tune(search, tmp_path / "parts", trials=5)
    assert [trial.values for trial in parts.trials] == [trial.values for trial in whole.trials]
    again = tune(search, tmp_path / "parts", trials=3)
    assert again.trials == parts.trials


def test_a_folder_of_another_study_is_refused(write, tmp_path):
    out = tmp_path / "out"
    tune(search_of(write(BOW + SPACE)), out, trials=1)
    for text, options, changed in (
        (BOW + SPACE, {"seed": 3}, "seed"),
        (BOW + SPACE, {"objective": "log_loss"}, "objective"),
        (BOW.replace("= 2", "= 3") + SPACE, {}, "recipe"),
        (BOW + SPACE.replace("30", "20"), {}, "space"),
    ):
        with pytest.raises(SettingsError, match=f"its study began with another {changed}"):
            tune(search_of(write(text), **options), out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("")
    with pytest.raises(SettingsError, match="is not empty and holds no study"):
        tune(search_of(write(BOW + SPACE)), tmp_path / "mine")


def test_two_commands_in_one_folder_are_refused(write, tmp_path):
    with tuning._locked(tmp_path / "out"), pytest.raises(SettingsError, match="is being tuned right now"):
        tune(search_of(write(BOW + SPACE)), tmp_path / "out")


def test_an_interrupted_trial_is_done_again_and_does_not_count(write, tmp_path, monkeypatch):
    search, out = search_of(write(BOW + SPACE)), tmp_path / "out"
    whole = tune(search, tmp_path / "whole", trials=3)
    original, made = studies.build, []

    def interrupted(*arguments, **named):
        made.append(None)
        if len(made) == 2:
            raise KeyboardInterrupt
        return original(*arguments, **named)

    monkeypatch.setattr(studies, "build", interrupted)
    with pytest.raises(TrainingInterruptedError, match=r"interrupted after 1 of 3 trials, .* the same command resumes"):
        tune(search, out, trials=3)
    assert len(json.loads((out / "tune.json").read_text())["trials"]) == 1
    found = tune(search, out, trials=3)
    assert [trial.values for trial in found.trials] == [trial.values for trial in whole.trials]


def test_a_trial_that_fails_is_recorded_and_the_search_goes_on(write, tmp_path, monkeypatch):
    original = studies.build

    def failing(entry, *arguments, **named):
        if entry.model.min_count != 2:
            raise TrainingError("the loss stopped being a number")
        return original(entry, *arguments, **named)

    monkeypatch.setattr(studies, "build", failing)
    found = tune(search_of(write(BOW + SPACE)), tmp_path / "out", trials=3)
    assert [trial.state for trial in found.trials] == ["complete", "failed", "failed"]
    assert found.trials[1].reason == "the loss stopped being a number"
    assert found.importance is None
    monkeypatch.setattr(studies, "build", lambda *arguments, **named: failing(*arguments, **named).no_such_thing)
    with pytest.raises(TrainingError, match="none of 2 trials succeeded; the first: the loss stopped"):
        tune(search_of(write(BOW.replace("= 2", "= 3") + SPACE)), tmp_path / "other", trials=2)


@pytest.mark.slow
def test_a_network_that_does_not_learn_is_stopped_early(write, tmp_path):
    toy_csv(tmp_path / "reviews.csv", num_reviews=150)
    text = LSTM.replace("epochs = 3", "epochs = 4") + RATES.replace("1e-9", "1e-3")
    found = tune(search_of(write(text), "lstm"), tmp_path / "out", trials=8)
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned
    assert all(trial.epochs < 4 and trial.accuracy is not None for trial in pruned)
    complete = [trial for trial in found.trials if trial.state == "complete"]
    assert all(trial.epochs == 4 for trial in complete)
    assert set(found.importance) == {"train.max_learning_rate", "hidden_size"}
    assert found.ranked[0].accuracy > max(trial.accuracy for trial in pruned)
    pytest.importorskip("altair")
    view.draw(found, tmp_path)
    assert "pruned" in (tmp_path / "history.svg").read_text()
    assert "hidden_size" in (tmp_path / "importance.svg").read_text()


def test_a_networks_epochs_are_heard_of_with_their_validation_but_not_those_of_its_language_model(write, tmp_path):
    pretrain = "pretrain = { epochs = 2, max_learning_rate = 0.01, batch_tokens = 64, window_tokens = 8 }\n"
    recipe = read_recipe(write(LSTM.replace('kind = "lstm"\n', f'kind = "lstm"\n{pretrain}')))
    splits, heard = prepare(load_dataset(recipe.data), recipe.data), []
    build(recipe.models["lstm"], splits, TrainingContext(0, tmp_path / "lstm", False, QUIET, heard.append), find=None)
    lines = (tmp_path / "lstm/metrics.jsonl").read_text().splitlines()
    validated = [event for event in map(json.loads, lines) if event["event"] == "epoch"]
    assert [(end.epoch, end.step, end.accuracy, end.loss) for end in heard] == [
        (event["epoch"], event["step"], event["validation_accuracy"], event["validation_loss"]) for event in validated
    ]


def test_what_hears_of_an_epoch_may_end_training_which_then_can_go_on(write, tmp_path):
    recipe = read_recipe(write(LSTM))
    splits = prepare(load_dataset(recipe.data), recipe.data)
    cut = TrainingContext(0, tmp_path / "cut", False, QUIET)

    def stop(end):
        raise ZeroDivisionError

    whole = build(recipe.models["lstm"], splits, replace(cut, folder=tmp_path / "whole"), find=None)
    with pytest.raises(ZeroDivisionError):
        build(recipe.models["lstm"], splits, replace(cut, after_epoch=stop), find=None)
    resumed = build(recipe.models["lstm"], splits, replace(cut, resume=True), find=None)
    for name, tensor in whole.model.state().tensors.items():
        np.testing.assert_array_equal(tensor, resumed.model.state().tensors[name], err_msg=name)


def test_a_compressed_model_is_tuned_on_others_that_are_trained_once(write, tmp_path):
    step = '[models.small]\nfrom = "bow"\n[models.small.prune]\nstages = 0\nratio = 0.1\n'
    step += '[tune.small]\n"prune.ratio" = { low = 0.1, high = 0.9 }'
    search = search_of(write(BOW.replace("slot", "refit = false\nslot") + step), "small")
    found = tune(search, tmp_path / "out", trials=2)
    assert found.trials[0].values == {"prune.ratio": 0.1}
    assert [folder.name for folder in (tmp_path / "out/others/models").iterdir()] == ["bow"]
    assert found.no_importance == "there is only one"


def test_no_trial_begins_when_time_is_up(write, tmp_path):
    found = tune(search_of(write(BOW + SPACE)), tmp_path / "out", trials=1)
    with pytest.raises(TrainingError, match="none of 0 trials succeeded; the first: there was no time for any"):
        tune(search_of(write(BOW + SPACE)), tmp_path / "late", trials=5, timeout_minutes=1e-9)
    assert tune(search_of(write(BOW + SPACE)), tmp_path / "out", trials=5, timeout_minutes=1e-9).trials == found.trials


@pytest.mark.slow
def test_several_processes_share_one_study(write, tmp_path):
    found = tune(search_of(write(BOW + SPACE)), tmp_path / "out", trials=6, workers=2)
    assert sorted(trial.number for trial in found.trials) == list(range(6))
    assert all(trial.state == "complete" for trial in found.trials)
    assert not multiprocessing.active_children()


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_leaves_a_study_that_goes_on(write, tmp_path, workers):
    toy_csv(tmp_path / "reviews.csv", num_reviews=400)
    path = write(LSTM.replace("epochs = 3", "epochs = 60") + RATES)
    out = tmp_path / "out"
    command = ["tune", str(path), "--model", "lstm", "--trials", "9", "--out", str(out), "--workers", workers]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(
        [sys.executable, "-m", "plaudit", *command], stderr=subprocess.PIPE, text=True, env=environment
    )
    while running.poll() is None and "train.max" not in (
        (out / "study.journal").read_text().partition('"op_code":5')[2] if (out / "study.journal").exists() else ""
    ):
        time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=120)
    assert running.returncode == 130
    assert "of 9 trials," in told
    assert "the same command resumes" in " ".join(told.split())
    found = tune(search_of(path, "lstm", assignments=["seed=0"]), out, trials=1)
    assert found.trials[0].values["hidden_size"] == 6


def test_of_trials_as_accurate_the_one_of_less_log_loss_is_the_best(write):
    trial = TrialResult(0, "complete", {}, accuracy=0.9, log_loss=0.3, seconds=1.0, epochs=None, reason=None)
    others = (replace(trial, number=1, log_loss=0.2), replace(trial, number=2, accuracy=0.8, log_loss=0.1))
    failed = replace(trial, number=3, state="failed", accuracy=None, log_loss=None)

    def ranked(objective):
        found = tuning.Tuning(search_of(write(BOW), objective=objective), (trial, *others, failed), None, None)
        return [each.number for each in found.ranked]

    assert ranked("accuracy") == [1, 0, 2]
    assert ranked("log_loss") == [2, 1, 0]
