import io
import json
import sys

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from plaudit.bundle.folder import load_bundle
from plaudit.cli.main import main
from plaudit.data.table import SCHEMA
from plaudit.errors import DataError, MissingExtraError, OutputError
from plaudit.evaluate.errors.label_noise import (
    label_noise,
    misleading_words,
    most_confident_mistakes,
    nearest_training_reviews,
)
from plaudit.evaluate.errors.mistakes import Errors, find_errors, read_errors, write_errors
from plaudit.evaluate.errors.view import print_errors
from plaudit.predictor import Predictor
from tests.conftest import toy_csv, toy_reviews

pytest.importorskip("cleanlab")

QUIET = Console(quiet=True)


def noisy(num_reviews=400, num_flipped=20):
    """Return given labels, probabilities that know the true ones, and which labels were flipped."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, num_reviews)
    sure = generator.uniform(0.7, 0.99, num_reviews)
    probabilities = np.where(np.arange(2) == truth[:, None], sure[:, None], 1 - sure[:, None]).astype(np.float32)
    flipped = generator.choice(num_reviews, num_flipped, replace=False)
    given = truth.copy()
    given[flipped] = 1 - given[flipped]
    return given, probabilities, flipped


def test_flipped_labels_are_found_the_most_doubtful_first():
    given, probabilities, flipped = noisy()
    indices, scores = label_noise(given, probabilities)
    assert set(indices) <= set(flipped)
    assert len(indices) >= 0.9 * len(flipped)
    np.testing.assert_allclose(scores, probabilities[indices, given[indices]], atol=1e-6)
    assert (np.diff(scores) >= 0).all()


@pytest.mark.parametrize("given", [[1, 1, 1], [1], []])
def test_where_there_is_one_label_none_is_in_doubt(given):
    indices, scores = label_noise(given, np.full((len(given), 2), 0.5, np.float32))
    assert (len(indices), len(scores)) == (0, 0)


def test_right_labels_are_not_in_doubt():
    given, probabilities, _ = noisy(num_flipped=0)
    assert len(label_noise(given, probabilities)[0]) == 0


def test_labels_of_other_reviews_are_refused():
    with pytest.raises(DataError, match="2 labels for the probabilities of 3 reviews"):
        label_noise([0, 1], np.full((3, 2), 0.5, np.float32))


def test_without_cleanlab_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(MissingExtraError, match=r"plaudit\[explain\]"):
        label_noise([0, 1], np.full((2, 2), 0.5, np.float32))


def test_the_most_confident_mistakes_come_first():
    probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], np.float32)
    assert most_confident_mistakes([1, 0, 0, 0], probabilities).tolist() == [1, 3, 0]


def test_words_that_push_wrong_verdicts_are_counted(toy_bow):
    texts = [
        "the lovely, superb, gripping, dull film",
        "Lovely story about a dog",
        "lovely superb town",
        "the dull dog",
    ]
    found = misleading_words(toy_bow, texts, [0, 0, 1, 1], top=10, console=QUIET)
    assert (found[0].word, found[0].towards, found[0].count) == ("lovely", "positive", 2)
    assert found[0].mean_contribution > 0.1
    (dull,) = [word for word in found if word.word == "dull"]
    assert (dull.towards, dull.count) == ("negative", 1)
    assert all(word.mean_contribution > 0 for word in found)
    assert ("town", "positive") not in {(word.word, word.towards) for word in found}, (
        "its review is classified correctly"
    )
    assert len(misleading_words(toy_bow, texts, [0, 0, 1, 1], top=1, console=QUIET)) == 1


def test_a_model_without_mistakes_has_no_misleading_words(toy_bow):
    assert misleading_words(toy_bow, ["a lovely film"], [1], top=5, console=QUIET) == []


def test_the_nearest_training_review_is_the_one_with_the_same_words():
    train = ["a dull film", "a lovely story about a dog", "nothing like it"]
    places, similarities = nearest_training_reviews(["LOVELY story, a dog about", "zzz"], train, 2)
    assert places.shape == similarities.shape == (2, 2)
    assert places[0, 0] == 1
    assert similarities[0, 0] == pytest.approx(1, abs=1e-5)
    assert similarities[0, 0] > similarities[0, 1]
    np.testing.assert_allclose(similarities[1], 0, atol=1e-6)


def test_no_more_neighbours_than_training_reviews_and_none_of_no_texts():
    assert nearest_training_reviews(["a dull film"], ["dull film"], 3)[0].tolist() == [[0]]
    assert nearest_training_reviews([], ["dull film"], 3)[0].shape == (0, 1)


def test_training_reviews_without_words_are_refused():
    with pytest.raises(DataError, match="none of the 2 training reviews has a word"):
        nearest_training_reviews(["film"], ["!", ""], 1)


def table(reviews, split):
    rows = [
        {"id": f"{split}/{i}", "text": text, "label": label, "split": split, "group": None, "rating": None}
        for i, (text, label) in enumerate(reviews)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


@pytest.fixture
def found(toy_bow_folder):
    """The errors of the toy model on reviews of which the first is labelled wrongly; labels are named in reverse."""
    number = {"positive": 0, "negative": 1}
    judged = [("a superb, lovely film, number 999", 1)] + [(text, number[label]) for text, label in toy_reviews(20)]
    train = [(text, number[label]) for text, label in toy_reviews(60)]
    return find_errors(
        Predictor(load_bundle(toy_bow_folder)),
        table(judged, "validation"),
        table(train, "train"),
        label_names=("positive", "negative"),
        model_name="toy",
        data_name="own.csv",
        split="validation",
        top=5,
        console=QUIET,
    )


def test_a_wrong_label_is_found_with_its_words_and_similar_reviews(found):
    assert (found.n, found.num_wrong, found.labels) == (21, 1, ("negative", "positive"))
    (mistake,) = found.mistakes
    assert (mistake.id, mistake.label, mistake.predicted) == ("validation/0", "negative", "positive")
    assert len(mistake.nearest) == 3
    assert all(near.id.startswith("train/") for near in mistake.nearest)
    similarities = [near.similarity for near in mistake.nearest]
    assert similarities == sorted(similarities, reverse=True)
    assert {near.label for near in mistake.nearest} == {"positive"}, "reviews with such words are positive"
    assert [doubtful.id for doubtful in found.noise] == ["validation/0"]
    assert found.noise[0].probability == pytest.approx(1 - mistake.probability, abs=1e-5)
    assert {"superb", "lovely"} & {word.word for word in found.words}


def test_errors_survive_the_file_which_holds_no_texts(found, tmp_path):
    path = tmp_path / "new" / "errors.json"
    write_errors(path, found)
    assert read_errors(path) == found
    assert "number 999" not in path.read_text()
    assert json.loads(path.read_text())["format"] == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "it is not JSON"),
        ("\xff\x00", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[1]", "it has no format"),
        ('{"format": 2}', "errors of format 2, but this version of Plaudit reads 1"),
        ('{"format": 1, "model": "bow"}', "damaged errors: kind: Field required"),
    ],
    ids=["empty", "binary", "deep", "list", "newer", "damaged"],
)
def test_damaged_foreign_or_newer_files_are_refused_in_one_line(tmp_path, content, complaint):
    path = tmp_path / "errors.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=complaint) as refusal:
        read_errors(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)


def test_missing_files_and_unwritable_places_are_named(found, tmp_path):
    with pytest.raises(DataError, match="no such errors file; `plaudit errors` writes one"):
        read_errors(tmp_path / "errors.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_errors(tmp_path / "file" / "errors.json", found)


def test_the_terminal_shows_three_tables_within_80_columns(found):
    output = io.StringIO()
    print_errors(found, Console(file=output, width=80))
    text = output.getvalue()
    assert text.startswith("toy on own.csv, validation: 1 of 21 misclassified\n")
    for title in ("labels that are probably wrong: 1", "misleading words", "most confident mistakes"):
        assert title in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.fixture
def command(monkeypatch, capsys, tmp_path, toy_bow_folder):
    """Return a function that runs `plaudit errors` on the toy model in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path / "cache"))
    toy_csv(tmp_path / "reviews.csv", 200)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["plaudit", "errors", str(toy_bow_folder), *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return call


def test_errors_judges_all_rows_of_an_own_file_or_a_split_of_it(command, tmp_path):
    status, out, _ = command("--data", "reviews.csv", "--json", "--out", "errors.json")
    assert status == 0
    assert Errors.model_validate_json(out) == read_errors(tmp_path / "errors.json")
    assert (json.loads(out)["split"], json.loads(out)["n"]) == ("all", 200)
    status, out, err = command("--data", "reviews.csv", "--split", "validation", "--top", "3")
    assert status == 0
    assert "toy on reviews.csv, validation: 0 of " in out
    assert "was trained on these reviews" in err


def test_an_unknown_split_is_one_line(command):
    message = "error: --split tset: give train, validation or test\n"
    assert command("--data", "reviews.csv", "--split", "tset")[::2] == (2, message)
