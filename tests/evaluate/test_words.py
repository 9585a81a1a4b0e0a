import pytest
from rich.console import Console

from plaudit.evaluate.words import MAX_TEXTS, deciding_words, is_exact, read_words, write_words
from plaudit.predictor import load
from tests.conftest import toy_reviews

TEXTS = [text for text, _ in toy_reviews(40)]


def words_of(model, texts, top=5):
    return deciding_words(model, texts, model_name="toy", data_name="own.csv", top=top, console=Console(quiet=True))


@pytest.fixture(scope="module")
def model(toy_bow_folder):
    return load(toy_bow_folder)


def test_words_speak_for_the_label_they_are_used_with(model, tmp_path):
    found = words_of(model, TEXTS)
    by_label = {label: [one for one in found.words if one.label == label] for label in model.labels}
    assert all(0 < len(words) <= 5 for words in by_label.values())
    for label, words in by_label.items():
        totals = [one.count * one.mean_contribution for one in words]
        assert totals == sorted(totals, reverse=True) and min(totals) > 0
        for one in words[:2]:
            assert model.predict([one.word]) == [label]
    write_words(tmp_path / "words.json", found)
    assert read_words(tmp_path / "words.json") == found


def test_of_many_texts_some_from_all_over_the_file_are_explained(model):
    found = words_of(model, ["lovely"] * MAX_TEXTS + ["dreadful"], top=1)
    assert MAX_TEXTS / 2 <= found.n <= MAX_TEXTS


def test_no_text_makes_no_words(model):
    assert words_of(model, []).words == ()


def test_contributions_of_other_kinds_are_not_exact(model):
    assert is_exact(model)
    assert not is_exact(load("lstm"))
