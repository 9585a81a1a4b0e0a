import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from plaudit.errors import SettingsError
from plaudit.models.lstm.network import LSTMModel, LSTMNetwork, LSTMSettings
from plaudit.train.fit import fit
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
def test_every_weight_is_trained_once_at_its_stages_share_and_from_its_start(model):
    network, objective = lstm(**model), nn.Linear(3, 2)
    optimizer = make_optimizer(changed(layer_decay=0.5, unfreeze_fraction=0.6), network, objective)
    groups = groups_by_name(optimizer, network, objective)
    assert len(groups) == len([*network.parameters(), *objective.parameters()])
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(groups)
    stages = names_of_stages(network)
    for above, stage in enumerate(reversed(stages)):
        for name in stage:
            assert groups[name]["share"] == 0.5**above
            assert groups[name]["start"] == pytest.approx(0.6 * above / (len(stages) - 1))
    for name in ("weight", "bias"):
        assert (groups[name]["share"], groups[name]["start"]) == (1, 0), "an objective learns as the classifier does"
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


def test_each_stage_has_its_share_of_the_learning_rate_once_it_has_started():
    network = lstm(num_layers=2)
    settings = changed(layer_decay=0.5, unfreeze_fraction=0.6)
    optimizer = make_optimizer(settings, network)
    groups = groups_by_name(optimizer, network)
    stages = ("embedding.weight", "directions.0.layers.0.bias_hh_l0", "directions.1.layers.1.weight_ih_l0")
    for progress, shares in {
        0.0: (0, 0, 0, 1),
        0.19: (0, 0, 0, 1),
        0.21: (0, 0, 0.5, 1),
        0.41: (0, 0.25, 0.5, 1),
        0.59: (0, 0.25, 0.5, 1),
        0.61: (0.125, 0.25, 0.5, 1),
        1.0: (0.125, 0.25, 0.5, 1),
    }.items():
        set_learning_rate(optimizer, settings, progress)
        rates = [groups[name]["lr"] for name in (*stages, "classifier.weight")]
        assert rates == pytest.approx([share * learning_rate(settings, progress) for share in shares])


def test_a_stage_does_not_change_before_its_start_and_does_afterwards():
    network = lstm()
    settings = changed(unfreeze_fraction=0.5, warmup_fraction=0.0)
    optimizer = make_optimizer(settings, network)
    starts = dict(zip(("embedding", "layers", "top"), (0.5, 0.25, 0.0), strict=True))
    stages = dict(zip(starts, names_of_stages(network), strict=True))
    for step in range(20):
        before = {name: weights.clone() for name, weights in network.state_dict().items()}
        set_learning_rate(optimizer, settings, step / 20)
        for weights in network.parameters():
            weights.grad = torch.ones_like(weights)
        optimizer.step()
        unchanged = {name for name, weights in network.state_dict().items() if torch.equal(weights, before[name])}
        frozen = set().union(*(stages[stage] for stage, start in starts.items() if step / 20 < start))
        # Neither gradients nor weight decay reach them.
        assert unchanged == frozen, step


def test_training_leaves_a_stage_as_it_was_until_its_start(splits, tmp_path):
    settings = TrainSettings(
        epochs=1, max_learning_rate=0.03, batch_tokens=200, precision="fp32", weight_decay=0.1, unfreeze_fraction=0.99
    )
    run = {"seed": 0, "resume": False, "console": Console(quiet=True)}
    trained = fit(MODEL, settings, splits, run_dir=tmp_path, **run).model.state().tensors
    untrained = LSTMModel.create(MODEL, splits.labels, splits.train["text"].to_pylist(), seed=0).state().tensors
    # The last step of so few comes before the embedding's start.
    same = {name for name in trained if np.array_equal(trained[name], untrained[name])}
    assert same == {"embedding.weight"}


@pytest.mark.parametrize("changes", [{"layer_decay": 0.9}, {"unfreeze_fraction": 0.1}])
def test_a_network_without_stages_refuses_settings_of_stages_in_one_line(changes):
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    expected = "^layer_decay and unfreeze_fraction need a network with stages; leave them out$"
    with pytest.raises(SettingsError, match=expected):
        make_optimizer(changed(**changes), network)


@pytest.mark.parametrize(
    "changes", [{"layer_decay": 0}, {"layer_decay": 1.1}, {"unfreeze_fraction": 1}, {"unfreeze_fraction": -0.1}]
)
def test_shares_and_starts_without_a_meaning_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        TrainSettings.model_validate({"epochs": 1, "max_learning_rate": 0.1, **changes})
