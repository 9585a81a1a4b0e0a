from dataclasses import replace

import numpy as np
import pytest
import torch

from plaudit.bundle.trained import Provenance, TrainedModel
from plaudit.compress.base import Context, Subject
from plaudit.compress.prune import prune
from plaudit.compress.prune_lstm import GroupLasso, Sizes, cut, sizes, unit_strengths
from plaudit.compress.settings import PruneSettings
from plaudit.errors import SettingsError
from plaudit.models.lstm.network import LSTMModel
from plaudit.models.lstm.settings import LSTMSettings
from plaudit.models.packed import unpack
from plaudit.text.encoded import UNKNOWN_ID
from plaudit.train.bow import train_bow
from plaudit.train.settings import ObjectiveSettings
from tests.compress.conftest import BOW, LSTM, TRAIN, run_in

TEXTS = ["a lovely film about people", "dull and tedious", "the dog was superb in town"]


def random_lstm(**settings):
    changes = {"embedding_size": 6, "hidden_size": 5, "min_count": 1, **settings}
    return LSTMModel.create(LSTMSettings(**changes), ("negative", "positive"), TEXTS, seed=0)


def counts_of(model):
    return np.ones(model.encoder.num_tokens, np.int64)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", [("attention", "max"), ("mean",), ("last", "max", "mean", "attention")])
def test_what_is_silent_can_be_cut_without_a_change(num_layers, bidirectional, pooling):
    """Units whose weights are all zero say nothing, so the smaller model judges as the larger one does."""
    model = random_lstm(num_layers=num_layers, bidirectional=bidirectional, pooling=pooling)
    silent, flat = [1, 3], [0, 4]
    with torch.no_grad():
        network = model.network
        network.embedding.weight[:, flat] = 0
        for direction in network.directions:
            for depth, layer in enumerate(direction.layers):
                gates = [gate * 5 + unit for gate in range(4) for unit in silent]
                for parameter in (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0):
                    parameter[gates] = 0
                layer.weight_hh_l0[:, silent] = 0
                layer.weight_ih_l0[:, silent if depth else flat] = 0
            if direction.attention is not None:
                direction.attention.weight[:, silent] = 0
        network.classifier.weight.view(2, -1, 5)[:, :, silent] = 0
    smaller = cut(model, Sizes(3, 4, sizes(model).num_words), counts_of(model))
    assert sizes(smaller) == Sizes(3, 4, sizes(model).num_words)
    np.testing.assert_allclose(smaller.logits(TEXTS), model.logits(TEXTS), atol=1e-6)


def test_a_word_that_is_cut_is_read_as_unknown():
    model = random_lstm()
    counts = counts_of(model)
    kept = model.encoder.words[:4]
    counts[[i + 2 for i, word in enumerate(model.encoder.words) if word in kept]] = 10_000
    smaller = cut(model, Sizes(5, 6, 4), counts)
    assert smaller.encoder.words == kept
    ids = smaller.encode(["a lovely nonsense"]).ids
    assert UNKNOWN_ID in ids
    before, after = unpack(model.state().tensors), unpack(smaller.state().tensors)
    np.testing.assert_array_equal(after["embedding.weight"][:6], before["embedding.weight"][:6])


def test_the_weakest_units_go():
    model = random_lstm(bidirectional=False)
    strengths = unit_strengths(model.network)[0, 0].detach().numpy()
    smaller = cut(model, Sizes(2, 6, sizes(model).num_words), counts_of(model))
    kept = unpack(smaller.state().tensors)["directions.0.layers.0.bias_ih_l0"][:2]
    strongest = np.sort(np.argsort(-strengths)[:2])
    np.testing.assert_array_equal(kept, model.network.directions[0].layers[0].bias_ih_l0.detach().numpy()[strongest])


def test_the_group_lasso_shrinks_whole_units():
    model = random_lstm()
    penalty = GroupLasso(model, 1.0)
    optimizer = torch.optim.SGD(model.network.parameters(), lr=0.02)
    before = penalty().item()
    for _ in range(20):
        optimizer.zero_grad()
        penalty().backward()
        optimizer.step()
    assert penalty().item() < 0.7 * before
    assert GroupLasso(model, 2.0)().item() == pytest.approx(2 * penalty().item())


