import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from undertone.errors import BundleError
from undertone.models.base import ModelState
from undertone.models.bow import BowModel, BowSettings

CONSOLE = Console(quiet=True)
SMALL = BowSettings(min_count=1, slot_bits=16)
WORDS = ["dull", "lovely", "superb", "awful", "film", "story", "the", "was", "<br />", "!", "Ärger", "日本"]


def fit(texts, label_ids, labels=("negative", "positive"), settings=SMALL):
    return BowModel.fit(settings, texts, np.array(label_ids), labels, console=CONSOLE)


def scores_of(model, texts):
    return model._reference_scores(texts), model._kernel_scores(texts)


def test_it_learns_which_words_tell(toy_bow):
    probabilities = toy_bow.predict_proba(["a lovely superb film", "a dull awful film"])
    assert probabilities.dtype == np.float32
    assert probabilities[0, 1] > 0.7 > 0.3 > probabilities[1, 1]
    assert np.allclose(probabilities.sum(axis=1), 1)


def test_it_learns_more_than_two_classes():
    texts = ["a dull film", "a plain film", "a lovely film"] * 20
    model = fit(texts, [0, 1, 2] * 20, labels=("bad", "middling", "good"))
    probabilities = model.predict_proba(["dull", "plain", "lovely"])
    assert probabilities.argmax(axis=1).tolist() == [0, 1, 2]
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert model.predict_proba([]).shape == (0, 3)


@given(st.lists(st.one_of(st.text(), st.lists(st.sampled_from(WORDS)).map(" ".join)), max_size=8))
def test_kernel_and_reference_give_a_text_the_same_score(toy_bow, texts):
    reference, kernel = scores_of(toy_bow, texts)
    np.testing.assert_allclose(kernel, reference, atol=1e-5)


def test_kernel_and_reference_agree_on_more_texts_than_the_kernel_numbers(toy_bow):
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(WORDS, size=generator.integers(0, 30))) for _ in range(600)]
    reference, kernel = scores_of(toy_bow, texts)
    np.testing.assert_allclose(kernel, reference, atol=1e-5)


def test_kernel_and_reference_agree_on_several_classes():
    model = fit(["a dull film", "a plain film", "a lovely film"] * 5, [0, 1, 2] * 5, labels=("a", "b", "c"))
    reference, kernel = scores_of(model, ["dull film", "", "lovely, plain", "unheard of"])
    np.testing.assert_allclose(kernel, reference, atol=1e-5)


def test_a_long_text_takes_the_compiled_path_and_gets_the_same_answer(toy_bow):
    text = "a lovely film " * 20_000
    assert toy_bow.predict_proba([text])[0] == pytest.approx(toy_bow.predict_proba(["a lovely film a lovely film"])[0])


def test_half_a_surrogate_pair_is_no_error(toy_bow):
    reference, kernel = scores_of(toy_bow, ["lovely \ud83d film"])
    np.testing.assert_allclose(kernel, reference, atol=1e-5)


def test_a_repeated_ngram_counts_once():
    model = fit(["dull film", "lovely film"] * 10, [0, 1] * 10, settings=SMALL.model_copy(update={"max_order": 1}))
    for scores in scores_of(model, ["lovely", "lovely lovely lovely"]):
        assert scores[0] == scores[1] != 0


def test_an_empty_text_and_unheard_words_get_the_bias(toy_bow):
    for scores in scores_of(toy_bow, ["", " \n", "qwertz"]):
        assert not scores.any()


def test_fitting_again_gives_the_same_bytes():
    texts = ["a dull film", "a lovely film", "one more story", "an awful lovely thing"] * 8
    first, second = (fit(texts, [0, 1, 1, 0] * 8).state().tensors for _ in range(2))
    assert {name: array.tobytes() for name, array in first.items()} == {
        name: array.tobytes() for name, array in second.items()
    }


def test_no_frequent_ngram_leaves_the_priors():
    texts = [f"w{number}" for number in range(40)]
    model = fit(texts, [0] * 10 + [1] * 30, settings=BowSettings(min_count=5))
    assert len(model.keys) == 0
    for texts in (["anything at all", ""], ["x" * 200_000]):
        assert model.predict_proba(texts)[:, 1] == pytest.approx(0.75, abs=0.02)


def test_of_ngrams_that_share_a_slot_the_most_telling_stays():
    # 65,536 slots and more words than that: most slots are wanted twice.
    generator = np.random.default_rng(0)
    noise = [" ".join(f"n{generator.integers(10**9)}" for _ in range(1_000)) for _ in range(100)]
    texts = [f"{'lovely' if i % 2 else 'dull'} {words}" for i, words in enumerate(noise)]
    model = fit(texts, [i % 2 for i in range(100)], settings=BowSettings(min_count=1, max_order=1, slot_bits=16))
    slots = model.keys >> np.uint32(16)
    assert 40_000 < len(slots) == len(np.unique(slots))
    assert model.predict_proba(["lovely"])[0, 1] > 0.6 > 0.4 > model.predict_proba(["dull"])[0, 1]


def test_stop_words_of_a_language_are_spelt_out():
    settings = SMALL.model_copy(update={"cleaning": SMALL.cleaning.model_copy(update={"stop_words": "en"})})
    model = fit(["the dull", "the lovely"] * 5, [0, 1] * 5, settings=settings)
    assert "the" in model.settings.cleaning.stop_words


def test_the_state_rebuilds_the_model_exactly(toy_bow):
    rebuilt = BowModel.from_state(toy_bow.settings, toy_bow.labels, toy_bow.state())
    texts = ["a lovely film", "a dull story", ""]
    assert np.array_equal(rebuilt.predict_proba(texts), toy_bow.predict_proba(texts))


@pytest.mark.parametrize(
    "change",
    [
        {"keys": None},
        {"weights": None},
        {"bias": None},
        {"bias": np.zeros(2, np.float32)},
        {"bias": np.zeros((1, 1), np.float32)},
        {"bias": np.zeros(1, np.float64)},
        {"keys": np.zeros((), np.uint32)},
        {"keys": np.zeros(3, np.uint32)},
        {"weights": np.zeros((3, 1), np.float16)},
        {"weights": np.zeros((3, 2), np.float16)},
        {"more": np.zeros(1, np.float32)},
    ],
    ids=str,
)
def test_a_state_that_does_not_fit_is_refused(toy_bow, change):
    tensors = {**toy_bow.state().tensors, **change}
    state = ModelState({name: tensor for name, tensor in tensors.items() if tensor is not None})
    with pytest.raises(BundleError, match="a bow model of 2 labels holds tensors"):
        BowModel.from_state(toy_bow.settings, toy_bow.labels, state)
