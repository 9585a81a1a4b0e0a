import pytest

from plaudit.bundle.names import distinct_names
from plaudit.errors import SettingsError


def test_models_are_told_apart_by_as_much_of_their_paths_as_it_takes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a/models/bow", "b/models/bow", "b/models/lstm"):
        (tmp_path / folder).mkdir(parents=True)
    named = distinct_names(["a/models/bow", f"{tmp_path}/b/models/bow/", "b/models/lstm", "ensemble", "bow"])
    assert named == ["a/models/bow", "b/models/bow", "lstm", "ensemble", "bow"]


def test_a_folder_named_by_a_dot_has_its_own_name(tmp_path, monkeypatch):
    (tmp_path / "models" / "bow").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "models" / "bow")
    assert distinct_names(["."]) == ["bow"]
    assert distinct_names(["hf://owner/film"]) == ["film"]


@pytest.mark.parametrize("again", ["a/bow", "./a/bow", "a/../a/bow"])
def test_the_same_folder_twice_is_refused(tmp_path, monkeypatch, again):
    (tmp_path / "a" / "bow").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="is given twice"):
        distinct_names(["a/bow", again])
