"""Folders of files and of texts, and pipes, are labelled data too."""

import gzip
import io
import os
import sys
import threading

import pyarrow as pa
import pyarrow.parquet
import pytest
from rich.console import Console

from plaudit.data.labelled_file import read_labelled_file
from plaudit.data.load import DataSettings, load_dataset
from plaudit.data.splits import prepare
from plaudit.errors import DataError, SettingsError
from tests.data.formats.sheets import xlsx


def write(folder, contents):
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def rows_of(path, *keys, **options):
    dataset = read_labelled_file(path, **options)
    return [tuple(row[key] for key in keys) for row in dataset.table.to_pylist()], dataset


def test_shards_of_hugging_face_are_splits(tmp_path):
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001", "unsupervised-00000-of-00001"):
        label = -1 if name.startswith("unsup") else None
        table = pa.table({"text": [f"fine {name}", f"dull {name}"], "label": [label or 1, label or 0]})
        path = tmp_path / "data" / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        pa.parquet.write_table(table, path)
    (tmp_path / "README.md").write_text("about")
    rows, dataset = rows_of(tmp_path, "id", "label", "split")
    assert rows[:2] == [("data/test-00000-of-00001/1", 1, "test"), ("data/test-00000-of-00001/2", 0, "test")]
    assert [split for *_, split in rows] == ["test"] * 2 + ["train"] * 4 + ["unsup"] * 2
    assert rows[-1] == ("data/unsupervised-00000-of-00001/2", None, "unsup")
    assert dataset.labels == ("0", "1")
    assert len({id for id, *_ in rows}) == 8


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.csv", "train"),
        ("dev.csv", "validation"),
        ("validation-00000-of-00001.csv", "validation"),
        ("valid_1.csv", "validation"),
        ("test/part.csv", "test"),
        ("default/test/0000.csv", "test"),
        ("training.csv", "train"),
        ("unsupervised.csv", "unsup"),
    ],
)
def test_names_of_files_and_folders_say_the_split(tmp_path, name, split):
    write(tmp_path, {name: "text,label\nfine,1\ndull,0\n", "train/a.csv": "text,label\nlovely,1\nawful,0\n"})
    rows, _ = rows_of(tmp_path, "text", "split")
    assert sorted(rows) == sorted([("fine", split), ("dull", split), ("lovely", "train"), ("awful", "train")])


def test_a_column_named_split_comes_before_names(tmp_path):
    write(tmp_path, {"train.csv": "text,label,split\nfine,1,test\ndull,0,train\n"})
    assert rows_of(tmp_path, "split")[0] == [("test",), ("train",)]


def test_files_of_several_formats_make_one_set(tmp_path):
    write(
        tmp_path,
        {
            "a.csv": "text;label\nschön;1\n".encode("cp1252"),
            "b.jsonl": '{"text": "dull", "label": 0}',
            "c.xlsx": xlsx({"s": [["label", "text"], [1, "fine"]]}),
            "d.tsv.gz": gzip.compress(b"text\tlabel\nso\t0\n"),
            ".hidden.csv": "text,label\nx,1\n",
            "_temporary/e.csv": "text,label\nx,1\n",
        },
    )
    rows, _ = rows_of(tmp_path, "id", "text", "label", "split")
    assert rows == [
        ("a/1", "schön", 1, "train"),
        ("b/1", "dull", 0, "train"),
        ("c/1", "fine", 1, "train"),
        ("d.tsv/1", "so", 0, "train"),
    ]


def test_an_error_names_the_file_and_its_row(tmp_path):
    write(tmp_path, {"a.csv": "text,label\nfine,1\ndull,0\n", "b.csv": "text,label\nfine,1\n,\nso,\n"})
    with pytest.raises(DataError, match=r"b\.csv: row 3, column 'label' has no label"):
        read_labelled_file(tmp_path)
    write(tmp_path, {"b.csv": "text,stars\nfine,1\n"})
    with pytest.raises(DataError, match=r"b\.csv: no column 'label'"):
        read_labelled_file(tmp_path)


def test_folders_of_texts_are_labels(tmp_path):
    write(tmp_path, {"pos/1.txt": "fine", "neg/1.txt": "schön trüb".encode("cp1252"), "neg/2.txt": "\ufeffdull, \nso"})
    rows, dataset = rows_of(tmp_path, "id", "text", "label", "split")
    assert dataset.labels == ("neg", "pos")
    assert rows == [
        ("neg/1", "schön trüb", 0, "train"),
        ("neg/2", "dull, \nso", 0, "train"),
        ("pos/1", "fine", 1, "train"),
    ]


def test_folders_of_texts_may_be_in_folders_of_splits(tmp_path):
    texts = {
        f"{split}/{label}/{i}_7.txt": f"{split} {label} {i}"
        for split in ("train", "test")
        for label in "ab"
        for i in "12"
    }
    write(
        tmp_path, {**texts, "train/unsup/1_0.txt": "who knows", "train/urls_a.txt": "http://a", "README.txt": "about"}
    )
    rows, dataset = rows_of(tmp_path, "text", "label", "split")
    assert dataset.labels == ("a", "b")
    assert ("test b 2", 1, "test") in rows
    assert ("who knows", None, "unsup") in rows
    assert len(rows) == 9


