import pytest
import torch
from torch import nn

from undertone.train.optimizer import learning_rate, make_optimizer, update_average
from undertone.train.settings import TrainSettings

SETTINGS = TrainSettings(epochs=1, max_learning_rate=0.1, warmup_fraction=0.25, weight_decay=0.5)


def test_learning_rate_rises_to_its_peak_and_falls_to_almost_nothing():
    rates = [learning_rate(SETTINGS, i / 100) for i in range(101)]
    assert max(rates) == rates[25] == pytest.approx(0.1)
    assert rates[:26] == sorted(rates[:26])
    assert rates[25:] == sorted(rates[25:], reverse=True)
    assert 0 < rates[0] < 0.001
    assert 0 < rates[-1] < 0.001


def test_no_warmup_starts_at_the_peak():
    settings = TrainSettings(epochs=1, max_learning_rate=0.1, warmup_fraction=0)
    assert learning_rate(settings, 0) == pytest.approx(0.1)


def test_weight_decay_leaves_biases_alone():
    network = nn.Linear(3, 2)
    decayed, spared = make_optimizer(SETTINGS, network).param_groups
    assert decayed["params"] == [network.weight] and decayed["weight_decay"] == 0.5
    assert spared["params"] == [network.bias] and spared["weight_decay"] == 0


def test_average_follows_quickly_at_first_and_slowly_later():
    average, network = nn.Linear(1, 1), nn.Linear(1, 1)
    for early, step in ((True, 0), (False, 100_000)):
        with torch.no_grad():
            average.weight.fill_(0)
            network.weight.fill_(1)
        update_average(average, network, decay=0.99, step=step)
        assert average.weight.item() == pytest.approx(0.9 if early else 0.01)
