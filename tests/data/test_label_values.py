import pytest

from plaudit.data.label_values import for_model, ids_by_class, label_id, label_names, parse_classes, plain_label
from plaudit.data.labelled_file import read_labelled_file
from plaudit.data.load import DataSettings
from plaudit.errors import DataError, SettingsError
from plaudit.settings import override, parse


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        *[(number, "1") for number in ("1", "1.0", "1.", "+1", " 1.00 ")],
        *[(number, "0") for number in ("0", "-0", "0.0", "-0.0")],
        *[("10.0", "10"), ("2.50", "2.5"), ("-1.0", "-1"), ("0.5", "0.5")],
        *[(code, code) for code in ("007", "01", "1.2.3", "1e3", "v1.0", "½", "١")],
        *[("re\u0301ussi", "réussi"), ("  très bon ", "très bon")],
    ],
)
def test_a_label_has_one_spelling(written, plain):
    assert plain_label(written) == plain
    assert plain_label(plain) == plain


def test_ratings_are_in_the_order_of_numbers():
    ratings = [str(half / 2).removesuffix(".0") for half in range(20, 0, -1)]
    assert label_names(ratings, "f") == tuple(reversed(ratings))
    assert label_names(["10", "-2.5", "0.5", "2"], "f") == ("-2.5", "0.5", "2", "10")


@pytest.mark.parametrize("labels", [("0", "1"), ("0.0", "1.0"), ("negative", "positive"), ("-1", "+1"), ("-1.0", "1")])
@pytest.mark.parametrize("value", ["1", "1.0", "+1"])
def test_a_number_finds_its_label_however_both_are_written(labels, value):
    assert label_id(value, labels) == 1


def test_accents_find_their_label_in_both_forms():
    for labels in (("ne\u0301gatif", "positif"), ("négatif", "positif")):
        assert label_id("négatif", labels) == label_id("Ne\u0301gatif", labels) == 0


def test_classes_are_read_from_an_option():
    assert parse_classes("negative=1,2 positive=4-5", source="--labels") == {
        "negative": ("1", "2"),
        "positive": ("4-5",),
    }
    assert parse_classes('"not so good"=bad,"very bad" good=fine', source="--labels") == {
        "not so good": ("bad", "very bad"),
        "good": ("fine",),
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("negative", "write it as 'negative=1,2 positive=4,5'"),
        ("negative=1,2 =4", "write it as"),
        ("negative='1", "a quote is left open"),
        ("", "give each label its values"),
        ("negative=1,2 positive=", "positive has an empty value"),
        ("negative=1,,2 positive=4", "negative has an empty value"),
        ("negative=1 negative=2", "negative is given twice"),
        ("negative=1,2 positive=2.0,3", "2 is listed for negative and for positive"),
        ("negative=1,1 positive=2", "1 is listed for negative and for negative"),
        ("negative=3-1 positive=5", "negative=3-1: write the lower number first"),
    ],
)
def test_malformed_classes_say_why(text, why):
    with pytest.raises(SettingsError) as caught:
        parse_classes(text, source="--labels")
    assert why in str(caught.value)
    assert str(caught.value).startswith("--labels")
    assert "\n" not in str(caught.value)


def test_values_find_the_class_that_lists_them():
    values = ["1", "2.5", "3", "5", "Great"]
    assert ids_by_class(values, {"bad": ("1-2.5",), "good": ("5.0", "great")}, "f") == {
        "1": 0,
        "2.5": 0,
        "5": 1,
        "Great": 1,
    }
    assert ids_by_class(["1-3", "4-5", "2"], {"bad": ("1-3",), "good": ("4-5",)}, "f") == {"1-3": 0, "4-5": 1}
    assert ids_by_class(["1", "5"], {"bad": ("1", "2"), "good": ("4", "5")}, "f") == {"1": 0, "5": 1}
    assert ids_by_class(["-2", "-1", "1"], {"bad": ("-2--1",), "good": ("1",)}, "f") == {"-2": 0, "-1": 0, "1": 1}


@pytest.mark.parametrize(
    ("classes", "why"),
    [
        ({"bad": ("1", "awful"), "good": ("5",)}, "has no value 'awful', which is listed for bad; it has 1, 2, 5"),
        ({"bad": ("0",), "good": ("5",)}, "has no value of 0, listed for bad; it has 1, 2, 5"),
        ({"bad": ("1",), "good": ("7-9",)}, "has no value of 7-9, listed for good; it has 1, 2, 5"),
        ({"bad": ("1-2",), "good": ("2-5",)}, "'2' is listed for bad and for good"),
    ],
)
def test_classes_that_do_not_fit_the_file_say_why(classes, why):
    with pytest.raises(DataError) as caught:
        ids_by_class(["5", "1", "2"], classes, "f.csv: column 'stars'")
    assert why in str(caught.value)
    assert str(caught.value).startswith("f.csv: column 'stars'")


def test_one_class_is_not_enough():
    with pytest.raises(SettingsError, match="at least two labels"):
        ids_by_class(["1", "5"], {"good": ("5",)}, "f.csv: column 'stars'")


def test_classes_take_the_order_of_a_model():
    classes = {"Positive": ("4", "5"), "neg": ("1",)}
    assert for_model(classes, ("negative", "positive"), source="--labels") == {
        "negative": ("1",),
        "positive": ("4", "5"),
    }
    assert for_model({"b": ("1",)}, ("a", "b"), source="--labels") == {"a": (), "b": ("1",)}
    with pytest.raises(SettingsError, match="fine is not a label of the model; it has a, b"):
        for_model({"fine": ("1",)}, ("a", "b"), source="--labels")


def test_ratings_become_classes_and_others_are_left_out_and_counted(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("text,stars\na,1\nb,2.0\nc,3\nd,4\ne,5\nf,3.5\n,1\n")
    classes = {"negative": ("1", "2"), "positive": ("4-5",)}
    dataset = read_labelled_file(path, labels=classes)
    assert dataset.labels == ("negative", "positive")
    assert dataset.table["label"].to_pylist() == [0, 0, 1, 1]
    assert dataset.table["text"].to_pylist() == ["a", "b", "d", "e"]
    assert dataset.table["id"].to_pylist() == ["r/1", "r/2", "r/4", "r/5"]
    assert dataset.dropped == {"empty text": 1, "label in no class (3, 3.5)": 2}


def test_settings_take_classes_as_a_table_and_names_that_look_like_numbers():
    setting = 'labels={negative = [1, 2], positive = ["4-5"]}'
    settings = parse(DataSettings, override({"name": "r.csv"}, [setting, "text_column=0"]), source="--set")
    assert settings.labels == {"negative": ("1", "2"), "positive": ("4-5",)}
    assert settings.text_column == "0"
    assert parse(DataSettings, {"name": "r", "labels": [0, 1]}, source="--set").labels == ("0", "1")
    with pytest.raises(SettingsError, match="1 is listed for a and for b"):
        parse(DataSettings, {"name": "r", "labels": {"a": [1], "b": [1]}}, source="--set")
