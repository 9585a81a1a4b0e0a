import pytest
import torch
from torch import nn

from plaudit.errors import SettingsError
from plaudit.models.lstm.network import LSTMNetwork, LSTMSettings
from plaudit.train.optimizer import learning_rate, make_optimizer, set_learning_rate, update_average
from plaudit.train.settings import TrainSettings

SETTINGS = TrainSettings(epochs=1, max_learning_rate=0.1, warmup_fraction=0.25, weight_decay=0.5)
MODEL = LSTMSettings(embedding_size=6, hidden_size=5, min_count=1, embedding_dropout=0.0, output_dropout=0.0)
LSTMS = pytest.mark.parametrize(
    "model",
    [
        {},
        {"bidirectional": False, "pooling": ("max",)},
        {"num_layers": 3, "pooling": ("attention",)},
        {"num_layers": 2, "bidirectional": False, "pooling": ("last", "attention", "mean")},
    ],
    ids=["default", "small", "three-layers", "one-direction"],
)


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


def lstm(**changes):
    torch.manual_seed(0)
    return LSTMNetwork(MODEL.model_copy(update=changes), num_tokens=9, num_classes=2)


def changed(**changes):
    return SETTINGS.model_copy(update=changes)


def names_of_stages(network):
    """Return the names of each stage's weights."""
    names = {id(weights): name for name, weights in network.named_parameters()}
    return [
        {names[id(weights)] for module in modules for weights in module.parameters()} for modules in network.stages()
    ]


def groups_by_name(optimizer, *networks):
    """Return the group that each weight is in; a weight in two of them fails."""
    groups = {}
    for group in optimizer.param_groups:
        for weights in group["params"]:
            assert id(weights) not in groups
            groups[id(weights)] = group
    return {name: groups.pop(id(w)) for network in networks for name, w in network.named_parameters()}


@LSTMS
def test_stages_of_an_lstm_lead_from_words_over_each_layer_of_all_directions_to_labels(model):
    network = lstm(**model)
    settings = MODEL.model_copy(update=model)
    stages = names_of_stages(network)
    assert sum(len(stage) for stage in stages) == len({*network.state_dict()})
    assert set().union(*stages) == {*network.state_dict()}
    embedding, *layers, top = stages
    assert embedding == {"embedding.weight"}
    assert len(layers) == settings.num_layers
    directions = range(1 + settings.bidirectional)
    for depth, layer in enumerate(layers):
        assert {name.rsplit(".", 1)[0] for name in layer} == {f"directions.{d}.layers.{depth}" for d in directions}
    attention = {f"directions.{d}.attention" for d in directions if "attention" in settings.pooling}
    assert {name.rsplit(".", 1)[0] for name in top} == {"classifier", *attention}


@LSTMS
def test_every_weight_is_trained_once_at_its_stages_share(model):
    network, objective = lstm(**model), nn.Linear(3, 2)
    optimizer = make_optimizer(changed(layer_decay=0.5), network, objective)
    groups = groups_by_name(optimizer, network, objective)
    assert len(groups) == len([*network.parameters(), *objective.parameters()])
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(groups)
    stages = names_of_stages(network)
    for above, stage in enumerate(reversed(stages)):
        for name in stage:
            assert groups[name]["share"] == 0.5**above
    for name in ("weight", "bias"):
        assert groups[name]["share"] == 1, "an objective learns as the classifier does"
    for name, group in groups.items():
        assert group["weight_decay"] == (0 if "bias" in name else 0.5)


def test_without_such_settings_all_weights_learn_alike():
    for network in (lstm(), nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))):
        optimizer = make_optimizer(SETTINGS, network)
        assert len(groups_by_name(optimizer, network)) == len([*network.parameters()])
        for progress in (0.0, 0.1, 0.5, 1.0):
            set_learning_rate(optimizer, SETTINGS, progress)
            expected = learning_rate(SETTINGS, progress)
            assert {group["lr"] for group in optimizer.param_groups} == {expected}


def test_each_stage_has_its_share_of_the_learning_rate():
    network = lstm(num_layers=2)
    settings = changed(layer_decay=0.5)
    optimizer = make_optimizer(settings, network)
    groups = groups_by_name(optimizer, network)
    stages = ("embedding.weight", "directions.0.layers.0.bias_hh_l0", "directions.1.layers.1.weight_ih_l0")
    shares = (0.125, 0.25, 0.5, 1)
    for progress in (0.0, 0.19, 0.61, 1.0):
        set_learning_rate(optimizer, settings, progress)
        rates = [groups[name]["lr"] for name in (*stages, "classifier.weight")]
        assert rates == pytest.approx([share * learning_rate(settings, progress) for share in shares])


def test_a_network_without_stages_refuses_a_decay_of_layers_in_one_line():
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with pytest.raises(SettingsError, match=r"^layer_decay needs a network with stages; leave it out$"):
        make_optimizer(changed(layer_decay=0.9), network)


@pytest.mark.parametrize("changes", [{"layer_decay": 0}, {"layer_decay": 1.1}])
def test_a_decay_of_layers_without_a_meaning_is_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        TrainSettings.model_validate({"epochs": 1, "max_learning_rate": 0.1, **changes})
