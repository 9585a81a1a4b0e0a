"""Journals: what was begun and what was done survive a kill, and nothing else is taken for them."""

from dataclasses import asdict, dataclass

import pytest

from plaudit.errors import DataError, OutputError
from plaudit.storage import append_row, begin_journal, read_journal

HEAD = {"model": "größe\N{LINE SEPARATOR}2", "sizes": (1, 2)}


@dataclass(frozen=True)
class Row:
    name: str
    share: float


def read(path, head=HEAD):
    return read_journal(path, Row, head=head, of="test")


def test_rows_come_back_in_their_order(tmp_path):
    path = tmp_path / "new" / "rows.jsonl"
    assert read(path) == ([], None)
    begin_journal(path, HEAD)
    assert read(path) == ([], None)
    rows = [Row("Ärger", 0.1), Row("two", 0.2)]
    for row in rows:
        append_row(path, asdict(row))
    before = path.read_bytes()
    begin_journal(path, HEAD)
    assert path.read_bytes() == before
    assert read(path) == (rows, None)


def test_another_head_is_named_by_what_differs_first(tmp_path):
    path = tmp_path / "rows.jsonl"
    begin_journal(path, HEAD)
    assert read(path, HEAD | {"sizes": (1, 3)}) == ([], "sizes")
    assert read(path, HEAD | {"seed": 1}) == ([], "seed")
    assert read(path, {"model": HEAD["model"]}) == ([], "content")


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{}\n{"name": "one"}', "{}\n[1]"])
def test_what_is_no_journal_is_refused(tmp_path, content):
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=r"rows\.jsonl: not the rows of a test; give another --out"):
        read(path)


def test_a_place_that_cannot_be_written_says_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="give a folder with room as --out"):
        begin_journal(tmp_path / "file" / "rows.jsonl", HEAD)
