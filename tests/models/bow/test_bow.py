import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from plaudit.errors import BundleError
from plaudit.models.base import ModelState
from plaudit.models.bow.fit import fit_bow
from plaudit.models.bow.model import BowModel, pruned, quantized
from plaudit.models.bow.settings import BowSettings
from plaudit.text import reference
from plaudit.threads import VARIABLE

CONSOLE = Console(quiet=True)
SMALL = BowSettings(min_count=1, slot_bits=16)
WORDS = ["dull", "lovely", "superb", "awful", "film", "story", "the", "was", "<br />", "!", "Ärger", "日本"]


def fit(texts, label_ids, labels=("negative", "positive"), settings=SMALL):
    return fit_bow(settings, texts, np.array(label_ids), labels, console=CONSOLE)


def keys_in(text):
    return [value >> 32 for value in reference.ngram_hashes(text, SMALL.cleaning, SMALL.max_order)]


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


def test_two_threads_give_the_scores_of_one(toy_bow, monkeypatch):
    texts = [f"a {word} film, number {number}" for number in range(1_000) for word in WORDS]
    scores = []
    for threads in ("1", "2"):
        monkeypatch.setenv(VARIABLE, threads)
        scores.append(toy_bow._kernel_scores(texts))
    assert len(scores[0]) == len(texts)
    assert np.array_equal(*scores)


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


def with_weights(weights, keys=None, **settings):
    weights = np.array(weights, np.float16)
    keys = np.arange(len(weights), dtype=np.uint32) << np.uint32(16) if keys is None else np.array(keys, np.uint32)
    labels = ("negative", "positive") if weights.shape[1] == 1 else tuple("abcdefgh"[: weights.shape[1]])
    bias = np.zeros(len(labels) if len(labels) > 2 else 1, np.float32)
    return BowModel(SMALL.model_copy(update=settings), labels, keys=keys, weights=weights, bias=bias)


def test_quantized_weights_are_8_bits_and_close():
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(2_000, 3)) * [0.1, 1, 10]
    model = with_weights(weights)
    smaller = quantized(model)
    assert smaller.settings.storage == "int8"
    assert (smaller.weights.dtype, smaller.weights.shape) == (np.int8, weights.shape)
    error = np.abs(smaller.weights * smaller.scale - model.weights)
    assert (np.sqrt(np.square(error).mean(axis=0)) < 0.01 * np.array([0.1, 1, 10])).all()


def test_quantizing_clips_an_outlier_that_would_cost_the_others_their_precision():
    weights = np.append(np.random.default_rng(0).normal(size=100_000), 12)[:, None]
    model = with_weights(weights, keys=np.arange(len(weights)))
    smaller = quantized(model)
    clipped = np.square(smaller.weights * smaller.scale - model.weights).mean()
    unclipped = np.square(np.rint(model.weights / (12 / 127)) * (12 / 127) - model.weights).mean()
    assert smaller.scale[0] < 0.9 * 12 / 127
    assert clipped < unclipped


@pytest.mark.parametrize("weights", [np.zeros((0, 1)), np.zeros((5, 1)), np.zeros((5, 3))], ids=str)
def test_quantizing_nothing_gives_nothing(weights):
    smaller = quantized(with_weights(weights))
    assert not smaller.weights.any()
    assert np.isfinite(smaller.scale).all()


def test_a_quantized_model_scores_and_is_stored_as_int8(toy_bow):
    smaller = quantized(toy_bow)
    texts = ["a lovely superb film", "a dull awful film", "", "Ärger"]
    reference, kernel = scores_of(smaller, texts)
    assert np.array_equal(kernel, reference)  # sums of integers
    np.testing.assert_allclose(smaller.logits(texts), toy_bow.logits(texts), atol=0.05)
    rebuilt = BowModel.from_state(smaller.settings, smaller.labels, smaller.state())
    assert np.array_equal(rebuilt.logits(texts), smaller.logits(texts))
    assert sorted(smaller.state().tensors) == ["bias", "keys", "scale", "weights"]


