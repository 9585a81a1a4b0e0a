"""What the command line makes of the values of files, and of streams that are not as it would like them."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from plaudit.cli.main import app
from plaudit.errors import DataError, SettingsError

RATED = "text,stars\nA fine film,5\ndull,1\ngood,4.0\nbad,2\nmeh,3\n"


def run(*arguments, **options):
    return CliRunner().invoke(app, list(map(str, arguments)), **options)


@pytest.fixture
def rated(tmp_path):
    path = tmp_path / "rated.csv"
    path.write_text(RATED)
    return path


def test_inspect_and_evaluate_take_ratings_as_classes(rated):
    report = run("data", "inspect", rated, "--labels", "negative=1,2 positive=4-5", "--json")
    assert report.exit_code == 0
    content = json.loads(report.stdout)
    assert content["labels"] == ["negative", "positive"]
    assert content["dropped"] == {"label in no class (3)": 1}
    result = run("evaluate", "bow", "--data", rated, "--labels", "pos=4,5 neg=1,2", "--json")
    assert "left out 1 rows, label in no class (3)" in result.stderr
    (scored,) = json.loads(result.stdout)["results"]
    assert (scored["n"], scored["labels"]) == (4, ["negative", "positive"])


@pytest.mark.parametrize(
    ("labels", "error", "why"),
    [
        ("good=4,5 negative=1", SettingsError, None),
        ("fine=4,5 negative=1", SettingsError, "fine is not a label of the model; it has negative, positive"),
        ("positive=4,5 negative=8-9", DataError, "has no value of 8-9, listed for negative"),
        (None, DataError, "say which values stand for each by --labels 'negative=1,2 …'"),
    ],
)
def test_classes_that_do_not_fit_the_model_or_the_file_are_refused(rated, labels, error, why):
    result = run("evaluate", "bow", "--data", rated, *(["--labels", labels] if labels else []), "--json")
    if why is None:  # another word for positive
        assert result.exit_code == 0
        return
    assert isinstance(result.exception, error)
    assert why in str(result.exception)


def test_a_column_may_be_called_0(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("0,1\nfine film,pos\ndull film,neg\n")
    for columns in (("--set", "text_column=0", "--set", "label_column=1"), ("--text", "0", "--label", "1")):
        assert json.loads(run("data", "inspect", path, *columns, "--json").stdout)["labels"] == ["neg", "pos"]


def test_a_file_is_scored_and_not_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").write_text("text\nA fine film\nDull\n")
    (tmp_path / "fine").write_text("text\n")
    by_option = run("predict", "--input", "reviews.csv")
    result = run("predict", "reviews.csv")
    assert (result.exit_code, result.stdout) == (0, by_option.stdout)
    assert "scoring the file reviews.csv, as with --input" in result.stderr
    for text in ("missing.csv", "fine", "x" * 5000 + ".csv", "a\0.csv"):
        assert run("predict", text).stdout.count("\n") == 1, text
    mixed = run("predict", "reviews.csv", "A fine film")
    assert isinstance(mixed.exception, SettingsError)
    assert "reviews.csv is a file among texts" in str(mixed.exception)


def test_verdicts_need_no_other_column(tmp_path):
    path = tmp_path / "amazon.json"
    path.write_text('{"reviewText": "A fine film", "helpful": [0, 1]}\n{"reviewText": NaN, "helpful": [2]}\n')
    plain = run("predict", "--input", path, "--text", "reviewText")
    assert (plain.exit_code, plain.stdout.split("\n")[1]) == (0, "-\t-\t")
    dropped = run("predict", "--input", path, "--text", "reviewText", "--drop", "helpful", "--json")
    rows = list(map(json.loads, dropped.stdout.splitlines()))
    assert [(row["reviewText"], row["predicted"]) for row in rows] == [("A fine film", "positive"), (None, None)]
    assert "no column 'helpfull'" in str(
        run("predict", "--input", path, "--text", "reviewText", "--drop", "helpfull").exception
    )
    refused = run("predict", "--input", path, "--text", "reviewText", "--json")
    assert "field 'helpful' is a JSON list" in str(refused.exception)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_no_stream_loses_a_letter(encoding):
    process = start("predict", "--json", encoding=encoding, text="\ufeffCafé \U0001f600 superb\n".encode())
    assert json.loads(process.stdout)["text"] == "Café \U0001f600 superb"
    process = start("predict", encoding=encoding, text="Café \U0001f600 superb\n".encode())
    assert b"?" not in process.stdout
    assert "Café" in process.stdout.decode("cp1252" if encoding == "cp1252" else "utf-8").replace("\\xe9", "é")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-", ">&- 2>&-"])
def test_closed_streams_end_in_silence_or_one_line(closed):
    command = f"exec {sys.executable} -m plaudit predict {'' if '<' in closed else 'fine'} {closed}"
    process = subprocess.run(["bash", "-c", command], capture_output=True, check=False, timeout=60)
    assert process.stderr.count(b"\n") <= 1
    assert b"Traceback" not in process.stderr
    assert process.returncode == (2 if "<" in closed else 0)


def start(*arguments, encoding, text):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "plaudit", *arguments]
    return subprocess.run(command, input=text, env=environment, capture_output=True, check=True, timeout=60)
