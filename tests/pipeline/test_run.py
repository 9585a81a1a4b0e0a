import csv
import io
import json

import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console

from plaudit.data.quality.report import inspect
from plaudit.errors import BundleError, DataError, OutputError, SettingsError
from plaudit.evaluate.analysis import read_analysis
from plaudit.evaluate.errors.mistakes import read_errors
from plaudit.evaluate.results import read_results
from plaudit.evaluate.robustness.results import read_robustness
from plaudit.pipeline import run as runs
from plaudit.pipeline.baselines import BASELINES
from plaudit.pipeline.recipe import read_recipe
from plaudit.predictor import load

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
embedding_size = 8
hidden_size = 8

[models.lstm.train]
epochs = 1
max_learning_rate = 0.01
"""


pytestmark = pytest.mark.usefixtures("short_timing")


@pytest.fixture
def write_recipe(toy_file, tmp_path):
    """Return a function that writes a recipe for the toy reviews."""

    def write(models=BOW, *, data=None, head=""):
        path = tmp_path / "toy.toml"
        path.write_text(f"{head}\n[data]\nname = {json.dumps(str(data or toy_file))}\n{models}")
        return path

    return write


def run(path, out, *assignments, resume=False, console=QUIET):
    return runs.run(read_recipe(path, assignments), out, resume=resume, console=console)


def files_of(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_run_leaves_every_file_that_it_promises(write_recipe, tmp_path):
    out = tmp_path / "run"
    page = run(write_recipe(), out)
    assert files_of(out) == {
        "recipe.json",
        "data.json",
        "models/bow/bundle.json",
        "models/bow/weights.safetensors",
        "models/bow/README.md",
        "models/bow/trained-on.bin",
        "results.json",
        "words.json",
        "predictions/bow.parquet",
        "analysis.json",
        "report.html",
        "report.pdf",
    }
    assert page == out / "report.html"
    assert "<html" in page.read_text()
    (result,) = read_results(out / "results.json").results
    assert (result.model, result.kind, result.data, result.split) == ("bow", "bow", "reviews.csv", "test")
    assert result.accuracy == 1
    assert pq.read_table(out / "predictions/bow.parquet").num_rows == result.n
    predictor = load(out / "models" / "bow")
    assert predictor.predict(["a lovely film"]) == ["positive"]
    assert predictor.provenance.recipe.models["bow"]["min_count"] == 2
    assert predictor.provenance.recipe.data["seed"] == 0
    assert result.recipe == predictor.provenance.recipe.model_dump()


def test_recipe_json_holds_every_setting(write_recipe, tmp_path):
    run(write_recipe(head="seed = 3"), tmp_path / "run", "models.bow.max_order=2")
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_bytes())
    assert recipe["name"] == "toy"
    assert recipe["seed"] == 3
    assert recipe["models"]["bow"]["max_order"] == 2
    assert recipe["models"]["bow"]["cleaning"]["strip_html"] is True
    assert recipe["report"] == {
        "baselines": False,
        "excerpt_characters": 300,
        "robustness": [],
        "errors": None,
    }


def test_training_alone_looks_at_no_test_review(write_recipe, tmp_path):
    runs.train(read_recipe(write_recipe()), tmp_path / "run", resume=False, console=QUIET)
    assert not (tmp_path / "run" / "results.json").exists()
    assert (tmp_path / "run" / "models" / "bow").is_dir()


def test_only_wanted_models_are_trained_and_the_others_later(write_recipe, tmp_path):
    recipe = read_recipe(write_recipe(BOW + BOW.replace("models.bow", "models.again")))
    runs.train(recipe, tmp_path / "run", resume=False, console=QUIET, wanted=["again"])
    assert files_of(tmp_path / "run" / "models") == {
        "again/bundle.json",
        "again/weights.safetensors",
        "again/trained-on.bin",
    }
    runs.train(recipe, tmp_path / "run", resume=True, console=QUIET)
    assert {path.name for path in (tmp_path / "run" / "models").iterdir()} == {"bow", "again"}


def test_the_same_recipe_makes_the_same_model(write_recipe, tmp_path):
    for name in ("first", "second"):
        run(write_recipe(), tmp_path / name)
    first, second = (tmp_path / name / "models/bow/weights.safetensors" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_a_run_that_was_cut_short_goes_on_and_repeats_no_finished_step(write_recipe, tmp_path, monkeypatch):
    path, out = write_recipe(BOW + BOW.replace("models.bow", "models.again")), tmp_path / "run"
    really = runs.evaluate
    scored = []

    def evaluate(*arguments, model_name, **options):
        if model_name == "again" and len(scored) == 1:
            raise KeyboardInterrupt
        scored.append(model_name)
        return really(*arguments, model_name=model_name, **options)

    monkeypatch.setattr(runs, "evaluate", evaluate)
    with pytest.raises(KeyboardInterrupt):
        run(path, out)
    assert not (out / "report.html").exists()
    before = {name: (out / name).stat().st_mtime_ns for name in files_of(out)}
    scored.append("a second try")
    run(path, out, resume=True)
    assert scored == ["bow", "a second try", "again"]
    assert {result.model for result in read_results(out / "results.json").results} == {"bow", "again"}
    unchanged = {name for name, time in before.items() if (out / name).stat().st_mtime_ns == time}
    assert unchanged >= {"models/bow/weights.safetensors", "models/again/weights.safetensors", "data.json"}
    assert unchanged >= {"recipe.json", "predictions/bow.parquet"}


def test_a_finished_run_goes_on_without_training(write_recipe, tmp_path):
    run(write_recipe(), tmp_path / "run")
    told = io.StringIO()
    run(write_recipe(), tmp_path / "run", resume=True, console=Console(file=told))
    assert "bow: trained already" in told.getvalue()


def test_a_folder_that_holds_a_run_needs_resume(write_recipe, tmp_path):
    run(write_recipe(), tmp_path / "run")
    with pytest.raises(SettingsError, match="holds a run already; resume it with --resume"):
        run(write_recipe(), tmp_path / "run")


@pytest.mark.parametrize(
    ("assignment", "named"),
    [
        ("seed=1", r"seed \(0, now 1\)"),
        ("models.bow.min_count=3", r"models\.bow\.min_count \(2, now 3\)"),
        ("models.more.kind=bow", r"models\.more \(None, now "),
    ],
)
def test_another_recipe_in_the_same_folder_is_refused_with_the_setting(write_recipe, tmp_path, assignment, named):
    run(write_recipe(), tmp_path / "run")
    with pytest.raises(SettingsError, match=f"its run began with another {named}"):
        run(write_recipe(), tmp_path / "run", assignment, resume=True)


def test_other_reviews_under_the_same_name_are_refused(write_recipe, toy_file, tmp_path):
    run(write_recipe(), tmp_path / "run")
    toy_file.write_text(toy_file.read_text() + "one more superb film,positive\n")
    with pytest.raises(SettingsError, match=r"was trained on other reviews than reviews\.csv holds now"):
        run(write_recipe(), tmp_path / "run", resume=True)


def test_a_damaged_model_of_the_run_is_refused(write_recipe, tmp_path):
    run(write_recipe(), tmp_path / "run")
    (tmp_path / "run/models/bow/weights.safetensors").write_bytes(b"")
    with pytest.raises(BundleError, match="changed since it was saved"):
        run(write_recipe(), tmp_path / "run", resume=True)


def test_a_folder_of_something_else_is_refused(write_recipe, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("")
    with pytest.raises(SettingsError, match="is not empty and holds no run"):
        run(write_recipe(), tmp_path / "mine")
    assert files_of(tmp_path / "mine") == {"notes"}


def test_a_damaged_recipe_json_is_refused(write_recipe, tmp_path):
    run(write_recipe(), tmp_path / "run")
    (tmp_path / "run/recipe.json").write_text("{")
    with pytest.raises(SettingsError, match=r"recipe\.json: damaged"):
        run(write_recipe(), tmp_path / "run", resume=True)


def test_a_file_in_the_place_of_the_folder_is_refused(write_recipe, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        run(write_recipe(), tmp_path / "file")


def test_bad_reviews_leave_nothing_so_that_the_recipe_can_be_mended(write_recipe, tmp_path):
    with pytest.raises(DataError, match="no column 'stars'"):
        run(write_recipe(), tmp_path / "run", "data.label_column=stars")
    assert not (tmp_path / "run").exists()
    run(write_recipe(), tmp_path / "run")


def test_settings_that_fail_before_anything_is_trained_can_be_mended(write_recipe, tmp_path):
    with pytest.raises(SettingsError, match="no list for that language"):
        run(write_recipe(), tmp_path / "run", "models.bow.cleaning.stop_words=xx")
    run(write_recipe(), tmp_path / "run", "seed=3")
    assert json.loads((tmp_path / "run" / "recipe.json").read_bytes())["seed"] == 3


def test_a_label_that_only_test_reviews_have_is_refused(write_recipe, toy_file, tmp_path):
    with toy_file.open(newline="") as file:
        rows = list(csv.reader(file))
    rows = [[*rows[0], "split"], *([*row, "train"] for row in rows[1:]), ["a so-so film", "neutral", "test"]]
    with toy_file.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(DataError, match="neutral"):
        run(write_recipe(), tmp_path / "run")


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("[models]", r"toy\.toml: has no model; add a table such as \[models\.bow\]"),
        ("[models.bow]", r"toy\.toml: models\.bow\.kind is missing"),
        ("[models.bow]\nkind = 3", r"toy\.toml: models\.bow\.kind is missing or not a name"),
        ('[models.bow]\nkind = "bwo"', r"toy\.toml: models\.bow\.kind: model kind bwo is unknown; did you mean bow\?"),
        ('[models."a/b"]\nkind = "bow"', r"models\.a/b: a model's name may contain letters"),
        ('[models.".."]\nkind = "bow"', r"a model's name may contain letters"),
        (BOW + "min_cuont = 3", r"models\.bow\.min_cuont is unknown; did you mean min_count\?"),
        (BOW + "max_order = 0", r"models\.bow\.max_order = 0: input should be greater than or equal to 1"),
        (BOW + "cleaning.lowercas = true", r"models\.bow\.cleaning\.lowercas is unknown; did you mean lowercase\?"),
        (BOW + "[models.bow.train]\nepochs = 3\nmax_learning_rate = 0.1", r"models\.bow: .* no use for a train table"),
        (LSTM.split("[models.lstm.train]")[0], r"models\.lstm: .* needs a train table"),
        (LSTM + "epoch = 3", r"models\.lstm\.train\.epoch is unknown; did you mean epochs\?"),
        (LSTM.replace("epochs = 1", ""), r"models\.lstm\.train\.epochs is missing"),
        (BOW + "[reports]", r"toy\.toml: reports is unknown; did you mean report\?"),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_is_done(write_recipe, models, message):
    with pytest.raises(SettingsError, match=message) as caught:
        read_recipe(write_recipe(models))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("table", ["models", "data", "models.bow", "report", "models.bow.cleaning"])
def test_a_value_in_the_place_of_a_table_is_refused(write_recipe, table):
    with pytest.raises(SettingsError, match=f"{table} = 3: this is the name of a table of settings, not a value"):
        read_recipe(write_recipe(), [f"{table}=3"])


def test_the_recipe_must_say_which_data(tmp_path):
    (tmp_path / "toy.toml").write_text(BOW)
    with pytest.raises(SettingsError, match=r"toy\.toml: data is missing"):
        read_recipe(tmp_path / "toy.toml")


def test_data_json_is_what_inspect_finds(write_recipe, tmp_path):
    recipe = read_recipe(write_recipe())
    run(write_recipe(), tmp_path / "run")
    assert (tmp_path / "run/data.json").read_text() == inspect(runs.load_dataset(recipe.data)).to_json()


@pytest.mark.slow
def test_an_lstm_runs_beside_the_bag_of_ngrams(write_recipe, tmp_path):
    out = tmp_path / "run"
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the threads of a tiny network wait for each other on a busy machine
    try:
        run(write_recipe(BOW + LSTM), out)
    finally:
        torch.set_num_threads(num_threads)
    assert {"models/lstm/vocabulary.txt", "training/lstm/metrics.jsonl"} <= files_of(out)
    assert {result.model for result in read_results(out / "results.json").results} == {"bow", "lstm"}
    assert "lstm" in (out / "report.html").read_text()


def test_a_calibrated_model_and_what_models_show_are_left_in_the_run(write_recipe, tmp_path):
    calibrated = BOW.replace("models.bow", "models.calm") + 'refit = false\ncalibrate = "temperature"\n'
    runs.run(read_recipe(write_recipe(BOW + calibrated)), tmp_path / "run", resume=False, console=QUIET)
    assert load(tmp_path / "run" / "models" / "calm").calibration == "temperature"
    results = {result.model: result for result in read_results(tmp_path / "run" / "results.json").results}
    assert (results["calm"].calibration, results["bow"].calibration) == ("temperature", None)
    assert results["calm"].model_digest == load(tmp_path / "run" / "models" / "calm").digest
    analysis = read_analysis(tmp_path / "run" / "analysis.json")
    assert {model.model for model in analysis.models} == {"bow", "calm"}
    assert len(analysis.comparisons) == 1


def test_a_start_that_is_nowhere_is_reported_before_anything_is_trained(write_recipe, tmp_path):
    started = BOW.replace("models.bow", "models.started") + 'start = "nowhere"\n'
    with pytest.raises(BundleError, match="model nowhere is unknown"):
        run(write_recipe(BOW + started), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_baselines_are_scored_like_the_models_and_leave_no_bundle(write_recipe, tmp_path):
    out = tmp_path / "run"
    run(write_recipe(), out)
    run(write_recipe(BOW + "[report]\nbaselines = true\n"), out, resume=True)
    results = {result.model: result for result in read_results(out / "results.json").results}
    assert results.keys() == {"bow", *BASELINES}
    assert len({(result.n, result.data_digest) for result in results.values()}) == 1
    largest, regression = (results[name] for name in BASELINES)
    assert (largest.auc, largest.kind, largest.parameters) == (0.5, "baseline", 2)
    assert regression.accuracy > 0.9 > 0.6 > largest.accuracy
    assert regression.parameters > 50
    assert {model.model for model in read_analysis(out / "analysis.json").models} == results.keys()
    assert [folder.name for folder in (out / "models").iterdir()] == ["bow"]


def test_a_run_probes_the_models_that_its_report_names_and_only_once(write_recipe, tmp_path, monkeypatch):
    monkeypatch.delenv("PLAUDIT_ROBUSTNESS", raising=False)
    monkeypatch.chdir(tmp_path)
    path = write_recipe(BOW + '[report]\nrobustness = ["bow"]\nerrors = "bow"\n')
    runs.run(read_recipe(path), tmp_path / "run", resume=False, console=QUIET)
    (tested,) = read_robustness(tmp_path / "run" / "robustness.json").models
    assert (tested.model, tested.pairs) == ("bow", ())
    assert tested.behaviour is not None and tested.perturbed is not None
    assert read_errors(tmp_path / "run" / "errors.json").split == "test"
    times = [(tmp_path / "run" / name).stat().st_mtime_ns for name in ("robustness.json", "errors.json")]
    runs.run(read_recipe(path), tmp_path / "run", resume=True, console=QUIET)
    assert times == [(tmp_path / "run" / name).stat().st_mtime_ns for name in ("robustness.json", "errors.json")]


def test_what_a_report_shows_may_change_when_a_run_goes_on(write_recipe, tmp_path):
    runs.run(read_recipe(write_recipe(BOW)), tmp_path / "run", resume=False, console=QUIET)
    assert not (tmp_path / "run" / "errors.json").exists()
    path = write_recipe(BOW + '[report]\nerrors = "bow"\n')
    runs.run(read_recipe(path), tmp_path / "run", resume=True, console=QUIET)
    assert (tmp_path / "run" / "errors.json").exists()


def test_what_comes_from_a_model_fitted_on_validation_is_not_calibrated_there(write_recipe, tmp_path):
    small = '[models.small]\nfrom = "bow"\ncalibrate = "temperature"\n[models.small.quantize]\n'
    with pytest.raises(SettingsError, match="bow was fitted on validation too; set refit = false there"):
        runs.run(read_recipe(write_recipe(BOW + small)), tmp_path / "run", resume=False, console=QUIET)


def test_training_says_what_the_largest_class_of_validation_would_reach(write_recipe, tmp_path):
    rows = [f"{'lovely' if i % 4 else 'dull'} film {i},{'[/pos]' if i % 4 else 'neg'}" for i in range(80)]
    data = tmp_path / "three.csv"
    data.write_text("\n".join(["text,label", *rows]))
    told = io.StringIO()
    recipe = read_recipe(write_recipe(data=data))
    splits = runs.train(recipe, tmp_path / "run", resume=False, console=Console(file=told, width=200))
    share = splits.validation["label"].to_pylist().count(1) / len(splits.validation)
    assert f"accuracy on validation ({share:.2%} by always answering [/pos]) after" in told.getvalue()
    assert "no spaces" not in told.getvalue()


@pytest.mark.parametrize(("characters", "is_said"), [(0, True), (3, False)])
def test_training_on_words_warns_where_texts_have_no_spaces(write_recipe, tmp_path, characters, is_said):
    texts = [f"{('这部电影太无聊', '这部电影很好看')[i % 2]}{chr(0x4E00 + i)}" for i in range(80)]
    rows = [f"{text},{('neg', 'pos')[i % 2]}" for i, text in enumerate(texts)]
    data = tmp_path / "chinese.csv"
    data.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    told = io.StringIO()
    recipe = read_recipe(write_recipe(data=data), [f"models.bow.characters={characters}", "models.bow.min_count=1"])
    runs.train(recipe, tmp_path / "run", resume=False, console=Console(file=told, width=300))
    assert ("bow: 100 % of the texts have no spaces between words" in told.getvalue()) == is_said
