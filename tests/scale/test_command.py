import io
import json
import os
import sys
import threading

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


def test_files_that_are_written_in_other_ways_are_scored_and_described(predict, tmp_path):
    (tmp_path / "odd.csv").write_bytes("id;review\n1;sch\xf6n\n2;dull\n".encode("cp1252"))
    (tmp_path / "bare.tsv").write_text('1\t"Great, so good\n2\t"Dull\n')
    status, _, err = predict("-i", "odd.csv", "-o", "s.jsonl")
    assert (status, err.splitlines()[0]) == (0, "odd.csv: cells separated by semicolons, Windows-1252")
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [(row["id"], row["review"]) for row in rows] == [("1", "schön"), ("2", "dull")]
    options = ("--no-header", "--text", "2", "--quoting", "none")
    status, _, err = predict("-i", "bare.tsv", "-o", "out", "--format", "csv", *options)
    assert (status, err.splitlines()[0]) == (
        0,
        "bare.tsv: cells separated by tabs, no cell is quoted, UTF-8, no header, columns named by number",
    )
    status, _, err = predict("-i", "bare.tsv", "-o", "out", "--format", "csv", "--no-header", "--text", "2", "--resume")
    assert (status, err.count("\n")) == (2, 2)
    assert "error: out: was begun with other settings, how files are read differs" in err


def test_columns_without_names_are_scored_along(predict, tmp_path):
    (tmp_path / "spam.csv").write_text("v1,v2,,,\nham,fine,,,\nspam,win now,,,\n")
    assert predict("-i", "spam.csv", "--text", "v2", "-o", "o.csv")[0] == 0
    assert (tmp_path / "o.csv").read_text().startswith('"v1","v2","column_3","column_4","column_5","predicted",')


def test_each_empty_line_of_one_column_has_its_row(predict, tmp_path):
    (tmp_path / "r.csv").write_text("text\nA fine film\n\nDull\n\n")
    assert predict("-i", "r.csv", "-o", "o.jsonl")[0] == 0
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == ["A fine film", "", "Dull", ""]
    assert [row["predicted"] is None for row in rows] == [False, True, False, True]


def test_a_pipe_is_an_input(predict, tmp_path, monkeypatch):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("text\nfine\n",))
    writer.start()
    status, out, err = predict("-i", "pipe.csv")
    writer.join()
    assert (status, out.rstrip().endswith("\tfine"), err) == (0, True, "")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "fine"}\n')))
    assert predict("-i", "-") == (0, out, "")


@pytest.mark.parametrize("option", [("--no-header",), ("--separator", ";"), ("--table", "a")])
def test_an_option_about_files_needs_one(predict, option):
    status, _, err = predict(*option, "hello")
    assert (status, err) == (2, f"error: {option[0].replace('no-', '')} has no effect without --input FILE\n")


def test_an_option_of_no_meaning_is_one_line(predict):
    status, _, err = predict("-i", "a.csv", "--separator", "::")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("error: --input: separator = '::': give one ASCII character, such as ';' or '|', or tab")
