"""What the command line makes of the values of files, and of streams that are not as it would like them."""

import json

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
