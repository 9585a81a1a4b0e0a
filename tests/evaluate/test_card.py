import json
import shutil

import pytest

from plaudit.bundle.folder import CARD, load_bundle, save_bundle
from plaudit.bundle.locate import model_folder
from plaudit.bundle.trained import RecipeExcerpt
from plaudit.errors import BundleError
from plaudit.evaluate.card import with_address, write_card


@pytest.fixture
def folder(toy_bow_folder, tmp_path):
    return shutil.copytree(toy_bow_folder, tmp_path / "toy")


def metadata(text):
    """The head of a card: each line a key and a JSON value, which YAML reads as well."""
    _, head, body = text.split("---\n", 2)
    return {key: json.loads(value) for key, value in (line.split(": ", 1) for line in head.splitlines())}, body


def test_a_card_tells_the_hub_what_was_measured_and_people_how_to_use_it(folder, make_result):
    head, body = metadata(write_card(folder, "toy", [make_result(model="toy")]).read_text(encoding="utf-8"))
    assert head["library_name"] == "plaudit"
    assert head["pipeline_tag"] == "text-classification"
    (index,) = head["model-index"]
    assert index["results"][0]["dataset"] == {"type": "imdb", "name": "imdb", "split": "test"}
    assert {"type": "accuracy", "value": 0.9} in index["results"][0]["metrics"]
    assert 'plaudit.load("toy")' in body
    assert "90.00 (60.00–98.00)" in body
    assert "90.0 % accuracy on 10 texts of imdb, test (95 % interval 60.0–98.0)" in body
    assert "always guessing “neg” gets 50.0 %" in body
    assert "Only 10 texts of imdb were tested" in body


def with_provenance(folder, **data):
    """The folder of a bundle whose recipe read these data, and whose first label is `data["label"]` if given."""
    bundle = load_bundle(folder)
    recipe = RecipeExcerpt(name="mine", seed=0, data=data, models={"toy": {"kind": "bow"}})
    bundle.model.labels = ("<img src=x>`|*a*", "fine")
    save_bundle(bundle.with_provenance(recipe=recipe), folder.parent / "mine")
    return folder.parent / "mine"


def test_a_card_of_an_own_file_claims_no_license_and_shows_no_path(folder, make_result):
    mine = with_provenance(folder, name="/home/me/secret/replies.csv")
    result = make_result(model="mine", data="replies.csv")
    head, body = metadata(write_card(mine, "mine", [result], address="runs/x/models/mine").read_text("utf-8"))
    assert "license" not in head and "datasets" not in head and head["tags"] == ["bow"]
    assert 'plaudit.load("runs/x/models/mine")' in body
    assert "trained on replies.csv" in body
    assert "/home/me" not in body and "secret" not in body
    for word in ("film", "movie", "review", "plot"):
        assert word not in body.casefold()


def test_labels_are_shown_as_text(folder):
    body = write_card(with_provenance(folder, name="a.csv"), "<b>mine</b>", []).read_text(encoding="utf-8")
    assert "&lt;img src=x&gt;\\`\\|\\*a\\* or fine" in body
    assert "<img" not in body and "# &lt;b&gt;mine" in body


def test_an_address_cannot_leave_its_string(folder):
    card = write_card(folder, "toy", [], address='C:\\models\\"x"').read_text(encoding="utf-8")
    assert 'plaudit.load("C:\\\\models\\\\\\"x\\"")' in card
    assert 'plaudit.load("hf://me/x").predict' in with_address(card, "hf://me/x")


def test_a_bundle_with_its_card_is_the_same_bundle(folder):
    before = load_bundle(folder)
    write_card(folder, "toy", [])
    after = load_bundle(folder)
    assert (after.digest, after.size_bytes) == (before.digest, before.size_bytes)
    assert "Not evaluated yet" in (folder / CARD).read_text()


def test_a_card_names_the_place_where_settings_stand(folder, tmp_path):
    assert "all settings are in `bundle.json`" in write_card(folder, "toy", []).read_text()
    ensemble = shutil.copytree(model_folder("ensemble"), tmp_path / "ensemble")
    card = write_card(ensemble, "ensemble", []).read_text()
    assert "its members' settings are in `members.json`" in card
    assert "all settings" not in card


def test_what_is_not_known_is_left_out(folder, make_result):
    head, _ = metadata(write_card(folder, "toy", [make_result(auc=None)]).read_text())
    assert "roc_auc" not in {metric["type"] for metric in head["model-index"][0]["results"][0]["metrics"]}


def test_a_name_cannot_break_the_metadata(folder, make_result):
    name = 'a": "b\n---\nc: d'
    head, _ = metadata(write_card(folder, name, [make_result()]).read_text())
    assert head["model-index"][0]["name"] == name
    assert "c" not in head


def test_only_a_bundle_gets_a_card(tmp_path):
    with pytest.raises(BundleError, match="not a model folder"):
        write_card(tmp_path, "toy", [])
