import numpy as np
import pytest
import torch
from pydantic import ValidationError

from plaudit.errors import BundleError
from plaudit.models.base import ModelState
from plaudit.models.lstm.network import LSTMModel, LSTMNetwork, LSTMSettings, reverse

TEXTS = ["a good film and a good story", "bad", "not a good film", "", "a bad story about a bad dog"]
LABELS = ("negative", "positive")


def settings(**changes):
    return LSTMSettings(**{"embedding_size": 6, "hidden_size": 5, "min_count": 1, **changes})


def network(**changes):
    torch.manual_seed(0)
    return LSTMNetwork(settings(**changes), num_tokens=20, num_classes=3).eval()


@pytest.mark.parametrize("pooling", [["mean"], ["max"], ["last"], ["attention"], ["last", "max"]], ids="+".join)
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_logits_do_not_depend_on_padding(bidirectional, num_layers, pooling):
    net = network(bidirectional=bidirectional, num_layers=num_layers, pooling=pooling)
    ids = torch.tensor([[3, 4, 5, 0, 0, 0], [6, 7, 8, 9, 10, 11]], dtype=torch.int32)
    mask = ids > 0
    with torch.inference_mode():
        together = net(ids, mask)
        alone = net(ids[:1, :3], mask[:1, :3])
    assert together.shape == (2, 3)
    torch.testing.assert_close(together[:1], alone)


def test_reverse_turns_texts_and_leaves_padding_at_the_end():
    ids = torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0], [5, 6, 7, 8]])
    assert reverse(ids, ids > 0).tolist() == [[3, 2, 1, 0], [4, 0, 0, 0], [8, 7, 6, 5]]


def test_a_bidirectional_network_is_a_forward_one_and_a_backward_one():
    net = network(bidirectional=True, pooling=["last"])
    ids = torch.tensor([[3, 4, 5]], dtype=torch.int32)
    mask = torch.ones(1, 3, dtype=torch.bool)
    forward, backward = net.directions
    with torch.inference_mode():
        pooled = torch.cat(
            [forward(net.embedding(ids.t()), mask.t()), backward(net.embedding(ids.flip(1).t()), mask.t())], dim=1
        )
        torch.testing.assert_close(net(ids, mask), net.classifier(pooled))


def test_a_backward_network_is_a_forward_one_of_turned_texts():
    forward, backward = (network(bidirectional=False, backward=backward) for backward in (False, True))
    ids = torch.tensor([[3, 4, 5, 0], [6, 7, 8, 9]], dtype=torch.int32)
    with torch.inference_mode():
        torch.testing.assert_close(backward(ids, ids > 0), forward(reverse(ids, ids > 0), ids > 0))


def test_both_directions_and_one_of_them_are_a_contradiction():
    with pytest.raises(ValidationError, match="bidirectional reads backwards already; set bidirectional = false"):
        settings(backward=True)


def test_dropouts_act_in_training_only():
    net = network(num_layers=2, embedding_dropout=0.3, output_dropout=0.3)
    ids = torch.randint(2, 20, (4, 9), dtype=torch.int32)
    mask = torch.ones(4, 9, dtype=torch.bool)
    with torch.no_grad():
        assert torch.equal(net(ids, mask), net(ids, mask))
        net.train()
        assert not torch.equal(net(ids, mask), net(ids, mask))


def test_creation_depends_on_the_seed_and_leaves_the_global_one_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = LSTMModel.create(settings(), LABELS, TEXTS, seed=1)
    assert torch.equal(torch.rand(1), expected)
    same = LSTMModel.create(settings(), LABELS, TEXTS, seed=1)
    other = LSTMModel.create(settings(), LABELS, TEXTS, seed=2)
    assert np.array_equal(first.logits(TEXTS), same.logits(TEXTS))
    assert not np.array_equal(first.logits(TEXTS), other.logits(TEXTS))


def test_a_model_rebuilt_from_its_state_gives_the_same_logits():
    model = LSTMModel.create(settings(), LABELS, TEXTS, seed=0)
    rebuilt = LSTMModel.from_state(model.settings, LABELS, model.state())
    assert np.array_equal(model.logits(TEXTS), rebuilt.logits(TEXTS))


def test_weights_of_other_settings_are_refused():
    state = LSTMModel.create(settings(), LABELS, TEXTS, seed=0).state()
    with pytest.raises(BundleError, match=r"weights: .* is \(\d.* where the settings ask for"):
        LSTMModel.from_state(settings(hidden_size=7), LABELS, state)
    del state.tensors["classifier.bias"]
    with pytest.raises(BundleError, match=r"classifier\.bias is missing"):
        LSTMModel.from_state(settings(), LABELS, ModelState(state.tensors, state.files))


def test_texts_are_truncated_as_the_settings_say():
    model = LSTMModel.create(settings(max_tokens=2, truncation="tail"), LABELS, TEXTS, seed=0)
    assert np.array_equal(model.encode(["a good film"]).ids, model.encode(["good film"]).ids)
    assert np.array_equal(model.logits(["a good film"]), model.logits(["good film"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling": ["max", "max"]}, "lists the same method twice"),
        ({"pooling": []}, "at least 1 item"),
        ({"output_dropout": 1.0}, "less than 1"),
    ],
)
def test_settings_without_effect_or_sense_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        settings(**changes)
