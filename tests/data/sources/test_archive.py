import gzip
import random
import tarfile
from pathlib import Path

import pytest

from plaudit.data.sources import archive
from plaudit.data.sources.archive import read_archive
from plaudit.data.table import SCHEMA
from plaudit.errors import DataError


def unpack(path: Path, to: Path) -> Path:
    with tarfile.open(path) as packed:
        packed.extractall(to, filter="data")
    return to


def error_of(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_archive(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_rows_carry_id_label_split_movie_and_rating(make_archive):
    dataset = read_archive(make_archive())
    assert dataset.table.schema == SCHEMA
    assert len(dataset.table) == 60
    by_id = {row["id"]: row for row in dataset.table.to_pylist()}
    assert by_id["train/pos/3_9"] == {
        "id": "train/pos/3_9",
        "text": "A splendid film, number 3 of train.<br /><br />It is called Café 1.",
        "label": 1,
        "split": "train",
        "group": "tt10001",
        "rating": 9,
    }
    assert by_id["test/neg/0_2"]["label"] == 0
    unsup = by_id["train/unsup/11_0"]
    assert (unsup["label"], unsup["split"], unsup["rating"], unsup["group"]) == (
        None,
        "unsup",
        None,
        "tt40005",
    )


def test_order_and_digest_do_not_depend_on_order_or_wrapping(make_archive, archive_files, tmp_path):
    first = read_archive(make_archive())
    folder = unpack(tmp_path / "aclImdb.tar.gz", tmp_path / "unpacked")
    names = list(archive_files)
    random.Random(3).shuffle(names)
    shuffled = read_archive(make_archive({name: archive_files[name] for name in names}))
    for other in (shuffled, read_archive(folder), read_archive(folder / "aclImdb")):
        assert other.table.equals(first.table)
        assert other.digest == first.digest


def test_digest_changes_with_a_text(make_archive, archive_files):
    first = read_archive(make_archive())
    archive_files["test/pos/3_9.txt"] += b"!"
    assert read_archive(make_archive(archive_files)).digest != first.digest


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (member("aclImdb/train/pos/99_9.txt", tarfile.SYMTYPE, link="/etc/passwd"), "link or a device"),
        (member("aclImdb/train/pos/99_9.txt", tarfile.LNKTYPE, link="aclImdb/README"), "link or a device"),
        (member("aclImdb/null", tarfile.CHRTYPE), "link or a device"),
        (member("aclImdb/pipe", tarfile.FIFOTYPE), "link or a device"),
        (member("/aclImdb/train/pos/99_9.txt"), "outside the archive"),
        (member("aclImdb/../../train/pos/99_9.txt"), "outside the archive"),
        (member("aclImdb/train/pos/99_9.txt", size=(1 << 20) + 1), "1,048,577 bytes, more than"),
        (member("aclImdb/other.feat", size=(64 << 20) + 1), "more than the 67,108,864"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_unsafe_member_is_refused_by_name(make_archive, bad, why):
    message = error_of(make_archive(None, bad))
    assert why in message
    assert repr(bad.name) in message


def test_archive_that_unpacks_to_too_much_is_refused(make_archive, monkeypatch):
    monkeypatch.setattr(archive, "MAX_ARCHIVE_BYTES", 10 << 20)
    bombs = [member(f"aclImdb/{i}.feat", size=4 << 20) for i in range(4)]
    assert "unpacks to more than 10 MiB" in error_of(make_archive(None, *bombs))


@pytest.mark.parametrize("kept", [0, 5, 0.5, 0.99])
def test_truncated_archive_is_refused(make_archive, kept):
    path = make_archive()
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(len(content) * kept)])
    assert "not a whole .tar.gz archive" in error_of(path)


def test_damaged_archive_is_refused(make_archive):
    path = make_archive()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    error_of(path)


@pytest.mark.parametrize("content", [b"not an archive", gzip.compress(b"hello" * 500)], ids=["text", "gzip"])
def test_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "reviews.tar.gz"
    path.write_bytes(content)
    assert str(path) in error_of(path)


def test_missing_file_is_named(tmp_path):
    assert "no such file" in error_of(tmp_path / "absent.tar.gz")


def test_missing_folder_and_missing_review_are_named(make_archive, archive_files):
    without_tests = {name: text for name, text in archive_files.items() if not name.startswith("test/")}
    assert "aclImdb/test/neg/ID_RATING.txt" in error_of(make_archive(without_tests))
    del archive_files["train/pos/4_9.txt"]
    assert "review 4 of train/pos is missing" in error_of(make_archive(archive_files))


def test_unlabelled_reviews_may_be_missing(make_archive, archive_files, tmp_path):
    labelled = {name: text for name, text in archive_files.items() if not name.startswith("train/unsup/")}
    path = make_archive(labelled)
    dataset = read_archive(path)
    assert (len(dataset.table), len(dataset.split("unsup")), len(dataset.split("train"))) == (48, 0, 24)
    folder = unpack(path, tmp_path / "unpacked")
    assert read_archive(folder) == dataset
    (folder / "aclImdb/train/unsup").mkdir()
    assert read_archive(folder) == dataset
    assert all(path.exists() for path in archive.review_folders(folder))


def test_review_that_is_not_utf8_is_named(make_archive, archive_files):
    archive_files["train/pos/4_9.txt"] = b"caf\xe9"
    assert "train/pos/4_9.txt is not UTF-8" in error_of(make_archive(archive_files))


def test_missing_urls_leave_groups_null(make_archive, archive_files):
    del archive_files["train/urls_unsup.txt"]
    dataset = read_archive(make_archive(archive_files))
    assert dataset.split("unsup")["group"].null_count == 12
    assert dataset.split("train")["group"].null_count == 0


def test_folder_with_a_link_is_refused(make_archive, tmp_path):
    folder = unpack(make_archive(), tmp_path / "unpacked") / "aclImdb"
    (folder / "train/pos/12_9.txt").symlink_to(folder / "train/pos/0_9.txt")
    assert "'train/pos/12_9.txt' is a link" in error_of(folder)


def test_folder_that_is_not_the_dataset_is_refused(tmp_path):
    assert "no folder aclImdb" in error_of(tmp_path)
