import json

import pytest
from pydantic import ValidationError

from plaudit.errors import DataError, OutputError
from plaudit.evaluate.results import (
    ResultsFile,
    add_results,
    read_results,
    write_results,
)


def test_results_survive_the_file(tmp_path, make_result):
    results = ResultsFile(results=(make_result(), make_result(model="lstm", auc=None, seed=None)))
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results


def test_results_are_sorted_and_the_same_evaluation_is_replaced(tmp_path, make_result):
    path = tmp_path / "new" / "results.json"
    add_results(path, [make_result(model="lstm")])
    add_results(path, [make_result(), make_result(split="contrast")])
    results = add_results(path, [make_result(model="lstm", accuracy=0.8)])
    assert read_results(path) == results
    assert [result.key for result in results.results] == [
        ("imdb", "contrast", "bow"),
        ("imdb", "test", "bow"),
        ("imdb", "test", "lstm"),
    ]
    assert results.results[-1].accuracy == 0.8


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "not a valid results file: it is not JSON"),
        ("[1, 2]", "not a valid results file: it has no format"),
        ('{"format": 1, "results": []}', "of format 1, but this version of Plaudit reads 2"),
        ('{"format": 3, "results": []}', "of format 3, but"),
        ('{"format": 2, "results": [{"model": "bow"}]}', "results.0.kind: Field required"),
        ('{"format": "x", "results": []}', "of format 'x'"),
        ("\xff\x00", "not a valid results file: it is not JSON"),
    ],
)
def test_foreign_damaged_or_newer_files_are_refused_in_one_line(tmp_path, content, complaint, make_result):
    path = tmp_path / "results.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=complaint) as refusal:
        add_results(path, [make_result()])
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)
    assert path.read_bytes() == content.encode("latin-1")


def test_missing_file_names_the_verb_that_writes_one(tmp_path, make_result):
    with pytest.raises(DataError, match="plaudit evaluate"):
        read_results(tmp_path / "results.json")


def test_unwritable_place_is_an_output_error(tmp_path, make_result):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_results(tmp_path / "file" / "results.json", ResultsFile(results=()))


@pytest.mark.parametrize("confusion", [((4, 1),), ((4, 1), (0, 4)), ((4, 1, 0), (0, 5, 0))])
def test_confusion_that_contradicts_labels_or_n_is_refused(confusion, make_result):
    with pytest.raises(ValidationError, match="confusion"):
        make_result(confusion=confusion)


def test_file_is_plain_json_without_nan(tmp_path, make_result):
    write_results(tmp_path / "results.json", ResultsFile(results=(make_result(auc=None),)))
    entry = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)["results"][0]
    assert entry["auc"] is None
    assert entry["latency_ms"] == {"p50": 0.1, "p99": 0.3}


def test_results_on_different_reviews_of_one_name_contradict_each_other(tmp_path, make_result):
    path = tmp_path / "results.json"
    add_results(path, [make_result()])
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"lstm and bow were scored on different reviews, both called imdb, test"):
        add_results(path, [make_result(model="lstm", data_digest="e" * 64)])
    assert path.read_bytes() == before
    content = json.loads(before)
    content["results"].append({**content["results"][0], "model": "lstm", "data_digest": "e" * 64})
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"damaged results: lstm and bow were scored on different reviews"):
        read_results(path)
    add_results(tmp_path / "other.json", [make_result(), make_result(data="own", data_digest="e" * 64)])
