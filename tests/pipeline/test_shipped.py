"""Recipes that ship with the package are found by name, say what they are, and can be copied."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from plaudit.cli.main import app
from plaudit.errors import OutputError, SettingsError
from plaudit.pipeline.compress import plan
from plaudit.pipeline.recipe import NewModel, read_recipe
from plaudit.pipeline.shipped import SHIPPED, copy_recipe, describe, find_recipe, read_text, shipped_recipes
from plaudit.search.study import read_search

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_shipped_recipe_is_found_by_name_and_a_file_of_that_name_goes_first(folder):
    assert find_recipe("quick") == SHIPPED / "quick.toml"
    assert find_recipe(Path("quick")) == SHIPPED / "quick.toml"
    (folder / "quick").write_text('[data]\nname = "imdb"\n[models.words]\nkind = "bow"\n')
    assert list(read_recipe("quick").models) == ["words"]


def test_a_folder_of_a_recipes_name_is_not_in_its_way(folder):
    (folder / "quick").mkdir()
    assert find_recipe("quick") == SHIPPED / "quick.toml"


def test_a_recipe_that_is_nowhere_is_an_error_with_the_nearest_name():
    with pytest.raises(SettingsError, match="did you mean select"):
        find_recipe("old/selct.toml")
    with pytest.raises(SettingsError, match="both, bow, distributed"):
        find_recipe("zzz")


def test_messages_about_a_shipped_recipe_name_it_as_it_was_given():
    with pytest.raises(SettingsError, match=r"^bow: models\.bow\.min_cout"):
        read_recipe("bow", ["models.bow.min_cout=3"])


def test_a_shipped_recipe_can_be_tuned_and_be_a_student(folder):
    search = read_search(Path("tune"), [], model="bow", objective="accuracy", seed=None)
    assert set(search.space) == set(read_recipe("tune").tune["bow"])
    task = plan("plan", "distill", {"teachers": ("bow",)}, (), data=None, seed=None)
    assert isinstance(task.entry, NewModel)
    assert task.entry.model == read_recipe("plan").models["plan-lstm"].model


def test_a_student_named_like_a_model_and_a_recipe_is_the_model():
    entry = plan("bow", "distill", {"teachers": ("lstm",)}, (), data=None, seed=None).entry
    assert isinstance(entry, NewModel)
    assert entry.model != read_recipe("bow").models["bow"].model  # the shipped model has settings of its own


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_says_what_it_is_and_what_it_needs(name):
    said, recipe = describe(name), read_recipe(name)
    assert len(said.what) <= 80
    assert said.what.endswith((".", "?"))
    assert said.time
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {"train", "report"}
    needed |= {"demo"} if recipe.data.name == "imdb-train" else set()
    needed |= {"explain"} if recipe.report.errors else set()
    needed |= {"transformer"} if any(getattr(m, "model", m).kind == "transformer" for m in new(recipe)) else set()
    assert set(said.extras.split(", ")) == needed <= set(project["optional-dependencies"])
    commands = re.findall(r"^#   .*plaudit \w+ (\S+)", read_text(name), flags=re.MULTILINE)
    assert name in commands


def new(recipe):
    return [model for model in recipe.models.values() if isinstance(model, NewModel)]


def test_what_ships_needs_no_file_of_a_checkout():
    for name in shipped_recipes():
        recipe = read_recipe(name)
        outside = [name for model in recipe.models.values() for name in model.made_of if "/" in name]
        soft = [model for model in new(recipe) if model.distill is not None and model.distill.soft_labels]
        assert (outside, soft, recipe.data.leave_out) == ([], [], None), name


def test_recipes_are_listed_shown_and_copied(folder, capsys):
    app(["recipes"], standalone_mode=False)
    shown = capsys.readouterr().out
    assert all(re.search(rf"^ ?{name} ", shown, flags=re.MULTILINE) for name in shipped_recipes())
    app(["recipes", "--json"], standalone_mode=False)
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == shipped_recipes()
    assert {"what", "time", "extras"} < set(rows[0])
    app(["recipes", "quick"], standalone_mode=False)
    assert capsys.readouterr().out == read_text("quick")
    app(["recipes", "quick", "--out", "new/mine.toml"], standalone_mode=False)
    assert (folder / "new" / "mine.toml").read_text(encoding="utf-8") == read_text("quick")
    assert read_recipe("new/mine.toml").models == read_recipe("quick").models


def test_a_copy_replaces_nothing(folder):
    (folder / "mine.toml").write_text("mine")
    with pytest.raises(OutputError, match=r"mine\.toml: exists already"):
        copy_recipe("quick", folder / "mine.toml")
    assert (folder / "mine.toml").read_text() == "mine"


def test_ranks_are_started_with_the_recipes_path(folder, capsys):
    app(["launch", "distributed", "--out", "run", "--gpus-per-node", "2", "--dry-run"], standalone_mode=False)
    assert str(SHIPPED / "distributed.toml") in capsys.readouterr().out


def test_the_package_contains_every_recipe():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert "recipes/*.toml" in build["package-data"]["plaudit"]
    assert {path.suffix for path in SHIPPED.iterdir()} == {".toml"}


def test_launch_says_how_to_score_with_the_same_settings(capsys, monkeypatch):
    monkeypatch.setattr("plaudit.distributed.launch.start_ranks", lambda *arguments, **options: None)
    given = ["launch", "bow", "--out", "run", "--gpus-per-node", "2", "--set", "data.name=my reviews.csv"]
    app(given, standalone_mode=False)
    told = capsys.readouterr().err
    assert told == "score the models: plaudit run bow --out run --resume '--set=data.name=my reviews.csv'\n"