@pytest.mark.parametrize("stages", [0, 1, 3])
def test_an_lstm_gets_physically_smaller_and_keeps_its_accuracy(subjects, context, stages):
    before = subjects["lstm"].model.logits(TEXTS)
    made = prune(subjects["lstm"], PruneSettings(ratio=0.5, stages=stages, parts=("hidden", "embedding")), context)
    assert sizes(made.model) == Sizes(5, 6, sizes(subjects["lstm"].model).num_words)
    assert made.model.settings.hidden_size == 5
    assert made.provenance.validation_accuracy > (0.5 if stages == 0 else 0.85)
    np.testing.assert_array_equal(subjects["lstm"].model.logits(TEXTS), before)  # the whole one is left as it was


def test_words_can_be_cut_too(subjects, context):
    whole = sizes(subjects["lstm"].model)
    made = prune(subjects["lstm"], PruneSettings(ratio=0.25, stages=1, parts=("words",)), context)
    assert sizes(made.model) == Sizes(whole.hidden_size, whole.embedding_size, round(whole.num_words * 0.75))


@pytest.mark.parametrize("kind", ["lstm"])
def test_single_weights_stay_zero_through_training(subjects, context, kind):
    made = prune(subjects[kind], PruneSettings(ratio=0.8, structure="weights", stages=2), context)
    for name, parameter in made.model.network.named_parameters():
        if parameter.dim() > 1:
            assert float((parameter == 0).float().mean()) == pytest.approx(0.8, abs=0.06), name
    models = (made.model, subjects[kind].model)
    after, before = (sum(tensor.nbytes for tensor in model.state().tensors.values()) for model in models)
    assert after < 0.5 * before
    assert made.provenance.validation_accuracy > 0.8


def test_a_bow_keeps_its_strongest_ngrams_and_learns_to_judge_as_before(subjects, context):
    whole = subjects["bow"].model
    made = prune(subjects["bow"], PruneSettings(ratio=0.7, stages=2), context)
    assert len(made.model.keys) == pytest.approx(0.3 * len(whole.keys), rel=0.05)
    assert set(made.model.keys) <= set(whole.keys)
    assert made.provenance.validation_accuracy > 0.85


@pytest.mark.parametrize("stages", [0, 2])
def test_a_bow_with_characters_and_its_own_scores_is_pruned_too(splits, context, stages):
    chosen = {"characters": 4, "scale": "idf", "class_weight": "balanced", "temperature": 2.0}
    whole = train_bow(BOW.model_copy(update=chosen), splits, context.training).model
    made = prune(Subject(whole.settings, None, whole), PruneSettings(ratio=0.5, stages=stages), context)
    assert len(made.model.keys) == pytest.approx(0.5 * len(whole.keys), rel=0.05)
    assert made.model.settings.characters == 4
    texts = splits.validation["text"].to_pylist()
    before, after = (model.predict_proba(texts)[:, 1] for model in (whole, made.model))
    assert np.abs(after - before).mean() < 0.2
    assert ((after > 0.5) == (before > 0.5)).mean() > 0.9


def test_labels_alone_cannot_prune_what_they_were_not_all_of(splits, context):
    whole = train_bow(BOW.model_copy(update={"temperature": 2.0}), splits, context.training).model
    hard = PruneSettings(ratio=0.5, stages=2, objective=ObjectiveSettings(losses={"hard": 1.0}))
    with pytest.raises(SettingsError, match=r"fitted with temperature = 2\.0, which pruning loses; add kl"):
        prune(Subject(whole.settings, None, whole), hard, context)


def test_a_smaller_table_keeps_one_ngram_a_slot(subjects, context):
    made = prune(subjects["bow"], PruneSettings(ratio=0.1, stages=0, slot_bits=17), context)
    slots = made.model.keys >> np.uint32(32 - 17)
    assert made.model.settings.slot_bits == 17
    assert len(np.unique(slots)) == len(slots)


def pruned_to(subject, ratio, accuracy):
    made = TrainedModel(model=subject.model, provenance=Provenance(validation_accuracy=accuracy))
    return subject.compressed(made, "prune", PruneSettings(), {"ratio": ratio})


def test_bisection_finds_the_highest_ratio_that_keeps_the_accuracy(subjects, context, monkeypatch):
    from plaudit.compress import prune as module

    accuracy = {"whole": 0.9}
    tried = []

    def to(self, ratio):
        tried.append(ratio)
        return pruned_to(self.subject, ratio, 0.9 if ratio <= 0.6 else 0.5)

    monkeypatch.setattr(module._Pruning, "prune_to", to)
    monkeypatch.setattr(module, "accuracy_on_validation", lambda *_: accuracy["whole"])
    found = prune(subjects["bow"], PruneSettings(max_accuracy_drop=0.3), context)
    assert found.provenance.compression[-1].figures["ratio"] == max(ratio for ratio in tried if ratio <= 0.6)
    assert 0.55 < found.provenance.compression[-1].figures["ratio"] <= 0.6


