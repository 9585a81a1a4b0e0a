import json
import sys

import pyarrow.parquet as pq
import pytest

from plaudit.cli.main import main
from tests.conftest import toy_csv


@pytest.fixture
def predict(toy_bow_folder, tmp_path, monkeypatch, capsys):
    """Return a function that runs `plaudit predict` in a folder of two files: (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name in ("a.csv", "b.csv"):
        toy_csv(tmp_path / name, 40)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["plaudit", "predict", "-m", str(toy_bow_folder), *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    return call


def test_a_glob_becomes_a_folder_and_a_summary_is_printed(predict, tmp_path):
    status, out, err = predict("-i", "*.csv", "-o", "out", "--drop", "review")
    assert (status, out) == (0, "")
    assert err.startswith("80 rows scored, out: 2 parts, ")
    assert len(pq.read_table(tmp_path / "out")) == 80
    status, out, err = predict("-i", "*.csv", "-o", "out", "--drop", "review", "--resume")
    assert (status, err) == (0, "80 rows scored, out: 2 parts, all done before\n")


def test_an_output_below_the_input_is_no_input_of_its_own(predict, tmp_path):
    for _ in range(2):
        status, _, err = predict("-i", ".", "-o", "scored", "--resume")
        assert (status, err.startswith("80 rows scored, scored: 2 parts")) == (0, True)
    status, _, err = predict("-i", "scored", "-o", "scored", "--resume")
    assert (status, err) == (2, "error: --out scored: all input files are in this folder; name another one\n")


def test_the_summary_comes_as_json(predict, tmp_path):
    status, out, err = predict("-i", "a.csv", "-i", "b.csv", "-o", "out/", "--format", "csv", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == json.loads((tmp_path / "out" / "_SUCCESS.json").read_text())
    assert (tmp_path / "out" / "part-00001.csv").exists()


def test_rows_that_cannot_be_read_are_counted_and_kept_in_a_side_file(predict, tmp_path):
    with (tmp_path / "a.csv").open("a") as file:
        file.write("one,two,three\n")
    status, _, err = predict("-i", "a.csv", "-o", "s.jsonl")
    expected = "40 rows scored, s.jsonl; 1 rows could not be read, s.jsonl.rejected.jsonl says why\n"
    assert (status, err) == (0, expected)
    assert json.loads((tmp_path / "s.jsonl.rejected.jsonl").read_text())["row"] == 41
    status, out, _ = predict("-i", "a.csv", "-o", "s.jsonl", "--json")
    assert json.loads(out) == {"output": "s.jsonl", "rows": 40, "rows_without_text": 0, "abstained": 0, "rejected": 1}
    status, _, err = predict("-i", "a.csv", "-o", "t.jsonl", "--on-error", "fail")
    assert (status, (tmp_path / "t.jsonl").exists()) == (2, False)
    assert err.startswith("error: a.csv: row 41 has 3 cells")
    status, out, err = predict("-i", "a.csv")
    assert (status, err.startswith("error: a.csv: row 41 has 3 cells")) == (2, True)


def test_a_side_file_of_an_earlier_run_does_not_outlive_it(predict, tmp_path):
    (tmp_path / "s.csv.rejected.jsonl").write_text("{}\n")
    assert predict("-i", "a.csv", "-o", "s.csv")[0] == 0
    assert not (tmp_path / "s.csv.rejected.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--resume", "hello"), "--resume has no effect without --input FILE"),
        (("--drop", "id", "hello"), "--drop has no effect without --input FILE"),
        (("-i", "a.csv", "b.csv"), "give either texts or --input FILE, not both; put quotes around a glob"),
        (("-i", "a.csv", "--on-error", "fail"), "--on-error has no effect without --out"),
        (("-i", "a.csv", "--engine", "ray"), "--engine has no effect without --out"),
        (("-i", "a.csv", "-o", "s.csv", "--resume"), "--resume has no effect on one file; let --out name a folder"),
        (("-i", "a.csv", "-o", "out", "--engine", "spark"), "--engine spark is unknown; known: local, ray"),
        (("-i", "a.csv", "-o", "out", "--format", "parket"), "--format parket is unknown; did you mean parquet?"),
        (("-i", "a.csv", "-o", "out", "--on-error", "skip"), "--on-error skip is unknown; known: fail, reject"),
        (("-i", "a.csv", "-o", "out", "--ray-address", "h:1"), "--ray-address has no effect without --engine ray"),
        (
            ("-i", "a.csv", "-o", "out", "--engine", "ray", "--ray-address", "127.0.0.1:1"),
            "--ray-address 127.0.0.1:1: no Ray cluster answers (",
        ),
        (("-i", "*.csv"), "stdout cannot take the scores of 2 files; let --out name a folder"),
        (("-i", "*.csv", "-o", "s.csv"), "--out s.csv: one file cannot take the scores of 2 files"),
        (("-i", "a.csv", "-o", "s3://bucket/out"), "s3://bucket/out: scores are written to this machine"),
        (("-i", "*.tsv", "-o", "out"), "*.tsv: matches no file"),
        (
            ("-i", "a.csv", "-o", "out", "--drop", "reviw"),
            "a.csv: no column 'reviw'; columns: 'review', 'sentiment'; did",
        ),
        (("-i", "a.csv", "-o", "."), ".: is not empty; name a new folder, or give --resume"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_no_file(predict, tmp_path, arguments, message):
    if "ray" in arguments:
        pytest.importorskip("ray")
    status, out, err = predict(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]
