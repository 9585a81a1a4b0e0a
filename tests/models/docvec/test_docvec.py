import numpy as np
import pytest

from plaudit.bundle.folder import load_bundle, save_bundle
from plaudit.bundle.trained import TrainedModel
from plaudit.errors import BundleError
from plaudit.models.base import ModelState
from plaudit.models.docvec import kernel as docvec_kernel
from plaudit.models.docvec.model import DocvecModel, negative_pool
from plaudit.models.docvec.settings import DocvecSettings

SIZE = 6
SETTINGS = DocvecSettings(embedding_size=SIZE, min_count=1, max_order=1, inference_epochs=3)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def model_of(texts, labels=("negative", "positive"), *, settings=SETTINGS, seed=0):
    """A model of random vectors and weights that knows the words of some texts."""
    from plaudit.models.bow.ngrams import frequent_ngrams

    presence = frequent_ngrams(texts, settings)
    generator = np.random.default_rng(seed)
    num_problems = 1 if len(labels) == 2 else len(labels)
    return DocvecModel(
        settings,
        labels,
        keys=presence.keys,
        vectors=generator.standard_normal((len(presence.keys), SIZE)).astype(np.float16),
        counts=np.asarray(presence.matrix.sum(axis=0), np.int32).ravel(),
        classifier=generator.standard_normal((num_problems, SIZE)).astype(np.float32),
        bias=generator.standard_normal(num_problems).astype(np.float32),
    )


TEXTS = ["one two three four", "two three five", "six seven one", "eight", "four four four nine ten"]


def gradient_step(text, vectors, own, drawn, rate, sharpness):
    """Return text and vectors after one group of n-grams, written out: own ones once, drawn ones fivefold."""
    text, vectors = text.astype(np.float64).copy(), vectors.astype(np.float64).copy()
    direction, pull = unit(text), np.zeros_like(text)
    for which, is_own in [*((w, True) for w in own), *((w, False) for w in drawn)]:
        vector = vectors[which].copy()
        cosine = direction @ unit(vector)
        probability = 1 / (1 + np.exp(-sharpness * cosine))
        slope = rate * sharpness * (1 - probability if is_own else -5 * probability)
        pull += slope * (unit(vector) - cosine * direction)
        vectors[which] += slope * (direction - cosine * unit(vector)) / np.linalg.norm(vector)
    return text + pull / np.linalg.norm(text), vectors


def test_one_group_moves_text_and_ngrams_along_the_gradient():
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((4, SIZE)).astype(np.float32)
    text = generator.standard_normal(SIZE).astype(np.float32)
    texts, moved = text[None].copy(), vectors.copy()
    offsets, ngrams = np.array([0, 1]), np.array([2], np.int32)
    drawn = np.array([3], np.int32)  # there is nothing else to draw
    rate, sharpness = np.float32(0.1), np.float32(6)
    docvec_kernel.learn(texts, np.array([0]), offsets, ngrams, drawn, moved, rate, sharpness, 0)
    expected_text, expected_vectors = gradient_step(text, vectors, [2], [3], 0.1, 6)
    np.testing.assert_allclose(texts[0], expected_text, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(moved, expected_vectors, rtol=1e-4, atol=1e-6)


def test_learning_separates_texts_of_different_words():
    """Texts of two vocabularies: in the end each is nearer to its own kind than to the other."""
    generator = np.random.default_rng(1)
    own = [generator.integers(0, 20, 15) + 20 * (i % 2) for i in range(60)]
    ngrams = np.concatenate([np.unique(o) for o in own]).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(np.unique(o)) for o in own])])
    texts = generator.standard_normal((60, SIZE)).astype(np.float32)
    vectors = generator.standard_normal((40, SIZE)).astype(np.float32)
    pool = negative_pool(np.bincount(ngrams, minlength=40).astype(np.int32))
    for epoch in range(40):
        order = generator.permutation(60)
        docvec_kernel.learn(texts, order, offsets, ngrams, pool, vectors, np.float32(0.05), np.float32(6), epoch)
    cosines = unit(texts) @ unit(texts).T
    same = np.add.outer(np.arange(60), np.arange(60)) % 2 == 0
    assert cosines[same].mean() > cosines[~same].mean() + 0.5


def test_a_text_has_the_same_vector_whatever_is_judged_beside_it():
    model = model_of(TEXTS)
    together = model.features(TEXTS)
    alone = np.concatenate([model.features([text]) for text in reversed(TEXTS)])[::-1]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)


def test_judging_leaves_the_vectors_as_they_were():
    model = model_of(TEXTS)
    before = model.vectors.copy()
    model.logits(TEXTS)
    np.testing.assert_array_equal(model.vectors, before)
    np.testing.assert_array_equal(model._float32_vectors, before.astype(np.float32))


def test_a_text_moves_towards_its_own_ngrams():
    model = model_of(TEXTS)
    features = model.features(["six seven one"])[0]
    from plaudit.models.bow.ngrams import find_ngrams

    own = find_ngrams(["six seven one"], SETTINGS, model.keys).matrix.indices
    cosines = unit(model.vectors.astype(np.float64)) @ features
    assert cosines[own].mean() > np.delete(cosines, own).mean() + 0.2


def test_a_text_without_a_known_ngram_is_judged_by_the_bias():
    model = model_of(TEXTS)
    np.testing.assert_allclose(model.logits(["unheard of", ""]), [[-model.bias[0] / 2, model.bias[0] / 2]] * 2)


@pytest.mark.parametrize("labels", [("negative", "positive"), ("bad", "fair", "good")])
def test_a_bundle_predicts_the_same(tmp_path, labels):
    model = model_of(TEXTS, labels)
    save_bundle(TrainedModel(model=model), tmp_path / "m")
    np.testing.assert_array_equal(load_bundle(tmp_path / "m").model.predict_proba(TEXTS), model.predict_proba(TEXTS))
    assert model.logits([]).shape == (0, len(labels))


def test_a_state_that_does_not_fit_is_refused_in_one_line():
    model = model_of(TEXTS)
    tensors = model.state().tensors
    with pytest.raises(BundleError):
        DocvecModel.from_state(SETTINGS, model.labels, ModelState({n: t for n, t in tensors.items() if n != "bias"}))
    with pytest.raises(BundleError):
        DocvecModel.from_state(SETTINGS, model.labels, ModelState(tensors | {"vectors": tensors["vectors"][:, :3]}))
    with pytest.raises(BundleError, match="counts is int64, not int32"):
        changed = tensors | {"counts": tensors["counts"].astype(np.int64)}
        DocvecModel.from_state(SETTINGS, model.labels, ModelState(changed))


def test_ngrams_are_drawn_about_as_often_as_texts_have_them():
    drawn = negative_pool(np.array([10, 20, 55], np.int32))
    assert np.bincount(drawn).tolist() == [1, 2, 5]
    assert drawn.dtype == np.int32
