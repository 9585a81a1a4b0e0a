from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from plaudit.data.load import DataSettings
from plaudit.data.splits import connected, prepare, text_digests, text_keys
from plaudit.data.table import SCHEMA, Dataset
from plaudit.errors import DataError


def dataset(rows, labels=("negative", "positive"), dropped=None):
    """Rows of (text, label, split, group)."""
    table = pa.Table.from_pylist(
        [
            {"id": str(i), "text": text, "label": label, "split": split, "group": group, "rating": None}
            for i, (text, label, split, group) in enumerate(rows)
        ],
        schema=SCHEMA,
    )
    return Dataset("toy", labels, table, "ab" * 32, dropped or {})


def films(num_films=100, per_film=4, splits=("train",)):
    return [
        (f"{split} film {film} review {i}", film % 2, split, f"{split} {film}")
        for split in splits
        for film in range(num_films)
        for i in range(per_film)
    ]


def settings(**values):
    return DataSettings(name="toy", **values)


def texts(table):
    return table["text"].to_pylist()


def test_validation_and_test_are_whole_groups_of_about_the_asked_size():
    splits = prepare(dataset(films()), settings(validation_fraction=0.2, test_fraction=0.1))
    tables = (splits.train, splits.validation, splits.test)
    assert [len(table) for table in tables] == [288, 72, 40]
    groups = [set(pc.unique(table["group"]).to_pylist()) for table in tables]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 100
    for table, name in zip(tables, ("train", "validation", "test"), strict=True):
        assert pc.unique(table["split"]).to_pylist() == [name]
        assert pc.sum(table["label"]).as_py() == len(table) / 2  # held out label by label