@pytest.mark.parametrize("labels", [("negative", "positive"), ("a", "b", "c")], ids=len)
def test_fitting_with_int8_quantizes_what_is_fitted(labels):
    texts, label_ids = ["a dull film", "a lovely film", "a plain film"] * 20, [0, 1, len(labels) - 1] * 20
    model = fit(texts, label_ids, labels, SMALL)
    smaller = fit(texts, label_ids, labels, SMALL.model_copy(update={"storage": "int8"}))
    assert smaller.weights.dtype == np.int8
    np.testing.assert_allclose(smaller.weights * smaller.scale, model.weights, atol=0.01)


def test_a_state_of_another_precision_is_refused(toy_bow):
    smaller = quantized(toy_bow)
    for settings, state in ((toy_bow.settings, smaller.state()), (smaller.settings, toy_bow.state())):
        with pytest.raises(BundleError, match="a bow model of 2 labels holds tensors"):
            BowModel.from_state(settings, toy_bow.labels, state)


def test_a_long_text_says_no_more_for_its_length_alone():
    texts, label_ids = ["dull w1 w2 w3", "lovely w1 w2 w3"] * 10, [0, 1] * 10
    settings = SMALL.model_copy(update={"max_order": 1})
    model = fit(texts, label_ids, settings=settings)
    for short, long in (scores[:, 0] for scores in scores_of(model, ["lovely", "lovely w1 w2 w3"])):
        assert short == pytest.approx(2 * long, rel=0.02)  # 1 known n-gram, and 4 of which three say nothing
    plain = fit(texts, label_ids, settings=settings.model_copy(update={"norm": "none"}))
    for short, long in (scores[:, 0] for scores in scores_of(plain, ["lovely", "lovely w1 w2 w3"])):
        assert short == pytest.approx(long, rel=0.02)


def test_without_normalization_a_score_is_the_sum_of_weights(toy_bow):
    settings = toy_bow.settings.model_copy(update={"norm": "none"})
    plain = BowModel.from_state(settings, toy_bow.labels, toy_bow.state())
    for scores in scores_of(plain, ["lovely superb"]):
        assert scores[0] == toy_bow.weights[np.isin(toy_bow.keys, keys_in("lovely superb"))].sum(dtype=np.float32)


def test_pruning_keeps_the_largest_weights():
    model = with_weights([[0.5], [-3], [0.1], [2], [-0.2]])
    smaller = pruned(model, 3, 16)
    assert smaller.weights.ravel().tolist() == [0.5, -3, 2]
    assert smaller.keys.tolist() == model.keys[[0, 1, 3]].tolist()
    assert pruned(model, 100, 16).weights.tolist() == model.weights.tolist()
    assert len(pruned(model, 0, 16).keys) == 0


def test_pruning_takes_the_problem_that_an_ngram_tells_most_about():
    smaller = pruned(with_weights([[0.5, 0.5, 0.5], [0, 0, -1], [0.6, 0.1, 0]]), 2, 16)
    assert smaller.weights[:, 0].tolist() == pytest.approx([0, 0.6], abs=1e-3)


def test_pruning_keeps_one_ngram_a_slot_of_a_smaller_table():
    keys = [0x00000001, 0x00008001, 0x00010000, 0x00018000, 0x00020000]  # slots of 17 bits: all different
    model = with_weights([[0.5], [-3], [0.1], [2], [-0.2]], keys=keys, slot_bits=17)
    smaller = pruned(model, 5, 16)
    assert smaller.settings.slot_bits == 16
    assert smaller.keys.tolist() == [0x00008001, 0x00018000, 0x00020000]
    reference, kernel = scores_of(smaller, ["a dull film", ""])
    np.testing.assert_allclose(kernel, reference, atol=1e-5)


def test_pruning_weighs_what_int8_weights_mean():
    model = quantized(with_weights([[0.1, 5, 0], [0.09, 0, 9], [0.1, 0, 0]]))
    assert pruned(model, 2, 16).keys.tolist() == model.keys[:2].tolist()
