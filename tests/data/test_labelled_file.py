import csv
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plaudit.data.labelled_file import read_labelled_file
from plaudit.data.load import DataSettings, load_dataset
from plaudit.data.table import SCHEMA
from plaudit.errors import DataError


def write(tmp_path, header, *rows, name="own.csv"):
    path = tmp_path / name
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def labels_of(tmp_path, *values, labels=None):
    path = write(tmp_path, ["text", "label"], *[[f"text {i}", value] for i, value in enumerate(values)])
    dataset = read_labelled_file(path, labels=labels)
    return dataset.labels, dataset.table["label"].to_pylist()


def error_of(path, columns=None, labels=None):
    with pytest.raises(DataError) as caught:
        read_labelled_file(path, columns, labels=labels)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def test_kaggle_file_just_works(tmp_path):
    path = write(
        tmp_path,
        ["review", "sentiment"],
        ["Good.<br />", "positive"],
        ["Bad.", "negative"],
        name="IMDB Dataset.csv",
    )
    dataset = load_dataset(DataSettings(name=str(path)))
    assert dataset.name == "IMDB Dataset.csv"
    assert dataset.labels == ("negative", "positive")
    assert dataset.table.schema == SCHEMA
    assert dataset.table.to_pylist()[0] == {
        "id": "IMDB Dataset/1",
        "text": "Good.<br />",
        "label": 1,
        "split": "train",
        "group": None,
        "rating": None,
    }


@pytest.mark.parametrize(
    ("values", "names", "codes"),
    [
        (("1", "0", "1"), ("0", "1"), [1, 0, 1]),
        (("1", "-1"), ("-1", "1"), [1, 0]),
        (("10", "9", "2"), ("2", "9", "10"), [2, 1, 0]),
        (("10.0", "9.5", "2.0", "2"), ("2", "9.5", "10"), [2, 1, 0, 0]),
        (("1", "0", "1.0", "0.0"), ("0", "1"), [1, 0, 1, 0]),
        (("bu", "n\u00e9gatif", "ne\u0301gatif"), ("bu", "n\u00e9gatif"), [0, 1, 1]),
        (("pos", "neg"), ("neg", "pos"), [1, 0]),
        ((" good", "bad "), ("bad", "good"), [1, 0]),
        (("POSITIVE", "negative"), ("negative", "POSITIVE"), [1, 0]),
        (("positive", "neutral", "negative"), ("negative", "neutral", "positive"), [2, 1, 0]),
        (("spam", "ham"), ("ham", "spam"), [1, 0]),
    ],
)
def test_labels_are_named_in_order(tmp_path, values, names, codes):
    assert labels_of(tmp_path, *values) == (names, codes)


def test_labels_of_the_settings_keep_their_order_and_take_other_spellings(tmp_path):
    assert labels_of(tmp_path, "b", "A", labels=("b", "a", "c")) == (("b", "a", "c"), [0, 1])
    sentiment = ("negative", "positive")
    for values in (("1", "0"), ("pos", "NEG"), ("Positive", "negative"), ("1", "-1"), ("1.0", "0.0"), ("+1", "-1.0")):
        assert labels_of(tmp_path, *values, labels=sentiment) == (sentiment, [1, 0])
    assert labels_of(tmp_path, "1", "1", labels=sentiment) == (sentiment, [1, 1])


def test_label_outside_these_names_is_named_with_its_row(tmp_path):
    path = write(tmp_path, ["text", "label"], ["", "good"], ["a", "good"], ["b", "awful"])
    message = error_of(path, labels=("bad", "good"))
    assert "row 3, column 'label' is 'awful', not one of the labels bad, good" in message


def test_optional_columns_become_split_group_and_id(tmp_path):
    path = write(
        tmp_path,
        ["id", "text", "label", "split", "movie_id"],
        ["a", "one", "x", "train", "m1"],
        ["b", "two", "y", "Dev", ""],
        ["c", "three", "x", "test", "m2"],
        ["d", "four", "", "unsup", "m2"],
    )
    rows = read_labelled_file(path).table.to_pylist()
    assert [row["id"] for row in rows] == ["a", "b", "c", "d"]
    assert [row["split"] for row in rows] == ["train", "validation", "test", "unsup"]
    assert [row["group"] for row in rows] == ["m1", None, "m2", "m2"]
    assert [row["label"] for row in rows] == [0, 1, 0, None]


def test_columns_can_be_chosen(tmp_path):
    path = write(
        tmp_path,
        ["text", "label", "body", "kind", "who"],
        ["-", "-", "one", "x", "p"],
        ["-", "-", "two", "y", "q"],
    )
    columns = {"text": "body", "label": "kind", "group": "who", "id": "who"}
    rows = read_labelled_file(path, columns).table.to_pylist()
    assert [(row["text"], row["label"], row["group"], row["id"]) for row in rows] == [
        ("one", 0, "p", "p"),
        ("two", 1, "q", "q"),
    ]


def test_rows_without_text_are_dropped_and_counted_and_keep_row_numbers(tmp_path):
    path = write(tmp_path, ["text", "label"], ["", "x"], ["  ", ""], ["a", "x"], ["b", "y"])
    dataset = read_labelled_file(path)
    assert dataset.dropped == {"empty text": 2}
    assert dataset.table["id"].to_pylist() == ["own/3", "own/4"]
    jsonl = tmp_path / "own.jsonl"
    jsonl.write_text('{"text": null, "label": 1}\n{"text": "a", "label": 1}\n{"text": "b", "label": 0}\n')
    assert read_labelled_file(jsonl).dropped == {"missing text": 1}