def test_same_seed_same_rows_other_seed_other_rows():
    first, again, other = (prepare(dataset(films()), settings(seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert texts(first.validation) != texts(other.validation)
    assert texts(first.test) != texts(other.test)
    assert first.digest != other.digest


def test_splits_of_the_source_are_kept():
    splits = prepare(dataset(films(20, 2, ("train", "validation", "test", "unsup"))), settings())
    assert [len(t) for t in (splits.train, splits.validation, splits.test, splits.unlabelled)] == [40] * 4
    assert splits.dropped == {}


def test_texts_that_repeat_test_texts_are_dropped_and_counted():
    rows = films(20, 2, ("train", "test", "unsup"))
    rows += [("TEST film  3\n review 1 ", 1, "train", "other"), ("test film 4 review 0", 0, "unsup", None)]
    splits = prepare(dataset(rows, dropped={"empty text": 5}), settings(seed=3))
    repeated = {name: count for name, count in splits.dropped.items() if name != "empty text"}
    assert sum(repeated.values()) == 2
    assert repeated["unsup texts that repeat test texts"] == 1
    assert splits.dropped["empty text"] == 5
    assert len(splits.train) + len(splits.validation) == 40
    assert len(splits.test) == 40


def test_train_texts_that_repeat_the_validation_of_the_source_are_dropped():
    rows = [*films(20, 2, ("train", "validation", "test")), ("validation film 3 review 1", 1, "train", "x")]
    assert prepare(dataset(rows), settings()).dropped == {"train texts that repeat validation texts": 1}


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_one_text_stay_on_one_side_even_across_groups(seed):
    rows = [(f"Text {i // 3}" if i % 3 else f"text  {i // 3}", i % 2, "train", f"{i}") for i in range(90)]
    splits = prepare(dataset(rows), settings(seed=seed, validation_fraction=0.3))
    folded = [{" ".join(t.lower().split()) for t in texts(x)} for x in (splits.train, splits.validation, splits.test)]
    assert sum(map(len, folded)) == len(set.union(*folded)) == 30


def test_rows_without_group_are_split_by_text():
    rows = [(f"text {i}", i % 2, "train", None) for i in range(100)]
    splits = prepare(dataset(rows), settings())
    assert [len(t) for t in (splits.train, splits.validation, splits.test)] == [82, 8, 10]


def test_limit_keeps_a_balanced_part_and_shrinks_the_rest_in_proportion():
    rows = films(100, 4, ("train", "test"))
    rows = [row for i, row in enumerate(rows) if row[1] or i % 3 == 0 or row[2] == "test"]
    whole = prepare(dataset(rows), settings())
    splits = prepare(dataset(rows), settings(limit=60))
    assert pc.value_counts(splits.train["label"]).to_pylist() == [
        {"values": 0, "counts": 30},
        {"values": 1, "counts": 30},
    ]
    assert len(splits.test) == round(len(whole.test) * 60 / len(whole.train))
    assert set(texts(splits.validation)) <= set(texts(whole.validation))
    assert prepare(dataset(rows), settings(limit=60)) == splits
    assert prepare(dataset(rows), settings(limit=10_000)).train == whole.train


def test_limit_fills_up_where_a_label_is_rare():
    rows = [(f"text {i}", int(i < 20), "train", None) for i in range(400)]
    splits = prepare(dataset(rows), settings(limit=100))
    assert len(splits.train) == 100
    assert pc.sum(splits.train["label"]).as_py() == 16


def test_the_column_of_too_few_groups_is_named():
    rows = [(f"text {i}", i % 2, "train", "one") for i in range(50)]
    own = replace(dataset(rows), group_column="kind")
    with pytest.raises(DataError, match=r"1 groups of column 'kind' are too few .*, or set group_column to none"):
        prepare(own, settings())


def test_too_few_groups_are_refused():
    rows = [(f"text {i}", i % 2, "train", "one") for i in range(50)]
    with pytest.raises(DataError, match=r"toy: 50 rows in 1 groups are too few to hold out 0.1 for test"):
        prepare(dataset(rows), settings())


def test_train_without_a_label_is_refused():
    rows = films(20, 2, ("test", "validation")) + [(f"text {i}", 0, "train", None) for i in range(9)]
    with pytest.raises(DataError, match="train has no row labelled 'positive'"):
        prepare(dataset(rows), settings())


def test_train_that_only_repeats_test_is_refused():
    rows = [*films(20, 2, ("test", "validation")), ("test film 1 review 0", 0, "train", None)]
    with pytest.raises(DataError, match="no rows are left in train"):
        prepare(dataset(rows), settings())


def test_text_keys_ignore_case_and_white_space_only():
    same = text_keys(pa.chunked_array([["A  film\n", "a film", "a\tFILM"], [" a film"]]))
    assert len(np.unique(same)) == 1
    assert len(np.unique(text_keys(pa.chunked_array([["a film", "a film.", "afilm", "Ä", "ä film"]])))) == 5


def test_digests_are_the_same_everywhere_and_equal_where_the_keys_are():
    texts = pa.chunked_array([["A  film\n", "a film", "a film."], ["ein tre\u0300s", "Ein  très", ""]])
    digests = text_digests(texts)
    assert [hex(digest) for digest in digests[:3].tolist()] == [
        "0xf629adc212850c2c",
        "0xf629adc212850c2c",
        "0x58b518e887fdd9af",
    ]
    keys = text_keys(texts)
    assert ((digests[:, None] == digests) == (keys[:, None] == keys)).all()
    assert text_digests(pa.chunked_array([], pa.string())).tolist() == []


def test_connected_follows_links_through_both_columns():
    unit = connected(np.array([5, 5, 7, 8, 9]), np.array([0, 1, 1, 2, 3]))
    assert unit.tolist() == [0, 0, 0, 1, 2]
    chain = np.arange(20_000)
    assert connected(chain // 2, (chain + 1) // 2).max() == 0
    assert connected(np.array([], int), np.array([], int)).tolist() == []


def test_listed_reviews_are_left_out_and_counted_and_the_others_stay_where_they_were(tmp_path):
    reviews = dataset(films(splits=("train", "test")))
    whole = prepare(reviews, settings())
    listed = [whole.train["id"][0].as_py(), whole.validation["id"][3].as_py(), whole.test["id"][1].as_py()]
    (tmp_path / "sources.tsv").write_text("\n".join(["part\tacl_file", *(f"dev\t{id}.txt" for id in listed)]) + "\n")

    rest = prepare(reviews, settings(leave_out=str(tmp_path / "sources.tsv")))

    assert rest.train["id"].to_pylist() == whole.train["id"].to_pylist()[1:]
    assert len(rest.validation) == len(whole.validation) - 1
    assert rest.test.equals(whole.test)
    assert rest.dropped == {"train texts listed to be left out": 1, "validation texts listed to be left out": 1}


def test_the_digest_depends_on_the_content_of_a_list_and_not_on_its_path(tmp_path):
    digests = []
    for name, id in (("a.csv", 0), ("b.csv", 0), ("c.csv", 1)):
        (tmp_path / name).write_text(f"id\n{id}\n")
        digests.append(prepare(dataset(films()), settings(leave_out=str(tmp_path / name))).digest)
    assert digests[0] == digests[1] != digests[2]
    assert prepare(dataset(films()), settings()).digest not in digests


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id\nnot/there\n", "lists no review of toy, whose ids are like 0"),
        ("name\n0\n", "no column 'id'; columns: 'name'"),
        (None, "no such file"),
    ],
)
def test_a_list_that_leaves_nothing_out_is_refused(tmp_path, content, message):
    path = tmp_path / "sources.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        prepare(dataset(films()), settings(leave_out=str(path)))


def test_accents_in_another_form_make_no_other_text():
    texts = pa.chunked_array([["un tre\u0300s bon film", "Un très  bon film"], ["un tres bon film"]])
    assert text_keys(texts).tolist() == [0, 0, 1]
