import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plaudit.data.splits import Splits
from plaudit.data.table import SCHEMA
from plaudit.errors import DataError
from plaudit.evaluate import leaks


def words(seed, count):
    generator = random.Random(seed)
    return [f"w{generator.randrange(5000)}" for _ in range(count)]


def table(name, texts):
    rows = [
        {"id": f"{name}/{i}", "text": text, "label": i % 2, "split": name, "group": None}
        for i, text in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def splits_of(
    train, test, validation=("a validation text of its own here",), unlabelled=("an unlabelled text of its own",)
):
    return Splits(
        train=table("train", train),
        validation=table("validation", validation),
        test=table("test", test),
        unlabelled=table("unsup", unlabelled),
        labels=("negative", "positive"),
        dropped={},
        name="own",
        digest="d",
    )


def resemblance(first, second):
    def shingles(text):
        parts = text.split()
        return {tuple(parts[i : i + 5]) for i in range(len(parts) - 4)}

    return len(shingles(first) & shingles(second)) / len(shingles(first) | shingles(second))


def test_resemblance_is_the_share_of_common_5_grams():
    whole = words(1, 60)
    others = [" ".join(whole), " ".join(whole[:40] + words(2, 20)), " ".join(words(3, 60)), "too short a text"]
    texts = [" ".join(whole), " ".join(whole[20:] + words(4, 9)), " ".join(words(5, 30)), "w1 w2", ""]
    found = leaks.greatest_resemblance(leaks._shingles(texts), leaks._shingles(others))
    expected = [max(resemblance(text, other) for other in others) for text in texts[:3]]
    np.testing.assert_allclose(found, [*expected, 0, 0], atol=0.03)
    assert found[0] == 1
    assert 0.2 < found[1] < 0.9


def test_repeated_and_near_texts_are_counted_in_each_pair_of_splits():
    original = words(1, 80)
    near = " ".join(original[:70])
    far = " ".join(original[:20] + words(9, 60))
    splits = splits_of(
        train=[" ".join(original), " ".join(words(2, 80))],
        test=[f"  {' '.join(words(2, 80)).upper()} ", near, far, " ".join(words(3, 80))],
        unlabelled=[near],
    )
    found = {(overlap.split, overlap.other): overlap for overlap in leaks.find_overlaps(splits)}
    assert set(found) == set(leaks.PAIRS)
    of_train = found["test", "train"]
    assert (of_train.texts, of_train.repeated, of_train.near, of_train.rows) == (4, 1, 1, (0, 1))
    of_unlabelled = found["test", "unlabelled"]
    assert (of_unlabelled.repeated, of_unlabelled.near, of_unlabelled.rows) == (1, 0, (1,))
    assert found["validation", "train"].rows == ()


def test_a_5_gram_that_more_than_a_hundred_texts_share_is_left_out():
    usual = "one of the best films ever"
    texts = [f"{usual} {' '.join(words(i, 3))}" for i in range(leaks.MAX_TEXTS + 1)]
    assert leaks._shingles(texts[:-1]).max() == 1
    shared = leaks._shingles([usual] * (leaks.MAX_TEXTS + 1))
    assert shared.nnz == 0


def test_accuracy_without_the_overlap_leaves_those_reviews_out(tmp_path):
    repeated, other = " ".join(words(1, 30)), " ".join(words(2, 30))
    splits = splits_of(train=[repeated], test=[repeated, other, " ".join(words(3, 30))])
    path = tmp_path / "model.parquet"
    right, wrong = [0.9, 0.1], [0.1, 0.9]
    columns = {
        "id": splits.test["id"],
        "label": [0, 1, 0],
        "probabilities": [right, right, right],
        "split": ["test"] * 3,
    }
    pq.write_table(pa.table(columns), path)
    result = leaks.clean_accuracy(path, splits, leaks.find_overlaps(splits))
    assert (result.model, result.n, result.n_without) == ("model", 3, 2)
    assert result.accuracy == pytest.approx(2 / 3)
    assert result.accuracy_without == pytest.approx(1 / 2)
    pq.write_table(pa.table(columns | {"probabilities": [wrong, wrong, right]}), path)
    assert leaks.clean_accuracy(path, splits, leaks.find_overlaps(splits)).accuracy_without == 1


def test_predictions_of_other_reviews_or_other_files_are_refused_in_one_line(tmp_path):
    splits = splits_of(train=["a text"], test=["another text"])
    path = tmp_path / "model.parquet"
    pq.write_table(
        pa.table({"id": ["elsewhere"], "label": [0], "probabilities": [[0.5, 0.5]], "split": ["test"]}), path
    )
    with pytest.raises(DataError, match="its reviews are not the test split of own"):
        leaks.clean_accuracy(path, splits, [])
    path.write_text("no Parquet")
    with pytest.raises(DataError, match="not a file of predictions"):
        leaks.clean_accuracy(path, splits, [])
