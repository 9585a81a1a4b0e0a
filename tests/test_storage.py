"""Files are written completely or not at all, and a journal survives a kill."""

import os
import stat
from dataclasses import asdict, dataclass

import pytest

from plaudit.errors import DataError, OutputError, SettingsError
from plaudit.storage import append_row, begin_journal, read_journal, replacing, write_text

HEAD = {"model": "größe\N{LINE SEPARATOR}2", "sizes": (1, 2)}


@dataclass(frozen=True)
class Row:
    name: str
    share: float


def read(path, head=HEAD):
    return read_journal(path, Row, head=head, of="test")


def test_file_appears_complete_with_ordinary_permissions(tmp_path):
    path = tmp_path / "new" / "folder" / "result.json"
    with replacing(path) as temporary:
        temporary.write_text("complete")
        assert not path.exists()
    assert path.read_text() == "complete"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_error_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "result.json"
    write_text(path, "größe")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == "größe"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="give a folder with room that can be written to"):
        write_text(tmp_path / "file" / "result.json", "never written")


def test_journal_rows_come_back_in_order(tmp_path):
    path = tmp_path / "new" / "rows.jsonl"
    assert read(path) == []
    begin_journal(path, HEAD)
    assert read(path) == []
    rows = [Row("Ärger", 0.1), Row("two", 0.2)]
    for row in rows:
        append_row(path, asdict(row))
    before = path.read_bytes()
    begin_journal(path, HEAD)
    assert path.read_bytes() == before
    assert read(path) == rows


@pytest.mark.parametrize(
    ("head", "named"),
    [
        (HEAD | {"sizes": (1, 3)}, r"sizes \(\[1, 2\], now \[1, 3\]\)"),
        (HEAD | {"seed": 1}, r"seed \(None, now 1\)"),
        (HEAD | {"recipe": {"model": {"size": 2}}}, r"recipe \(None, now {'model'"),
        ({"model": HEAD["model"]}, r"sizes \(\[1, 2\], now None\)"),
    ],
)
def test_the_first_difference_of_another_head_is_named(tmp_path, head, named):
    begin_journal(tmp_path / "rows.jsonl", HEAD)
    with pytest.raises(SettingsError, match=f"its test began with another {named}.*; undo that, or give another --out"):
        read(tmp_path / "rows.jsonl", head)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{}\n{"name": "one"}', "{}\n[1]"])
def test_a_file_that_is_no_journal_is_refused(tmp_path, content):
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=r"rows\.jsonl: not the rows of a test; give another --out"):
        read(path)


def test_a_name_that_is_not_utf8_is_one_line(tmp_path):
    with pytest.raises(OutputError, match=r"a.json: cannot be written: a name in it is not UTF-8 .*caf.udce9"):
        write_text(tmp_path / "a.json", '{"name": "caf\udce9.csv"}')
    assert not list(tmp_path.iterdir())
