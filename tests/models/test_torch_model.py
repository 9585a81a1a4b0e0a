import numpy as np
import pytest

from plaudit.models import torch_model
from plaudit.models.lstm.network import LSTMModel, LSTMSettings
from plaudit.text.encoded import UNKNOWN_ID, EncodedTexts, without_empty

TEXTS = ["a good film and a good story", "bad", "not a good film", "", "a bad story about a bad dog", "?!"]


@pytest.fixture(scope="module")
def model():
    settings = LSTMSettings(embedding_size=6, hidden_size=5, min_count=1, pooling=("max", "mean"))
    return LSTMModel.create(settings, ("negative", "positive"), TEXTS, seed=0)


def test_logits_come_in_the_order_of_the_texts_whatever_their_neighbours(model, monkeypatch):
    together = model.logits(TEXTS)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, np.concatenate([model.logits([text]) for text in TEXTS]), atol=1e-5)
    monkeypatch.setattr(torch_model, "INFERENCE_BATCH_TOKENS", 8)
    np.testing.assert_allclose(together, model.logits(TEXTS), atol=1e-5)


def test_probabilities_sum_to_one(model):
    np.testing.assert_allclose(model.predict_proba(TEXTS).sum(1), 1, rtol=1e-6)


def test_no_texts_give_no_logits(model):
    assert model.logits([]).shape == (0, 2)


def test_texts_without_words_are_read_as_one_unknown_word(model):
    assert model.encode(["", "?!"]).ids.tolist() == [UNKNOWN_ID, UNKNOWN_ID]
    np.testing.assert_allclose(*model.logits(["", "?!"]), atol=1e-5)


def test_empty_texts_are_filled_wherever_they_stand():
    encoded = EncodedTexts(np.array([7, 8, 9], np.int32), np.array([0, 0, 2, 2, 2, 3, 3]))
    filled = without_empty(encoded)
    assert filled.ids.tolist() == [1, 7, 8, 1, 1, 9, 1]
    assert filled.offsets.tolist() == [0, 1, 3, 4, 5, 6, 7]


def test_logits_leave_a_network_in_training_as_it_was(model):
    model.network.train()
    model.logits(TEXTS)
    assert model.network.training
    model.network.eval()


def test_parameters_that_multiply_every_token_exclude_embeddings(model):
    per_direction = 4 * 5 * 6 + 4 * 5 * 5
    assert model.num_matmul_parameters == 2 * per_direction + 2 * (2 * 2 * 5)


def test_state_is_fp32_and_named_like_the_network(model):
    state = model.state()
    assert set(state.tensors) == set(model.network.state_dict())
    assert {str(tensor.dtype) for tensor in state.tensors.values()} == {"float32"}
