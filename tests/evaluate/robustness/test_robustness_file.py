import json

import pytest
from pydantic import ValidationError

from plaudit.errors import DataError, OutputError
from plaudit.evaluate.robustness.results import (
    Foreign,
    ModelRobustness,
    Proportion,
    Robustness,
    add_robustness,
    read_robustness,
)


def entry(model="bow", count=9, digest="d"):
    return ModelRobustness(
        model=model,
        kind="bow",
        model_digest="m",
        calibration=None,
        sources_left_out=False,
        commit="abc",
        pairs=(),
        foreign=(Foreign(data="own.csv", data_digest=digest, accuracy=Proportion.of(count, 10)),),
        behaviour=None,
        perturbed=None,
    )


def test_a_proportion_has_wilsons_interval():
    found = Proportion.of(9, 10)
    assert found.share == 0.9
    assert found.ci95 == pytest.approx((0.596, 0.982), abs=1e-3)


def test_models_are_sorted_and_one_of_the_same_name_is_replaced(tmp_path):
    path = tmp_path / "new" / "robustness.json"
    add_robustness(path, Robustness(models=(entry("lstm"),)))
    add_robustness(path, Robustness(models=(entry("bow"),)))
    merged = add_robustness(path, Robustness(models=(entry("lstm", count=5),)))
    assert read_robustness(path) == merged
    assert [(each.model, each.foreign[0].accuracy.count) for each in merged.models] == [("bow", 9), ("lstm", 5)]


def test_other_reviews_under_one_name_are_refused_and_the_file_stays(tmp_path):
    path = tmp_path / "robustness.json"
    before = add_robustness(path, Robustness(models=(entry("bow"),)))
    with pytest.raises(DataError, match=r"scored on different reviews, both called own\.csv; give another file"):
        add_robustness(path, Robustness(models=(entry("lstm", digest="other"),)))
    assert read_robustness(path) == before


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "not a valid robustness file"),
        ("[1, 2]", "not a valid robustness file: it has no format"),
        ('{"format": 1, "results": []}', "models: Field required"),
        ('{"format": 2, "models": []}', "reads 1"),
        ('{"format": 1, "models": [{"model": "bow"}]}', r"models\.0\.kind"),
        ("\xff\x00", "not a valid robustness file"),
        ("[" * 100_000, "not a valid robustness file"),
    ],
)
def test_foreign_damaged_or_newer_files_are_refused_in_one_line(tmp_path, content, complaint):
    path = tmp_path / "robustness.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=complaint) as refusal:
        add_robustness(path, Robustness(models=(entry(),)))
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)
    assert path.read_bytes() == content.encode("latin-1")


def test_a_share_that_contradicts_its_counts_is_damage(tmp_path):
    path = tmp_path / "robustness.json"
    add_robustness(path, Robustness(models=(entry(),)))
    path.write_text(path.read_text().replace('"count": 9', '"count": 8'))
    with pytest.raises(DataError, match="share is not count / n"):
        read_robustness(path)


def test_a_model_that_occurs_twice_is_refused():
    with pytest.raises(ValidationError, match="occurs twice"):
        Robustness(models=(entry(), entry()))


def test_a_missing_file_names_the_verb_that_writes_one(tmp_path):
    with pytest.raises(DataError, match="plaudit robustness"):
        read_robustness(tmp_path / "robustness.json")


def test_an_unwritable_place_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        add_robustness(tmp_path / "file" / "robustness.json", Robustness(models=()))


def test_the_file_is_plain_json_without_nan(tmp_path):
    path = tmp_path / "robustness.json"
    add_robustness(path, Robustness(models=(entry(),)))
    content = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert content["format"] == 1
    assert content["models"][0]["foreign"][0]["accuracy"]["share"] == 0.9
