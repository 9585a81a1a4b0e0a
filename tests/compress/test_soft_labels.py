import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaudit.compress.soft_labels import _KEY, FORMAT, SoftLabels, _digest, read_soft_labels, write_soft_labels
from plaudit.errors import DataError, OutputError

PROVENANCE = {"weights": {"bow": 0.25, "Große": 1.5}, "data_digest": "abc"}


def soft_labels(num_reviews=20, labels=("negative", "positive"), seed=0):
    logits = np.random.default_rng(seed).normal(0, 3, (num_reviews, len(labels)))
    logits -= logits.mean(axis=1, keepdims=True)
    ids = [f"train/pos/{number}_{number % 10}" for number in range(num_reviews)]
    return SoftLabels(ids, logits.astype(np.float16), labels, PROVENANCE)


def assert_same(first, second):
    assert first.ids == second.ids
    assert first.labels == second.labels
    assert first.provenance == second.provenance
    assert first.logits.dtype == second.logits.dtype == np.float16
    np.testing.assert_array_equal(first.logits.view(np.uint16), second.logits.view(np.uint16))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "soft-labels.parquet"
    write_soft_labels(soft_labels(), path)
    return path


@pytest.mark.parametrize("labels", [("negative", "positive"), ("bad", "middling", "gut ä"), ("a", "b", "c", "d", "e")])
@pytest.mark.parametrize("num_reviews", [1, 20, 3_000])
def test_they_are_read_as_they_were_written(tmp_path, labels, num_reviews):
    soft = soft_labels(num_reviews, labels)
    write_soft_labels(soft, tmp_path / "new" / "soft-labels.parquet")
    assert_same(read_soft_labels(tmp_path / "new" / "soft-labels.parquet"), soft)


def test_extreme_logits_come_back(tmp_path):
    soft = replace(soft_labels(3), logits=np.array([[65504, -65504], [-0.0, 6e-8], [0, 1]], np.float16))
    write_soft_labels(soft, tmp_path / "file")
    assert_same(read_soft_labels(tmp_path / "file"), soft)


def test_the_same_soft_labels_are_the_same_bytes(path, tmp_path):
    write_soft_labels(soft_labels(), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_it_is_a_parquet_file_that_others_can_read(path):
    table = pq.read_table(path)
    assert table.column_names == ["id", "logits"]
    assert table["logits"].type.value_type == pa.float16()
    assert table["logits"][0].as_py() == soft_labels().logits[0].tolist()


def test_75_000_reviews_of_two_classes_take_less_than_a_megabyte(tmp_path):
    generator = np.random.default_rng(0)
    ids = [
        f"{folder}/{number}_{rating}"
        for folder, count in (("train/pos", 12_500), ("train/neg", 12_500), ("train/unsup", 50_000))
        for number, rating in enumerate(generator.integers(0, 11, count))
    ]
    margins = generator.normal(0, 3, len(ids)).astype(np.float16)
    path = tmp_path / "soft-labels.parquet"
    write_soft_labels(SoftLabels(ids, np.stack([-margins, margins], axis=1), ("neg", "pos"), PROVENANCE), path)
    assert path.stat().st_size < 1_000_000


def test_logits_are_looked_up_by_id_in_any_order():
    soft = soft_labels()
    found = soft.of([soft.ids[7], soft.ids[2], soft.ids[7]], source="file")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, soft.logits[[7, 2, 7]])
    assert soft.of([], source="file").shape == (0, 2)


def test_an_id_that_is_missing_is_named():
    soft = soft_labels()
    with pytest.raises(DataError, match=r"labels\.parquet: no soft label for review train/pos/99_9; label"):
        soft.of([soft.ids[0], "train/pos/99_9", "another"], source="labels.parquet")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_byte_changes_what_is_read(path, data):
    """The digest is of what the file says: a byte that says nothing, such as a statistic, may be another."""
    before = path.read_bytes()
    position = data.draw(st.integers(0, len(before) - 1))
    flipped = before[position] ^ data.draw(st.integers(1, 255))
    path.write_bytes(before[:position] + bytes([flipped]) + before[position + 1 :])
    try:
        found = read_soft_labels(path)
    except DataError as error:
        assert str(error).startswith(f"{path}: ")
        assert len(str(error).splitlines()) == 1
    else:
        assert_same(found, soft_labels())
    finally:
        path.write_bytes(before)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_cut_file_is_refused(path, data):
    before = path.read_bytes()
    path.write_bytes(before[: data.draw(st.integers(0, len(before) - 1))])
    try:
        with pytest.raises(DataError, match="not a file of soft labels"):
            read_soft_labels(path)
    finally:
        path.write_bytes(before)


