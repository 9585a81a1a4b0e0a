import io
import json
import sys

import pyarrow as pa
import pytest
from rich.console import Console

from plaudit.data.labelled_file import read_labelled_file
from plaudit.data.quality.report import inspect
from plaudit.data.quality.view import print_report, write_report
from plaudit.data.table import SCHEMA, Dataset
from plaudit.errors import MissingExtraError, OutputError

ROWS = [
    ("A fine film", 1, "train", "m1", 9),
    ("a  FINE film", 0, "train", "m1", 2),
    ("Cafe&eacute; <br /> here", 0, "train", "m2", 2),
    ("itâ€™s cafÃ© talk", 1, "train", "m2", 10),
    ("lost \ufffd here and \x85 there", 1, "train", None, None),
    ("A fine film", 1, "test", "m1", 8),
    ("  ", 0, "test", "m3", 1),
    (None, 0, "test", "m3", 1),
    ("No label for déjà vu, cost 3 < 5 & 6 > 2", None, "unsup", "m4", None),
]


@pytest.fixture
def dataset():
    names = ("text", "label", "split", "group", "rating")
    rows = [{"id": str(i), **dict(zip(names, row, strict=True))} for i, row in enumerate(ROWS)]
    return Dataset(
        "toy [bold]", ("bad", "good"), pa.Table.from_pylist(rows, schema=SCHEMA), "ab" * 32, {"empty text": 3}
    )


def test_each_oddity_is_counted_where_it_is(dataset):
    report = inspect(dataset)
    train, test, unsup = (report.splits[name] for name in ("train", "test", "unsup"))
    assert (train.num_rows, train.labels, train.ratings) == (
        5,
        {"bad": 2, "good": 3},
        {"2": 2, "9": 1, "10": 1},
    )
    assert (train.repeated_texts, train.conflicting_texts) == (1, 1)
    assert (train.num_groups, train.without_group) == (2, 1)
    assert train.issues == {
        "html_tags": 1,
        "html_entities": 1,
        "replacement_characters": 1,
        "mojibake": 1,
        "control_characters": 1,
    }
    assert (test.missing_texts, test.empty_texts) == (1, 1)
    assert unsup.labels == {"bad": 0, "good": 0, "(none)": 1}
    assert not any(unsup.problems().values())
    assert (train.num_words.min, train.num_words.max, train.num_words.median) == (3, 6, 3)
    assert train.num_characters.min == 11
    assert sum(train.num_words_histogram) == 5


def test_what_splits_share_is_counted(dataset):
    shared = {(overlap.first, overlap.second): overlap for overlap in inspect(dataset).overlaps}
    train_test = shared["train", "test"]
    assert (train_test.shared_texts, train_test.rows_in_first, train_test.rows_in_second) == (1, 2, 1)
    assert train_test.shared_groups == 1
    assert shared["train", "unsup"].shared_texts == 0


def test_report_is_the_same_json_each_time(dataset):
    content = json.loads(inspect(dataset).to_json())
    assert content["name"] == "toy [bold]"
    assert content["dropped"] == {"empty text": 3}
    assert content["splits"]["train"]["num_rows"] == 5
    assert len(content["num_words_edges"]) == len(content["splits"]["train"]["num_words_histogram"]) + 1
    assert inspect(dataset).to_json() == inspect(dataset).to_json()


def test_terminal_shows_names_as_they_are(dataset):
    out = io.StringIO()
    print_report(inspect(dataset), Console(file=out, width=120))
    for shown in ("toy [bold]: 9 rows", "label good", "html tags", "train, test", "empty text: 3 rows"):
        assert shown in out.getvalue()


def test_folder_gets_json_and_plots(dataset, tmp_path):
    paths = write_report(inspect(dataset), tmp_path / "new")
    assert [path.name for path in paths] == [
        "quality.json",
        "labels.svg",
        "lengths.svg",
        "problems.svg",
        "ratings.svg",
    ]
    assert json.loads(paths[0].read_text())["name"] == "toy [bold]"
    assert all("<svg" in path.read_text() for path in paths[1:])
    assert sorted(tmp_path.joinpath("new").iterdir()) == sorted(paths)


def test_labelled_file_without_ratings_or_groups_is_reported(tmp_path):
    (tmp_path / "own.csv").write_text("text,label\nfine,1\n,0\nbad,0\n")
    report = inspect(read_labelled_file(tmp_path / "own.csv"))
    assert report.dropped == {"empty text": 1}
    assert report.overlaps == []
    paths = write_report(report, tmp_path / "out")
    assert "ratings.svg" not in [path.name for path in paths]


def test_plots_without_their_extra_name_it(dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    monkeypatch.delitem(sys.modules, "plaudit.data.quality.plots", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'plaudit\[report\]'"):
        write_report(inspect(dataset), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unwritable_folder_is_one_line(dataset, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="give --out another folder"):
        write_report(inspect(dataset), tmp_path / "file")


def test_imbalance_and_scripts_without_spaces_are_named(tmp_path):
    path = tmp_path / "own.csv"

    def shown(*rows):
        path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows), encoding="utf-8")
        console = Console(file=io.StringIO(), width=200)
        print_report(inspect(read_labelled_file(path)), console)
        return console.file.getvalue()

    even = shown(*[(f"a film {i}", i % 2) for i in range(20)])
    assert "unbalanced" not in even
    assert "spaces" not in even
    rare = shown(*[(f"a film {i}", int(i > 0)) for i in range(20)])
    assert "train is unbalanced: always answering 1 has 95.0 % accuracy" in rare
    for text in ("很好的电影", "とても良い映画でした", "หนังเรื่องนี้ดีมาก", "ภาพยนตร์"):
        unspaced = shown(*[(f"{text}{i}" if i % 2 else "a film", i % 2) for i in range(20)])
        assert "50 % of the texts have no spaces between words" in unspaced
        assert "plaudit train FILE" in unspaced
