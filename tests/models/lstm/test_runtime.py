"""The runtime predicts what the torch model does: in numpy for a few texts, compiled afterwards."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plaudit.errors import BundleError
from plaudit.models.base import ModelState
from plaudit.models.lstm.network import LSTMModel
from plaudit.models.lstm.runtime import LSTMRuntime
from plaudit.models.lstm.settings import LSTMSettings

LABELS = ("negative", "positive")
WORDS = ["dull", "lovely", "superb", "awful", "film", "story", "the", "was", "unheard", "of"]
GENERATOR = np.random.default_rng(0)
TEXTS = [" ".join(GENERATOR.choice(WORDS, size=length)) for length in [*range(40), 3, 90, 0, 1, 61]]


def model_of(labels=LABELS, **changes):
    settings = LSTMSettings(**{"embedding_size": 6, "hidden_size": 5, "min_count": 1, "max_tokens": 50, **changes})
    model = LSTMModel.create(settings, labels, [" ".join(WORDS[:8])], seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.network.parameters():
            # Larger than trained ones; still larger ones would let rounding errors grow from step to step.
            parameter.normal_(std=2 / parameter.shape[-1] ** 0.5, generator=generator)
    return model


def runtime_of(model):
    return LSTMRuntime.from_state(model.settings, model.labels, model.state())


def compiled(runtime):
    runtime._characters_left = 0
    return runtime


@pytest.fixture(scope="module")
def small():
    return compiled(runtime_of(model_of()))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bidirectional": False},
        {"bidirectional": False, "backward": True},
        {"bidirectional": False, "backward": True, "num_layers": 2},
        {"num_layers": 2},
        {"num_layers": 3, "bidirectional": False, "hidden_size": 17},
        {"pooling": ["mean"]},
        {"pooling": ["last", "max"], "num_layers": 2},
        {"pooling": ["max", "attention", "last", "mean"]},
        {"truncation": "head", "max_tokens": 7},
        {"truncation": "tail", "max_tokens": 8},
        {"labels": ("bad", "middling", "good")},
        *({"hidden_size": size} for size in (1, 8, 16, 24, 27, 32, 40, 48)),
    ],
    ids=str,
)
def test_logits_are_those_of_torch(changes):
    model = model_of(**changes)
    runtime = runtime_of(model)
    expected = model.logits(TEXTS)
    np.testing.assert_allclose(runtime.logits(TEXTS), expected, atol=1e-4, rtol=1e-5)
    np.testing.assert_allclose(compiled(runtime).logits(TEXTS), expected, atol=1e-4, rtol=1e-5)


def test_inputs_that_saturate_every_gate_give_the_logits_of_torch():
    model = model_of()
    with torch.no_grad():
        model.network.embedding.weight.mul_(1e4)
    runtime = runtime_of(model)
    expected = model.logits(TEXTS)
    np.testing.assert_allclose(runtime.logits(TEXTS), expected, atol=1e-4)
    np.testing.assert_allclose(compiled(runtime).logits(TEXTS), expected, atol=1e-4)


@given(texts=st.lists(st.sampled_from(TEXTS), max_size=20))
def test_a_text_gets_the_same_logits_in_any_company(small, texts):
    alone = [small.logits([text]) for text in texts]
    np.testing.assert_allclose(small.logits(texts), np.concatenate([np.empty((0, 2)), *alone]), atol=1e-5)


def test_texts_of_several_chunks_stay_in_order(small):
    np.testing.assert_allclose(small.logits(TEXTS * 12), np.tile(small.logits(TEXTS), (12, 1)), atol=1e-5)


def test_no_texts_have_no_logits(small):
    assert small.logits([]).shape == (0, 2)
    assert runtime_of(model_of()).logits([]).shape == (0, 2)


def test_a_text_without_words_reads_as_one_unknown_word(small):
    expected = np.tile(small.logits(["unheard"]), (3, 1))
    np.testing.assert_allclose(small.logits(["", " \n", "qwertz"]), expected, atol=1e-5)


def test_the_state_comes_back_unchanged():
    state = model_of(num_layers=2).state()
    again = LSTMRuntime.from_state(model_of(num_layers=2).settings, LABELS, state).state()
    assert again.files == state.files
    assert again.tensors.keys() == state.tensors.keys()
    assert all(np.array_equal(again.tensors[name], tensor) for name, tensor in state.tensors.items())


def test_weights_of_other_settings_are_refused():
    model = model_of()
    state = model.state()
    for changes in ({"hidden_size": 7}, {"bidirectional": False}, {"num_layers": 2}, {"pooling": ("mean", "max")}):
        with pytest.raises(BundleError, match=r"weights: .* where the settings ask for"):
            LSTMRuntime.from_state(model.settings.model_copy(update=changes), LABELS, state)
    with pytest.raises(BundleError, match=r"classifier\.bias is \(2,\) where"):
        LSTMRuntime.from_state(model.settings, ("a", "b", "c"), state)
    with pytest.raises(BundleError, match=r"no vocabulary\.txt"):
        LSTMRuntime.from_state(model.settings, LABELS, ModelState(state.tensors))
    del state.tensors["classifier.bias"]
    with pytest.raises(BundleError, match=r"classifier\.bias is missing"):
        LSTMRuntime.from_state(model.settings, LABELS, state)


FEW_TEXTS = """
import sys
import numpy as np
from plaudit.models.base import ModelState
from plaudit.models.lstm.runtime import LSTMRuntime, _shapes
from plaudit.models.lstm.settings import LSTMSettings

settings = LSTMSettings(hidden_size=4, embedding_size=4)
weights = {name: np.zeros(shape, np.float32) for name, shape in _shapes(settings, num_tokens=3, num_classes=2)}
model = LSTMRuntime.from_state(settings, ("a", "b"), ModelState(weights, {"vocabulary.txt": b"film\\n"}))
assert model.predict_proba(["a film", ""]).tolist() == [[0.5, 0.5]] * 2
print(sorted({"numba", "torch"} & set(sys.modules)))
"""


def test_a_few_texts_need_neither_torch_nor_the_compiler():
    done = subprocess.run([sys.executable, "-c", FEW_TEXTS], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
