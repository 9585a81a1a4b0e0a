import functools
import http.server
import sys
import threading

import pyarrow as pa
import pyarrow.parquet
import pytest

from plaudit.data.formats.find import find_files
from plaudit.data.formats.location import Location
from plaudit.data.formats.open import open_batches
from plaudit.errors import DataError, MissingExtraError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("b.csv", "a.csv.gz", "deep/c.jsonl", "deep/er/d.parquet", "notes.txt", "_old/e.csv", ".f.csv"):
        path = tmp_path / "reviews" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text\nfine\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "reviews"


def paths_of(*addresses):
    return [str(file.location) for file in find_files(addresses)]


def test_a_folder_is_all_review_files_below_it_by_path(folder):
    expected = [f"reviews/{name}" for name in ("a.csv.gz", "b.csv", "deep/c.jsonl", "deep/er/d.parquet")]
    assert paths_of("reviews") == paths_of("reviews/") == expected
    assert paths_of(str(folder)) == [str(folder.parent / name) for name in expected]


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("reviews/*.csv*", [".f.csv", "a.csv.gz", "b.csv"]),
        ("reviews/**/*.jsonl", ["deep/c.jsonl"]),
        ("./reviews/[ab].csv", ["b.csv"]),
        ("reviews/[!a].csv", ["b.csv"]),
        ("reviews/?.csv", ["b.csv"]),
        ("reviews/*/*.jsonl", ["deep/c.jsonl"]),
        ("re*s/b.csv", ["b.csv"]),
    ],
)
def test_a_glob_is_the_files_that_match(folder, glob, names):
    assert paths_of(glob) == [f"reviews/{name}" for name in names]


def test_files_stay_in_the_order_in_which_they_are_named(folder):
    assert paths_of("reviews/b.csv", "reviews/a.csv.gz") == ["reviews/b.csv", "reviews/a.csv.gz"]


def test_a_file_whose_name_looks_like_a_glob_is_itself(folder):
    (folder / "[ab].csv").write_text("text\nfine\n")
    assert paths_of("reviews/[ab].csv") == ["reviews/[ab].csv"]


def test_size_and_time_show_whether_a_file_has_changed(folder):
    (file,) = find_files(["reviews/b.csv"])
    status = (folder / "b.csv").stat()
    assert (file.size_bytes, file.modified_ns) == (status.st_size, status.st_mtime_ns)


@pytest.mark.parametrize(
    ("addresses", "message"),
    [
        (["reviews/absent.csv"], "reviews/absent.csv: no such file"),
        (["reviews/*.tsv"], r"reviews/\*\.tsv: matches no file"),
        (["reviews/_empty"], r"reviews/_empty: a folder without any review file; those end in \.csv"),
        (["reviews/b.csv", "reviews/*.csv"], "reviews/b.csv: is named twice"),
        (["reviews/b.csv", "./reviews/b.csv"], "./reviews/b.csv: is named twice"),
        (["nope://host/b.csv"], r"nope://host/b\.csv: cannot be reached \(Protocol not known: nope\)"),
        (["http://127.0.0.1:9/b.csv"], r"http://127\.0\.0\.1:9/b\.csv: "),
        (["file:///absent/b.csv"], "file:///absent/b.csv: no such file"),
    ],
)
def test_an_address_of_no_file_is_an_error(folder, addresses, message):
    (folder / "_empty").mkdir()
    with pytest.raises(DataError, match=message):
        find_files(addresses)


def test_a_file_url_is_a_local_file(folder):
    url = f"file://{folder}/b.csv"
    (file,) = find_files([url])
    assert (str(file.location), file.location.is_local) == (url, True)
    assert paths_of(f"file://{folder}/*.csv.gz") == [f"file://{folder}/a.csv.gz"]


def test_a_url_without_its_driver_names_the_extra(monkeypatch):
    class Nothing:
        def find_spec(self, name, *_):
            if name == "fsspec":
                raise ModuleNotFoundError(name)

    monkeypatch.delitem(sys.modules, "fsspec", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Nothing(), *sys.meta_path])
    with pytest.raises(MissingExtraError, match=r"memory://reviews: .* pip install 'plaudit\[remote\]'"):
        Location.of("memory://reviews")


def test_a_folder_of_another_file_system_is_listed_and_read():
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/listed/b.csv", b"text\nsecond\n")
    memory.pipe("/listed/a.csv", b"text\nfirst\n")
    memory.pipe("/listed/notes.txt", b"no review")
    files = find_files(["memory:///listed"])
    assert [str(file.location) for file in files] == ["memory:///listed/a.csv", "memory:///listed/b.csv"]
    assert [next(open_batches(Location.of(str(file.location)), ["text"]))["text"].to_pylist() for file in files] == [
        ["first"],
        ["second"],
    ]
    assert len(find_files(["memory:///listed/*.csv"])) == 2


@pytest.fixture
def web(tmp_path):
    """The address of a folder that a server on this machine shows."""
    pytest.importorskip("aiohttp")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_web_address_is_read_whatever_its_query(web, tmp_path):
    (tmp_path / "r.csv").write_text("text\nfine\n")
    pa.parquet.write_table(pa.table({"text": ["dull"]}), tmp_path / "r.parquet")
    for address, expected in ((f"{web}/r.csv?version=2", "fine"), (f"{web}/r.parquet", "dull")):
        (file,) = find_files([address])
        assert str(file.location) == address
        assert next(open_batches(file.location, ["text"]))["text"].to_pylist() == [expected]
    with pytest.raises(DataError, match=rf"{web}/absent\.csv: no such file"):
        find_files([f"{web}/absent.csv"])
