import datetime

import pytest

from plaudit.data.formats import spreadsheet
from plaudit.data.formats.open import column_names, find_format, open_batches
from plaudit.data.formats.read_options import ReadOptions
from plaudit.data.formats.rows import ReadLog
from plaudit.errors import DataError, MissingExtraError
from tests.data.formats.sheets import ods, xlsx

ROWS = [
    ["text", "stars", ""],
    ["Schön &amp; gut", 5, None],
    ["x\ny", 2.5, True],
    [None, None, None],
    ["end", 10.0, "z"],
]
CELLS = [["Schön & gut", "5", ""], ["x\ny", "2.5", "true"], ["", "", ""], ["end", "10", "z"]]


def write(tmp_path, content, name="r.xlsx"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def read(path, **options):
    options = ReadOptions(**options)
    batches = open_batches(path, column_names(path, options), options, batch_rows=2)
    return [list(row.values()) for batch in batches for row in batch.to_pylist()]


def test_a_sheet_is_read_as_text(tmp_path):
    path = write(tmp_path, xlsx({"reviews": ROWS, "empty": []}))
    assert column_names(path) == ["text", "stars", "column_3"]
    assert read(path) == CELLS
    assert find_format(path).describe() == "spreadsheet"
    log = ReadLog()
    assert len(list(open_batches(path, ["text"], log=log))) == 1
    assert log.bytes_read == path.stat().st_size


def test_empty_rows_before_the_header_are_none(tmp_path):
    assert read(write(tmp_path, xlsx({"a": [[None], *ROWS]}))) == CELLS


def test_a_sheet_without_header_has_numbered_columns(tmp_path):
    path = write(tmp_path, xlsx({"a": ROWS[1:]}))
    assert read(path, header=False) == CELLS
    assert column_names(path, ReadOptions(header=False)) == ["1", "2", "3"]


def test_open_document_is_read(tmp_path):
    path = write(tmp_path, ods([["text", "label"], ["fine", "pos"]]), "r.ods")
    assert read(path) == [["fine", "pos"]]


def test_one_of_several_sheets_must_be_chosen(tmp_path):
    path = write(tmp_path, xlsx({"old": [["text"], ["a"]], "new": [["text"], ["b"]]}))
    with pytest.raises(DataError, match=r"has the sheets 'old', 'new'; choose one \(--table"):
        read(path)
    assert read(path, table="new") == [["b"]]
    with pytest.raises(DataError, match="no sheet 'x'; sheets: 'old', 'new'"):
        read(path, table="x")


def test_what_is_no_spreadsheet_or_empty_says_so(tmp_path):
    with pytest.raises(DataError, match="not readable as a spreadsheet"):
        read(write(tmp_path, b"text,label\nfine,1\n"))
    with pytest.raises(DataError, match="the sheet is empty"):
        read(write(tmp_path, xlsx({"a": []})))


def test_dates_are_iso_dates():
    assert spreadsheet._as_string(datetime.date(2026, 11, 30)) == "2026-11-30"
    assert spreadsheet._as_string(datetime.datetime(2026, 11, 30, 8)) == "2026-11-30T08:00:00"


def test_without_calamine_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "python_calamine", None)
    with pytest.raises(MissingExtraError, match=r"python_calamine: pip install 'plaudit\[spreadsheet\]'"):
        read(write(tmp_path, xlsx({"a": ROWS})))
