import json
import os
import sys
import tomllib

import pytest
from rich.console import Console

import plaudit
from plaudit.automl.own_file import train_file
from plaudit.cli.main import main
from plaudit.errors import DataError
from plaudit.evaluate.results import read_results
from plaudit.pipeline import run as runs
from plaudit.pipeline.baselines import BASELINES
from tests.automl.conftest import invented

OPTIONS = ["--budget", "0", "--start", "none"]


pytestmark = pytest.mark.usefixtures("short_timing")


@pytest.fixture
def call(monkeypatch, capsys):
    """Return a function that runs `plaudit train` in this process: (status, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["plaudit", "train", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def no_report(monkeypatch):
    """Leave out the report, which takes longer than all else."""
    monkeypatch.setattr(runs, "write_report", lambda folder, page, **options: page)


def test_a_file_becomes_a_model_a_report_a_recipe_and_lines_to_copy(call, csv_file):
    status, out, err = call("reviews.csv", "--out", "mine", *OPTIONS)
    assert status == 0, err
    assert "held-out texts are classified correctly" in out
    for name in BASELINES:
        assert f"by {name}" in out
    assert "a larger --budget compares more" in out
    assert "plaudit predict --model mine/models/model" in out
    assert "plaudit serve --model mine/models/model" in out
    assert str(plaudit.load("mine/models/model")("superb superb delight").label) == "pos"
    folder = csv_file.parent / "mine"
    assert {"report.html", "choice.json", "recipe.toml", "results.json"} <= {path.name for path in folder.iterdir()}
    results = {entry.model: entry for entry in read_results(folder / "results.json").results}
    assert set(results) == {"model", *BASELINES}
    assert results["largest class"].accuracy == pytest.approx(0.5, abs=0.1)
    assert {entry.n for entry in results.values()} == {48}
    table = tomllib.loads((folder / "recipe.toml").read_text())
    assert table["data"]["name"] == "reviews.csv"
    assert table["models"]["model"]["kind"] == "bow"


def test_the_written_recipe_trains_the_same_model(call, csv_file, no_report):
    assert call("reviews.csv", "--out", "mine", *OPTIONS)[0] == 0
    assert call("mine/recipe.toml", "--out", "again")[0] == 0
    text = "superb and moving but dull"
    first, second = (plaudit.load(f"{folder}/models/model").predict_proba([text]) for folder in ("mine", "again"))
    assert first.tolist() == second.tolist()


def test_a_test_file_is_scored_and_never_learned_from(call, csv_file, no_report):
    texts, _ = invented(60, seed=9)
    rows = [f"{text},{('pos', 'neg')[i % 2]}" for i, text in enumerate(texts)]  # the wrong way round
    (csv_file.parent / "test.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    status, out, err = call("reviews.csv", "--test", "test.csv", "--out", "mine", "--json", *OPTIONS)
    assert status == 0, err
    outcome = json.loads(out)
    assert outcome["n"] == 60
    assert outcome["accuracy"] < 0.2


def test_unlabelled_texts_reach_the_recipe(call, csv_file, no_report):
    (csv_file.parent / "more.csv").write_text("text\n" + "\n".join(invented(300, seed=5)[0]) + "\n")
    status, _, err = call(
        "reviews.csv", "--unlabelled", "more.csv", "--out", "mine", "--start", "none", "--budget", "100"
    )
    assert status == 0, err
    assert tomllib.loads((csv_file.parent / "mine/recipe.toml").read_text())["data"]["unlabelled_file"] == "more.csv"
    tried = json.loads((csv_file.parent / "mine/choice.json").read_text())["candidates"]
    assert any("unlabelled texts" in entry["candidate"] for entry in tried)


def test_a_curve_is_drawn_for_the_model_and_the_alternatives(call, csv_file, no_report):
    status, _, err = call("reviews.csv", "--out", "mine", "--curve", "--budget", "0", "--start", "bow")
    assert status == 0, err
    points = json.loads((csv_file.parent / "mine/curve.json").read_text())["points"]
    assert {point["labels"] for point in points} >= {50, 100}
    assert {"chosen", "TF-IDF + logistic regression"} <= {point["model"] for point in points}
    assert (csv_file.parent / "mine/curve.svg").read_text().startswith("<svg")


def test_an_interrupted_run_resumes_with_what_was_chosen(call, csv_file, no_report):
    assert call("reviews.csv", "--out", "mine", *OPTIONS)[0] == 0
    folder = csv_file.parent / "mine"
    chosen = (folder / "recipe.toml").read_text()
    (folder / "results.json").unlink()
    assert call("reviews.csv", "--out", "mine", "--resume", *OPTIONS)[0] == 0
    assert (folder / "recipe.toml").read_text() == chosen
    assert (folder / "results.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv"], "none.csv"),
        (["reviews.csv", "--text", "body"], "no column 'body'"),
        (["reviews.csv", "--start", "nothing"], "nothing"),
        (["reviews.csv", "--test", "gone.csv"], "gone.csv"),
        (["bow", "--text", "body"], "--text is for a file of texts"),
        (["bow", "--curve"], "--curve is for a file of texts"),
    ],
)
def test_what_cannot_be_done_is_one_line(call, csv_file, arguments, message):
    status, _, err = call(*arguments, "--out", "mine")
    assert status == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1 or "labelled texts" in err
    assert not (csv_file.parent / "mine" / "models").exists()


def test_a_folder_that_holds_something_is_left_alone(call, csv_file):
    folder = csv_file.parent / "mine"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    status, _, err = call("reviews.csv", "--out", "mine")
    assert status == 2
    assert "mine: exists already" in err
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]


def test_a_name_that_no_recipe_can_have_is_refused_at_once(tmp_path):
    with pytest.raises(DataError, match=r"^caf\\xe9.csv: this name is not UTF-8"):
        train_file({"name": os.fsdecode(b"caf\xe9.csv")}, tmp_path / "out", console=Console(quiet=True))
    assert not (tmp_path / "out").exists()