@pytest.mark.parametrize("missing", ["NaN", "nan", " NaN ", "<NA>", "#N/A"])
def test_what_programs_write_for_a_missing_value_is_missing(tmp_path, missing):
    path = write(tmp_path, ["text", "label", "group"], [missing, "x", "1"], ["a", "x", missing], ["b nan", "y", "1"])
    dataset = read_labelled_file(path)
    assert dataset.dropped == {"missing text": 1}
    assert dataset.table["text"].to_pylist() == ["a", "b nan"]
    assert dataset.table["group"].to_pylist() == [None, "1"]
    path = write(tmp_path, ["text", "label"], ["a", "x"], ["b", "y"], ["c", missing])
    assert "row 3, column 'label' has no label" in error_of(path)


def test_json_nan_is_missing_and_parquet_has_the_labels_of_csv(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text('{"text": "a", "label": 1}\n{"text": NaN, "label": 1}\n{"text": "b", "label": 0.0}\n')
    dataset = read_labelled_file(path)
    assert (dataset.labels, dataset.dropped) == (("0", "1"), {"missing text": 1})
    path.write_text('{"text": "a", "label": 1}\n{"text": "b", "label": 0}\n{"text": "c", "label": NaN}\n')
    assert "row 3, column 'label' has no label" in error_of(path)
    path = tmp_path / "own.parquet"
    pq.write_table(pa.table({"text": ["a", "b", "c"], "label": [1.0, 0.0, 2.5]}), path)
    assert read_labelled_file(path).labels == ("0", "1", "2.5")
    pq.write_table(pa.table({"text": ["a", "b"], "label": [1.0, float("nan")]}), path)
    assert "row 2, column 'label' has no label" in error_of(path)


@pytest.mark.parametrize("unused", ["", "none"])
def test_columns_can_be_left_unused(tmp_path, unused):
    path = write(
        tmp_path, ["text", "label", "split", "group", "id"], ["a", "x", "0", "A", "7"], ["b", "y", "4", "A", "7"]
    )
    rows = read_labelled_file(path, {"split": unused, "group": unused, "id": unused}).table.to_pylist()
    assert [(row["split"], row["group"], row["id"]) for row in rows] == [
        ("train", None, "own/1"),
        ("train", None, "own/2"),
    ]
    assert "to another column or to none" in error_of(path)
    path = write(tmp_path, ["text", "label", "none"], ["a", "x", "A"], ["b", "y", "A"])
    assert read_labelled_file(path, {"group": "none"}).table["group"].to_pylist() == ["A", "A"]


def test_unknown_chosen_column_lists_the_columns(tmp_path):
    path = write(tmp_path, ["text", "label"], ["a", "x"])
    message = error_of(path, {"text": "txt"})
    assert "no column 'txt'; columns: 'text', 'label'; did you mean 'text'?" in message


def test_file_without_usual_names_asks_for_the_column(tmp_path):
    path = write(tmp_path, ["a", "b"], ["a", "x"])
    assert "no column has a usual name for the text; name one of 'a', 'b'" in error_of(path)
    assert "no column has a usual name for the label" in error_of(path, {"text": "a"})


def test_one_column_cannot_be_both(tmp_path):
    path = write(tmp_path, ["text", "label"], ["a", "x"])
    assert "cannot be text and label at once" in error_of(path, {"text": "label"})


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "the file has no rows"),
        ([["a", "x"], ["b", "x"]], "only the label 'x'; a classifier needs rows of at least two labels"),
        ([["", ""]], "no labels"),
        ([["a", "x"], ["b", ""], ["c", " "]], "row 2, column 'label' has no label (and 1 rows more)"),
        ([[f"text {i}", f"l{i}"] for i in range(128)], "128 values, more than 127 classes"),
    ],
    ids=["no rows", "one class", "no text", "missing label", "too many classes"],
)
def test_unusable_rows_say_why(tmp_path, rows, why):
    assert why in error_of(write(tmp_path, ["text", "label"], *rows))


def test_unknown_split_is_named_with_its_row(tmp_path):
    path = write(tmp_path, ["text", "label", "split"], ["a", "x", "train"], ["b", "y", "fold 3"])
    assert "row 2, column 'split' is 'fold 3'; write train, validation, test or unsup" in error_of(path)


def test_repeated_ids_are_refused_only_where_chosen(tmp_path):
    path = write(tmp_path, ["text", "label", "id"], ["a", "x", "7"], ["b", "y", "7"])
    assert read_labelled_file(path).table["id"].to_pylist() == ["own/1", "own/2"]
    assert "row 2, column 'id' is '7', not unique" in error_of(path, {"id": "id"})


def test_digest_is_that_of_the_file(tmp_path):
    path = write(tmp_path, ["text", "label"], ["a", "x"], ["b", "y"])
    first = read_labelled_file(path)
    assert read_labelled_file(path) == first
    path.write_text(path.read_text() + "c,x\n")
    assert read_labelled_file(path).digest != first.digest


def test_a_name_that_is_not_utf8_is_written_in_characters_that_are(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.csv")
    try:
        path.write_text("text,label\nfine,pos\ndull,neg\n")
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system takes no such name")
    dataset = read_labelled_file(path)
    assert dataset.name == "caf\\xe9.csv"
    assert dataset.table["id"].to_pylist() == ["caf\\xe9/1", "caf\\xe9/2"]
