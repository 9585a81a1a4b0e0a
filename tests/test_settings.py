from pathlib import Path
from typing import Literal, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, model_validator

from plaudit.errors import SettingsError
from plaudit.settings import Settings, override, parse, read_toml, unknown_name


class Inner(Settings):
    hidden_size: int = Field(8, ge=1)
    dropout: float = 0.0


class Outer(Settings):
    seed: int
    inner: Inner = Inner()


class Either(Settings):
    compile: bool | Literal["graphs"] = False
    inner: Inner | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.compile and self.inner is not None:
            raise ValueError("give one of them")
        return self


def test_an_unknown_setting_is_refused_with_the_nearest_name():
    with pytest.raises(SettingsError, match=r"^r\.toml: inner\.hiden_size is unknown; did you mean hidden_size\?$"):
        parse(Outer, {"seed": 0, "inner": {"hiden_size": 3}}, source="r.toml")


def test_an_unknown_setting_that_resembles_none_is_refused_with_all_names():
    with pytest.raises(SettingsError, match=r"model\.zzz is unknown; known: dropout, hidden_size"):
        parse(Inner, {"zzz": 3}, source="r.toml", prefix="model")


def test_a_wrong_value_is_named_with_its_setting():
    with pytest.raises(SettingsError, match=r"r\.toml: inner\.hidden_size = 0: input should be greater than or equal"):
        parse(Outer, {"seed": 0, "inner": {"hidden_size": 0}}, source="r.toml")


def test_a_missing_setting_is_named():
    with pytest.raises(SettingsError, match=r"^r\.toml: seed is missing; give it a value$"):
        parse(Outer, {}, source="r.toml")


def test_a_setting_of_several_types_is_named_as_a_recipe_has_it():
    with pytest.raises(SettingsError, match=r"^r\.toml: compile = 3: "):
        parse(Either, {"compile": 3}, source="r.toml")
    with pytest.raises(SettingsError, match=r"^r\.toml: inner\.hiden_size is unknown; did you mean hidden_size\?$"):
        parse(Either, {"inner": {"hiden_size": 3}}, source="r.toml")


def test_a_rule_on_several_settings_is_reported_without_their_values():
    with pytest.raises(SettingsError, match=r"^r\.toml: model: give one of them$"):
        parse(Either, {"compile": True, "inner": {}}, source="r.toml", prefix="model")


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Inner().dropout = 0.5  # type: ignore[misc]


def test_override_reads_toml_values_and_bare_words_and_leaves_its_input_alone():
    values = {"inner": {"dropout": 0.1}}
    assignments = ["seed=3", "inner.dropout=0.2", "data.name=my file.csv", 'a.b.c=[1, "x"]', "text="]
    assert override(values, assignments) == {
        "seed": 3,
        "inner": {"dropout": 0.2},
        "data": {"name": "my file.csv"},
        "a": {"b": {"c": [1, "x"]}},
        "text": "",
    }
    assert values == {"inner": {"dropout": 0.1}}


@pytest.mark.parametrize("assignment", ["seed", "=3", "a..b=3", ".a=3", ""])
def test_an_override_that_is_no_assignment_is_refused(assignment):
    with pytest.raises(SettingsError, match="write it as name=value"):
        override({}, [assignment])


def test_an_override_below_a_plain_value_is_refused():
    with pytest.raises(SettingsError, match=r"--set seed\.x=1: seed is a value, not a table of settings"):
        override({"seed": 3}, ["seed.x=1"])


@given(st.text())
def test_an_override_takes_any_text_as_some_value(text):
    assert "name" in override({}, [f"name={text}"])


def test_a_missing_recipe_is_refused():
    with pytest.raises(SettingsError, match=r"nowhere\.toml: no such recipe"):
        read_toml(Path("nowhere.toml"))


@pytest.mark.parametrize("content", [b"a = \n", b"\xff\xfe", b"[a]\n[a]\n"])
def test_a_malformed_recipe_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="not readable as TOML") as caught:
        read_toml(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_for_a_recipe_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="not readable as TOML"):
        read_toml(tmp_path)


def test_unknown_name_suggests_a_near_one_and_lists_all_otherwise():
    assert unknown_name("lstn", ["lstm", "bow"]) == "is unknown; did you mean lstm?"
    assert unknown_name("zzz", ["lstm", "bow"]) == "is unknown; known: bow, lstm"
