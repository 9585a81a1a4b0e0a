import os

import pyarrow.compute as pc
import pytest

from plaudit.data.load import DataSettings, load_dataset
from plaudit.data.sources import imdb
from plaudit.data.splits import prepare
from plaudit.errors import DataError

IMDB = os.environ.get("PLAUDIT_IMDB")  # before the fixture hides it


def test_environment_names_an_archive_and_then_the_cache_serves(make_archive, monkeypatch):
    path = make_archive()
    monkeypatch.setenv("PLAUDIT_IMDB", str(path))
    first = imdb.load(None)
    monkeypatch.setattr(imdb.archive, "read_archive", None)
    again = imdb.load(None)
    assert again == first
    assert imdb.locate().local
    assert str(path) in imdb.locate().where


def test_changed_archive_is_read_again(make_archive, archive_files, monkeypatch):
    monkeypatch.setenv("PLAUDIT_IMDB", str(make_archive()))
    first = imdb.load(None)
    archive_files["test/pos/3_9.txt"] += b" Really."
    make_archive(archive_files)
    assert imdb.load(None).digest != first.digest


def test_environment_that_names_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAUDIT_IMDB", str(tmp_path / "absent"))
    with pytest.raises(DataError, match=r"PLAUDIT_IMDB=.*absent: no such file or folder"):
        imdb.load(None)
    assert not imdb.locate().local


def test_without_environment_the_archive_is_downloaded_once(make_archive, own_cache, monkeypatch):
    path = make_archive()
    monkeypatch.setattr(imdb, "URL", path.as_uri())
    assert not imdb.locate().local

    def copy(url: str, target, *, md5: str, hint: str, console: object) -> None:
        assert (url, md5) == (path.as_uri(), imdb.MD5)
        assert "PLAUDIT_IMDB" in hint
        target.parent.mkdir(parents=True)
        target.write_bytes(path.read_bytes())

    monkeypatch.setattr(imdb, "download", copy)
    first = imdb.load(None)
    monkeypatch.setattr(imdb, "download", None)
    assert imdb.load(None) == first
    assert imdb.locate() == imdb.Availability(True, str(own_cache / "aclImdb_v1.tar.gz"))


@pytest.mark.slow
@pytest.mark.skipif(IMDB is None, reason="set PLAUDIT_IMDB to the archive of Maas et al.")
def test_the_real_archive_is_what_it_is_known_to_be(monkeypatch):
    monkeypatch.setenv("PLAUDIT_IMDB", str(IMDB))
    dataset = load_dataset(DataSettings(name="imdb"))
    again = load_dataset(DataSettings(name="imdb"))
    assert len(dataset.table) == 100_000
    assert again.digest == dataset.digest
    assert dataset.table["group"].null_count == 0
    splits = prepare(dataset, DataSettings(name="imdb"))
    assert (len(splits.test), splits.dropped["unsup texts that repeat test texts"]) == (25_000, 270)
    repeated = [splits.dropped[f"{name} texts that repeat test texts"] for name in ("train", "validation")]
    assert sum(repeated) == 123
    movies = [set(pc.unique(table["group"]).to_pylist()) for table in (splits.train, splits.validation)]
    assert not movies[0] & movies[1]
