import os
import stat

import pytest

from plaudit.errors import OutputError
from plaudit.storage import replacing


def test_file_appears_whole_with_ordinary_rights(tmp_path):
    path = tmp_path / "new" / "folder" / "result.json"
    with replacing(path, hint="") as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_error_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path, hint="") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="give another folder"),
        replacing(tmp_path / "file" / "result.json", hint="give another folder"),
    ):
        raise AssertionError("never entered")
