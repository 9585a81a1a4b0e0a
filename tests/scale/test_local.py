import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from plaudit.data.formats.find import find_files
from plaudit.errors import DataError, OutputError
from plaudit.predictor import load
from plaudit.scale import local

QUIET = Console(quiet=True)
ROWS = [
    {"id": "1", "review": "a lovely, superb film", "note": "Ärger"},
    {"id": "2", "review": 'a "dull" film\nand awful', "note": ""},
    {"id": "3", "review": " ", "note": "no text"},
    {"id": "4", "review": "", "note": "none at all"},
    {"id": "5", "review": "moving", "note": "x"},
]
ADDED = ["predicted", "probability_negative", "probability_positive"]


def score_file(predictor, path, out, *, column=None, drop=(), rejects=True):
    (file,) = find_files([str(path)])
    return local.score_file(predictor, file, out, column=column, drop=drop, rejects=rejects, console=QUIET)


@pytest.fixture(scope="module")
def predictor(toy_bow_folder):
    return load(toy_bow_folder)


def write(path, rows=ROWS):
    suffix = path.name.partition(".")[2]
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        opener = gzip.open if suffix.endswith("gz") else open
        with opener(path, "wt", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if suffix.startswith("tsv") else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def read(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


@pytest.mark.parametrize("source", ["reviews.csv", "reviews.tsv", "reviews.jsonl", "reviews.parquet", "reviews.csv.gz"])
@pytest.mark.parametrize("target", ["scored.csv", "scored.tsv", "scored.jsonl", "scored.parquet"])
def test_every_format_becomes_every_other(predictor, tmp_path, source, target):
    path = write(tmp_path / source)
    counts = score_file(predictor, path, tmp_path / target, column="review")
    assert counts == (5, 2, 0, 0)
    rows = read(tmp_path / target)
    assert list(rows[0]) == ["id", "review", "note", *ADDED]
    assert [{name: row[name] for name in ROWS[0]} for row in rows] == ROWS
    assert [row["predicted"] or None for row in rows] == ["positive", "negative", None, None, "positive"]
    expected = predictor.predict_proba([ROWS[i]["review"] for i in (0, 1, 4)])
    for i, probabilities in zip((0, 1, 4), expected, strict=True):
        found = [float(rows[i][name]) for name in ADDED[1:]]
        assert found == pytest.approx(probabilities.tolist(), abs=1e-6)
    assert not rows[2]["probability_positive"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source, target])


def test_the_column_of_texts_is_found_by_its_usual_name(predictor, toy_file, tmp_path):
    assert score_file(predictor, toy_file, tmp_path / "out.csv") == (60, 0, 0, 0)


def test_a_file_is_replaced_by_its_own_scores(predictor, toy_file):
    score_file(predictor, toy_file, toy_file)
    assert len(read(toy_file)) == 60


def test_a_missing_text_has_no_score(predictor, tmp_path):
    path = tmp_path / "reviews.parquet"
    pq.write_table(pa.table({"text": [None, "lovely"]}), path)
    assert score_file(predictor, path, tmp_path / "out.jsonl") == (2, 1, 0, 0)
    assert read(tmp_path / "out.jsonl")[0] == {"text": None, **dict.fromkeys(ADDED)}


def test_a_file_without_rows_is_refused_and_nothing_is_left(predictor, tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text("review\n")
    with pytest.raises(DataError, match="has no rows to score"):
        score_file(predictor, path, tmp_path / "new" / "out.csv")
    assert list(tmp_path.iterdir()) == [path]


def test_scores_never_overwrite_a_column_of_the_file(predictor, tmp_path):
    path = write(tmp_path / "reviews.csv", [{"review": "lovely", "predicted": "mine"}])
    with pytest.raises(DataError, match="has a column 'predicted' already; rename it"):
        score_file(predictor, path, tmp_path / "out.csv")


def test_an_unknown_format_is_refused(predictor, toy_file, tmp_path):
    with pytest.raises(OutputError, match=r"out\.xlsx: write to one of \.csv, \.tsv, \.jsonl, \.parquet"):
        score_file(predictor, toy_file, tmp_path / "out.xlsx")


def test_a_bad_row_far_down_leaves_no_output_and_the_old_file(predictor, tmp_path):
    path = tmp_path / "reviews.jsonl"
    path.write_text('{"text": "lovely"}\n' * 20_000 + "{\n")
    (tmp_path / "out.csv").write_text("before")
    with pytest.raises(DataError, match="row 20001 is not a JSON object"):
        score_file(predictor, path, tmp_path / "out.csv", rejects=False)
    assert (tmp_path / "out.csv").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "reviews.jsonl"]


def test_a_full_disk_leaves_nothing(toy_bow_folder, toy_file, tmp_path):
    program = (
        "import resource, sys; from pathlib import Path; from rich.console import Console\n"
        "from plaudit.errors import OutputError; from plaudit.predictor import load\n"
        "from plaudit.data.formats.find import find_files; from plaudit.scale.local import score_file\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        "model, source, *outs = sys.argv[1:]\n"
        "options = dict(column=None, drop=(), rejects=True, console=Console(quiet=True))\n"
        "predictor = load(model)\n"
        "for out in outs:\n"
        "    try: score_file(predictor, find_files([source])[0], Path(out), **options)\n"
        "    except OutputError as error: print(error)\n"
    )
    outs = [tmp_path / "new" / f"out{suffix}" for suffix in (".csv", ".tsv", ".jsonl", ".parquet")]
    command = [sys.executable, "-c", program, str(toy_bow_folder), str(toy_file), *map(str, outs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    messages = done.stdout.splitlines()
    assert len(messages) == 4
    assert all(f"{out}: cannot be written (" in message for out, message in zip(outs, messages, strict=True))
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc")
@pytest.mark.parametrize("target", ["scored.csv", "scored.parquet"])
def test_a_file_of_300_megabytes_is_scored_within_600_megabytes(toy_bow_folder, tmp_path, target):
    path = tmp_path / "reviews.csv"
    block = "".join(f'{i},"a lovely film, {"and a long story about people " * 100}"\n' for i in range(100))
    with path.open("w") as file:
        file.write("id,review\n")
        for _ in range(1_100):
            file.write(block)
    assert path.stat().st_size > 300e6
    program = (
        "from pathlib import Path; from plaudit.cli.main import main\n"
        "try: main()\n"
        "finally: print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
    )
    arguments = ["predict", "--model", toy_bow_folder, "--input", path, "--out", tmp_path / target, "--json"]
    command = [sys.executable, "-c", program, *map(str, arguments)]
    rows, peak_kilobytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert json.loads(rows)["rows"] == 110_000
    assert int(peak_kilobytes) * 1024 < 600e6
