import io
import os
import shutil

import pyarrow.compute as pc
import pytest
from rich.console import Console

from plaudit.data.load import DataSettings, load_dataset
from plaudit.data.sources import imdb
from plaudit.data.splits import prepare
from plaudit.errors import DataError
from tests.data.sources.test_archive import unpack

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


def test_a_folder_without_unlabelled_reviews_is_used_and_said_so(make_archive, archive_files, tmp_path, monkeypatch):
    folders = {
        name: {path: text for path, text in archive_files.items() if not path.startswith(left_out)}
        for name, left_out in (("whole", "none"), ("labelled", "train/unsup/"))
    }
    told = {}
    for name, files in folders.items():
        unpack(make_archive(files), tmp_path / name)
        monkeypatch.setenv("PLAUDIT_IMDB", str(tmp_path / name))
        console = Console(file=io.StringIO(), width=40)
        assert len(imdb.load(console).split("train")) == 24
        told[name] = console.file.getvalue()
    path = tmp_path / "labelled"
    missing = f"{path}: train/unsup is missing, so what learns from unlabelled reviews has none\n"
    assert told == {"whole": "", "labelled": missing}


def test_a_folder_without_labelled_reviews_is_refused(make_archive, tmp_path, monkeypatch):
    unpack(make_archive(), tmp_path / "part")
    shutil.rmtree(tmp_path / "part/aclImdb/test/neg")
    monkeypatch.setenv("PLAUDIT_IMDB", str(tmp_path / "part"))
    with pytest.raises(DataError, match=r"test/neg: missing from the unpacked archive; unpack it again"):
        imdb.load(None)


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
