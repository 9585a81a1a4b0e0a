import multiprocessing
import os
import signal
from pathlib import Path

import pyarrow as pa
import pytest

from plaudit.data.sources.cache import cache_dir, cached, stat_key
from plaudit.data.table import SCHEMA, Dataset
from plaudit.errors import OutputError


def dataset(word: str = "fine") -> Dataset:
    rows = [
        {
            "id": str(i),
            "text": f"{word} film {i} ☃",
            "label": i % 2,
            "split": "train",
            "group": None,
            "rating": None,
        }
        for i in range(50)
    ]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    return Dataset("toy", ("bad", "good"), table, "ab" * 32, {"empty text": 2})


def refuse() -> Dataset:
    raise AssertionError("built again")


def cache_file() -> Path:
    (path,) = cache_dir().iterdir()
    return path


def test_second_opening_returns_the_same_without_building():
    first = cached("toy", "key", dataset)
    again = cached("toy", "key", refuse)
    assert again == first
    assert again.table.equals(dataset().table)
    assert (again.labels, again.digest, again.dropped) == (("bad", "good"), "ab" * 32, {"empty text": 2})


def test_filtered_table_is_opened_without_building():
    def filtered() -> Dataset:
        whole = dataset()
        table = whole.table.filter(pa.array([i % 3 == 0 for i in range(50)]))
        return Dataset(whole.name, whole.labels, table, whole.digest)

    assert len(cached("toy", "key", filtered).table) == 17
    assert len(cached("toy", "key", refuse).table) == 17


def test_other_key_is_built_anew():
    cached("toy", "key", dataset)
    assert cached("toy", "other", lambda: dataset("poor")).table["text"][0].as_py() == "poor film 0 ☃"


@pytest.mark.parametrize("damage", ["truncate", "empty", "flip", "foreign"])
def test_damaged_cache_is_rebuilt(damage):
    cached("toy", "key", dataset)
    path = cache_file()
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[content.index(b"film 7")] ^= 1
    content = {
        "truncate": content[: len(content) // 2],
        "empty": bytearray(),
        "foreign": bytearray(b"x" * 99),
    }.get(damage, content)
    path.write_bytes(content)
    assert cached("toy", "key", dataset).table.equals(dataset().table)
    assert cached("toy", "key", refuse).table.equals(dataset().table)


def test_flipped_bytes_anywhere_never_come_back_as_data():
    cached("toy", "key", dataset)
    path = cache_file()
    content = path.read_bytes()
    for at in range(0, len(content), max(1, len(content) // 150)):
        damaged = bytearray(content)
        damaged[at] ^= 0x55
        path.write_bytes(damaged)
        again = cached("toy", "key", dataset)
        assert again.table.equals(dataset().table), at


def test_key_changes_with_size_and_time(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"one")
    os.utime(source, ns=(0, 1_000_000))
    key = stat_key([source])
    assert stat_key([source]) == key
    os.utime(source, ns=(0, 2_000_000))
    assert stat_key([source]) != key
    source.write_bytes(b"longer")
    os.utime(source, ns=(0, 1_000_000))
    assert stat_key([source]) != key


def test_unwritable_cache_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("PLAUDIT_CACHE", str(blocked))
    with pytest.raises(OutputError, match="set PLAUDIT_CACHE to a folder") as caught:
        cached("toy", "key", dataset)
    assert "\n" not in str(caught.value)
    assert blocked.read_text() == "in the way"


def test_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    resource = pytest.importorskip("resource", reason="limits file sizes the POSIX way")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputError, match=r"File too large.* set PLAUDIT_CACHE") as caught:
            cached("toy", "key", dataset)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert "\n" not in str(caught.value)
    assert not list(cache_dir().iterdir())


def test_failed_build_leaves_nothing():
    with pytest.raises(AssertionError):
        cached("toy", "key", refuse)
    assert not cache_dir().exists()


def _open_in_child(cache: str) -> int:
    os.environ["PLAUDIT_CACHE"] = cache
    return len(cached("toy", "key", dataset).table)


@pytest.mark.slow
def test_processes_at_once_all_get_the_dataset(tmp_path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert pool.map(_open_in_child, [str(tmp_path / "shared")] * 12) == [50] * 12
    assert len(list((tmp_path / "shared").iterdir())) == 1