def test_an_accuracy_that_no_ratio_keeps_is_refused(subjects, context, monkeypatch):
    from plaudit.compress import prune as module

    monkeypatch.setattr(module._Pruning, "prune_to", lambda self, ratio: pruned_to(self.subject, ratio, 0.1))
    with pytest.raises(SettingsError, match=r"max_accuracy_drop = 0\.3: even a ratio of 3% loses more"):
        prune(subjects["bow"], PruneSettings(max_accuracy_drop=0.3), context)


def test_ratio_and_accuracy_drop_exclude_each_other():
    with pytest.raises(ValueError, match="give either ratio or max_accuracy_drop"):
        PruneSettings(ratio=0.5, max_accuracy_drop=1)


def test_a_resumed_pruning_ends_as_an_uninterrupted_one(subjects, splits, tmp_path):
    settings = PruneSettings(ratio=0.5, stages=2)
    whole = prune(subjects["lstm"], settings, Context(splits, run_in(tmp_path / "a")))
    again = prune(subjects["lstm"], settings, Context(splits, run_in(tmp_path / "a", resume=True)))
    for name, tensor in whole.model.state().tensors.items():
        np.testing.assert_array_equal(tensor, again.model.state().tensors[name])


@pytest.mark.parametrize("structure", ["units", "weights"])
def test_a_resumed_pruning_takes_up_nothing_of_another_ratio(subjects, splits, tmp_path, structure):
    low, high = (PruneSettings(ratio=ratio, stages=1, structure=structure) for ratio in (0.3, 0.6))
    prune(subjects["lstm"], high, Context(splits, run_in(tmp_path / "a")))
    resumed = prune(subjects["lstm"], low, Context(splits, run_in(tmp_path / "a", resume=True)))
    alone = prune(subjects["lstm"], low, Context(splits, run_in(tmp_path / "b")))
    for name, tensor in alone.model.state().tensors.items():
        np.testing.assert_array_equal(tensor, resumed.model.state().tensors[name])


def test_a_train_table_is_there_if_and_only_if_it_is_needed(subjects, context):
    lstm = replace(subjects["lstm"], train=None)
    with pytest.raises(SettingsError, match='kind = "lstm" needs a train table'):
        prune(lstm, PruneSettings(ratio=0.5), context)
    assert prune(lstm, PruneSettings(ratio=0.5, stages=0), context).model.settings.hidden_size == 5
    bow = replace(subjects["bow"], train=subjects["lstm"].train)
    with pytest.raises(SettingsError, match='kind = "bow" has no use for a train table'):
        prune(bow, PruneSettings(ratio=0.5), context)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("bow", {"group_lasso": 0.1}, "group_lasso has no effect where ngrams are pruned"),
        ("lstm", {"slot_bits": 17}, "slot_bits has no effect where units are pruned"),
        ("lstm", {"structure": "weights", "parts": ("words",)}, "parts has no effect where weights are pruned"),
    ],
)
def test_a_setting_without_effect_is_refused(subjects, context, kind, settings, message):
    with pytest.raises(SettingsError, match=message):
        prune(subjects[kind], PruneSettings(**settings), context)


def test_accuracy_that_was_learned_is_no_measure(subjects, context):
    seen = replace(subjects["bow"], provenance=Provenance(learned_validation=True))
    with pytest.raises(
        SettingsError, match="max_accuracy_drop compares accuracy on validation, on which the model was"
    ):
        prune(seen, PruneSettings(max_accuracy_drop=1), context)


def test_a_resumed_training_of_another_model_is_refused(subjects, splits, tmp_path):
    settings = PruneSettings(ratio=0.5, stages=1)
    prune(subjects["lstm"], settings, Context(splits, run_in(tmp_path)))
    other = LSTMModel.from_state(LSTM, subjects["lstm"].model.labels, subjects["lstm"].model.state())
    with torch.no_grad():
        other.network.classifier.weight.mul_(2)
    with pytest.raises(SettingsError, match=r"reviews|starting weights"):
        prune(Subject(LSTM, TRAIN, other), settings, Context(splits, run_in(tmp_path, resume=True)))