def test_what_a_folder_must_not_mix_is_refused(tmp_path):
    with pytest.raises(DataError, match="a folder without reviews"):
        read_labelled_file(write(tmp_path / "none", {"a.png": "x"}))
    with pytest.raises(DataError, match=r"holds files of rows \(a.csv\) and texts in folders \(pos/1.txt\)"):
        read_labelled_file(write(tmp_path / "both", {"a.csv": "text,label\nfine,1\n", "pos/1.txt": "x"}))
    with pytest.raises(DataError, match=r"test.csv names its split, but more.csv does not"):
        read_labelled_file(
            write(tmp_path / "some", {"more.csv": "text,label\nfine,1\n", "test.csv": "text,label\nx,0\n"})
        )
    texts = write(tmp_path / "texts", {"a/1.txt": "fine", "b/1.txt": "dull"})
    with pytest.raises(SettingsError, match=r"separator has no effect on .*, a folder of texts"):
        load_dataset(DataSettings(name=str(texts), separator=";"))
    with pytest.raises(DataError, match="no column 'review'"):
        load_dataset(DataSettings(name=str(texts), text_column="review"))
    with pytest.raises(DataError, match=r"1.txt: is not UTF-8; save it as UTF-8, or name its encoding"):
        read_labelled_file(write(tmp_path / "odd", {"a/1.txt": b"\xff\xd0 odd", "b/1.txt": "dull"}))


def test_a_folder_changes_its_digest_with_names_and_contents(tmp_path):
    contents = {"a/1.txt": "fine", "b/1.txt": "dull"}
    digests = {
        read_labelled_file(write(tmp_path / str(i), each)).digest
        for i, each in enumerate([contents, contents | {"a/1.txt": "good"}, contents | {"b/2.txt": "so"}])
    }
    assert len(digests) == 3
    assert read_labelled_file(tmp_path / "0").digest in digests


def test_options_change_the_digest(tmp_path):
    path = write(tmp_path, {"r.csv": "text,label\nfine,1\ndull,0\n"}) / "r.csv"
    plain, given = (load_dataset(DataSettings(name=str(path), encoding=encoding)) for encoding in (None, "cp1252"))
    assert plain.table == given.table
    assert plain.digest != given.digest


def test_loading_says_how_files_are_written_where_it_is_not_usual(tmp_path):
    def said(path):
        console = Console(file=io.StringIO(), width=200)
        load_dataset(DataSettings(name=str(path)), console=console)
        return console.file.getvalue().replace(str(tmp_path), "")

    write(
        tmp_path,
        {"usual.csv": "text,label\nfine,1\ndull,0\n", "odd.csv": "text;label\nschön;1\nx;0\n".encode("cp1252")},
    )
    write(tmp_path, {"texts/a/1.txt": "fine", "texts/b/1.txt": "dull"})
    write(tmp_path, {"rows/train.csv": "text,label\nfine,1\n", "rows/test.csv": "text,label\ndull,0\n"})
    assert said(tmp_path / "usual.csv") == ""
    assert said(tmp_path / "odd.csv") == "/odd.csv: cells separated by semicolons, Windows-1252\n"
    assert said(tmp_path / "texts") == "/texts: 2 texts, labelled by folder\n"
    assert said(tmp_path / "rows") == "/rows: 2 files of rows, split by name into test, train\n"


def test_a_folder_of_splits_is_prepared_as_it_is(tmp_path):
    lines = {
        name: "text,label\n" + "".join(f"{name} {i},{i % 2}\n" for i in range(20)) for name in ("train", "dev", "test")
    }
    write(tmp_path, {f"{name}.csv": content for name, content in lines.items()})
    settings = DataSettings(name=str(tmp_path))
    splits = prepare(load_dataset(settings), settings)
    assert [len(table) for table in (splits.train, splits.validation, splits.test)] == [20, 20, 20]
    assert splits.test["text"].to_pylist()[0] == "test 0"


PIPED = {
    "csv": (b"text;label\nfine;1\ndull;0\n"),
    "json": (b'{"text": "fine", "label": 1}\n{"text": "dull", "label": 0}\n'),
    "fasttext": (b"__label__1 fine\n__label__0 dull\n"),
    "gzip": gzip.compress(b'{"text": "fine", "label": 1}\n{"text": "dull", "label": 0}\n'),
    "xlsx": xlsx({"s": [["text", "label"], ["fine", 1], ["dull", 0]]}),
}


@pytest.mark.parametrize("kind", PIPED)
def test_a_pipe_is_read_whatever_it_holds(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PIPED[kind])))
    dataset = load_dataset(DataSettings(name="-"))
    assert dataset.table["text"].to_pylist() == ["fine", "dull"]
    assert dataset.table["label"].to_pylist() == [1, 0]
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(PIPED[kind],))
    writer.start()
    assert load_dataset(DataSettings(name=str(path))).digest == dataset.digest
    writer.join()


def test_an_empty_pipe_says_so(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(DataError, match=r"^-: the file is empty"):
        load_dataset(DataSettings(name="-"))