def rewrite(path, *, columns=None, **changes):
    """Write the file anew with other columns, or with changes to what is said of them and its old digest."""
    table = pq.read_table(path)
    metadata = json.loads(table.schema.metadata[_KEY]) | changes
    if columns is not None:
        table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata({_KEY: json.dumps(metadata)}), path)


def test_changed_logits_labels_ids_and_provenance_are_refused(path):
    original = path.read_bytes()
    table = pq.read_table(path)
    ids, logits = table["id"].to_pylist(), table["logits"].to_pylist()
    other_logits = pa.array([[0.0, 0.0], *logits[1:]], pa.list_(pa.float16()))
    for changes in (
        {"columns": {"id": ["another", *ids[1:]], "logits": table["logits"]}},
        {"columns": {"id": ids[::-1], "logits": table["logits"]}},
        {"columns": {"id": ids, "logits": other_logits}},
        {"labels": ["positive", "negative"]},
        {"provenance": PROVENANCE | {"data_digest": "xyz"}},
        {"remark": "mine"},
        {"sha256": "0" * 64},
    ):
        rewrite(path, **changes)
        with pytest.raises(DataError, match="changed since it was written; copy it again"):
            read_soft_labels(path)
        path.write_bytes(original)


def test_a_newer_format_is_refused_whatever_else_it_holds(path):
    rewrite(path, format=FORMAT + 1, columns={"review": ["a"]})
    message = f"format {FORMAT + 1}, but this version reads {FORMAT}; upgrade plaudit"
    with pytest.raises(DataError, match=message):
        read_soft_labels(path)


@pytest.mark.parametrize(
    "columns",
    [
        {"id": ["a"]},
        {"logits": [[1.0, 2.0]]},
        {"id": ["a"], "logits": [1.0]},
        {"id": ["a"], "logits": ["x"]},
        {"id": [1], "logits": [[1.0, 2.0]]},
        {"id": ["a"], "logits": [["x", "y"]]},
        {"id": ["a"], "logits": [None]},
        {"id": ["a", "b"], "logits": [[1.0, 2.0], [1.0]]},
        {"id": [None], "logits": [[1.0, 2.0]]},
    ],
)
def test_other_columns_are_refused(path, columns):
    rewrite(path, columns=columns)
    with pytest.raises(DataError, match=r"not a file of soft labels|changed since"):
        read_soft_labels(path)


@pytest.mark.parametrize("described", ["", "[]", "null", "3", '"x"', "{}", '{"format": 1}', '{"sha256": "x"}', "\xff"])
def test_a_parquet_file_of_something_else_is_refused(path, described):
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({_KEY: described.encode("latin-1")}), path)
    with pytest.raises(DataError, match="not a file of soft labels; write one with plaudit label"):
        read_soft_labels(path)


def test_a_foreign_parquet_file_is_refused(tmp_path):
    pq.write_table(pa.table({"text": ["fine"], "label": [1]}), tmp_path / "reviews.parquet")
    with pytest.raises(DataError, match=r"reviews\.parquet: not a file of soft labels"):
        read_soft_labels(tmp_path / "reviews.parquet")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"text,label\nfine,1\n"])
def test_a_file_that_is_no_parquet_is_refused(tmp_path, content):
    (tmp_path / "reviews.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"reviews\.csv: not a file of soft labels"):
        read_soft_labels(tmp_path / "reviews.csv")


def test_a_missing_file_and_a_folder_are_refused(path, tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.parquet: no such file; write one with plaudit label"):
        read_soft_labels(tmp_path / "nowhere.parquet")
    with pytest.raises(DataError, match="not a file of soft labels"):
        read_soft_labels(tmp_path)


def test_a_folder_name_says_nothing(path, tmp_path):
    folder = tmp_path / "id=3"
    folder.mkdir()
    assert_same(read_soft_labels(path.rename(folder / "soft-labels.parquet")), soft_labels())


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="name a folder with room to write to"):
        write_soft_labels(soft_labels(), tmp_path / "file" / "soft-labels.parquet")


def test_ids_that_join_to_the_same_text_have_other_digests():
    logits = np.zeros((2, 1), np.float16)
    assert _digest(["a", "b"], logits, {}) != _digest(["ab", ""], logits, {})
