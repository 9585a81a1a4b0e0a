import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console
from torch._subclasses.fake_tensor import FakeTensorMode

from undertone.data.table import SCHEMA
from undertone.errors import SettingsError
from undertone.models.corpus import Corpus
from undertone.models.lstm import LSTMModel, LSTMNetwork, LSTMSettings, reverse
from undertone.models.transformer import TransformerModel
from undertone.recipe import model_recipe
from undertone.text.encoded import FIRST_WORD_ID, UNKNOWN_ID, EncodedTexts
from undertone.train import loop, pretrain
from undertone.train.fit import fit
from undertone.train.interrupt import Interruption
from undertone.train.optimizer import make_optimizer
from undertone.train.pretrain import HeldOut, LanguageModel, PretrainSettings
from undertone.train.settings import TrainSettings

CPU = torch.device("cpu")
MODEL = LSTMSettings(embedding_size=8, hidden_size=8, min_count=1, embedding_dropout=0.1, output_dropout=0.1)
PRETRAIN = PretrainSettings(
    epochs=2,
    max_learning_rate=0.02,
    batch_tokens=200,
    precision="fp32",
    num_samples=16,
    checkpoint_every_steps=4,
    log_every_steps=3,
)
COUNTING = "one two three four five six"


def counting(num_texts):
    """Texts in which each word decides the next one, whichever way they are read."""
    words = COUNTING.split()
    return [" ".join(words[(start + i) % 6] for i in range(12 + start % 5)) for start in range(num_texts)]


def run_in(folder, *, seed=0, resume=False):
    return {"seed": seed, "run_dir": folder, "resume": resume, "console": Console(quiet=True)}


def new_model(texts, *, settings=MODEL, seed=0):
    return LSTMModel.create(settings, ("negative", "positive"), texts, seed=seed)


def pretrained(texts, held_out, folder, *, model=MODEL, train=PRETRAIN, **run):
    model = new_model(texts, settings=model)
    pretrain.pretrain(model, train, texts, held_out, **run_in(folder, **run))
    return model


def weights(model):
    return {name: tensor.clone() for name, tensor in model.network.state_dict().items()}


def assert_same_weights(first, second):
    for name, tensor in weights(first).items():
        assert torch.equal(tensor, weights(second)[name]), name


def events(folder, kind):
    return [
        event
        for event in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        if event["event"] == kind
    ]


@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_language_model_learns_a_deterministic_sequence(tmp_path, bidirectional):
    model = MODEL.model_copy(update={"bidirectional": bidirectional, "embedding_dropout": 0.0})
    train = PRETRAIN.model_copy(update={"epochs": 10, "max_learning_rate": 0.05})
    pretrained(counting(80), counting(20), tmp_path, model=model, train=train)
    last = events(tmp_path, "epoch")[-1]
    assert last["validation_accuracy"] > 0.9
    assert last["validation_loss"] < 0.5
    assert last["train_accuracy"] > 0.9


def test_pretraining_changes_embedding_and_layers_and_leaves_the_classifier(tmp_path):
    texts = counting(30)
    before, after = weights(new_model(texts)), weights(pretrained(texts, texts[:5], tmp_path))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    # Attention pools states for the classifier, and is none of a language model's business either.
    assert set(before) - changed == {name for name in before if "classifier" in name or "attention" in name}
    assert "embedding.weight" in changed


def test_the_seconds_it_took_are_returned(tmp_path):
    texts = counting(30)
    seconds = pretrain.pretrain(new_model(texts), PRETRAIN, texts, texts[:5], **run_in(tmp_path))
    assert seconds == pytest.approx(events(tmp_path, "epoch")[-1]["seconds"], rel=0.5)


def test_same_seed_same_weights_whatever_was_drawn_before_and_another_seed_others(tmp_path):
    texts = counting(30)
    first = pretrained(texts, texts[:5], tmp_path / "1")
    torch.rand(1)
    assert_same_weights(first, pretrained(texts, texts[:5], tmp_path / "2"))
    other = pretrained(texts, texts[:5], tmp_path / "3", seed=1)
    assert not torch.equal(weights(first)["embedding.weight"], weights(other)["embedding.weight"])


@pytest.mark.parametrize("steps", [1, 5, 9])
def test_resume_matches_uninterrupted_run(tmp_path, killed_after, steps):
    texts = counting(80)
    train = PRETRAIN.model_copy(update={"ema_decay": 0.9})
    whole = pretrained(texts, texts[:5], tmp_path / "whole", train=train)
    with killed_after(steps):
        pretrained(texts, texts[:5], tmp_path / "killed", train=train)
    assert_same_weights(whole, pretrained(texts, texts[:5], tmp_path / "killed", train=train, resume=True))
    assert events(tmp_path / "killed", "step")[-1]["step"] == events(tmp_path / "whole", "step")[-1]["step"] > steps


def test_resume_with_other_texts_or_settings_is_refused(tmp_path):
    texts = counting(30)
    pretrained(texts, texts[:5], tmp_path)
    with pytest.raises(SettingsError, match="reviews was"):
        pretrained(counting(29), texts[:5], tmp_path, resume=True)
    with pytest.raises(SettingsError, match="held-out reviews was"):
        pretrained(texts, texts[:4], tmp_path, resume=True)
    train = PRETRAIN.model_copy(update={"num_samples": 17})
    with pytest.raises(SettingsError, match=r"pretrain\.num_samples was 16"):
        pretrained(texts, texts[:5], tmp_path, train=train, resume=True)


@pytest.mark.parametrize(("num_held_out", "expected"), [(0, 0), (7, 7), (512, 512), (513, 512), (1000, 512)])
def test_validation_reads_at_most_so_many_texts_evenly_spaced(tmp_path, monkeypatch, num_held_out, expected):
    read = []
    original = LSTMModel.encode

    def recording(model, texts):
        read.append(texts)
        return original(model, texts)

    monkeypatch.setattr(LSTMModel, "encode", recording)
    monkeypatch.setattr(HeldOut, "validate", lambda *arguments: (0.0, 0.0))
    texts = counting(5)
    held_out = [f"one two {number}" for number in range(num_held_out)]
    pretrained(texts, held_out, tmp_path, train=PRETRAIN.model_copy(update={"epochs": 1}))
    chosen = [int(text.split()[-1]) for text in read[1]]
    assert len(chosen) == expected
    if chosen:
        steps = np.diff(chosen)
        assert chosen[0] == 0
        assert num_held_out - chosen[-1] <= math.ceil(num_held_out / 512)
        assert set(steps.tolist()) <= {num_held_out // expected, math.ceil(num_held_out / expected)}


def language_model(num_ids, *, num_samples, seed=0, **changes):
    torch.manual_seed(seed)
    plain = {"embedding_dropout": 0.0, "output_dropout": 0.0, "bidirectional": True}
    network = LSTMNetwork(MODEL.model_copy(update=plain | changes), num_tokens=num_ids, num_classes=2)
    return network, LanguageModel(network, num_samples=num_samples, mean_length=1.0)


def some_ids(num_ids):
    """Two texts, of 7 and of 4 tokens; the second one has an unknown word."""
    generator = np.random.default_rng(0)
    ids = torch.zeros(2, 8, dtype=torch.int32)
    ids[0, :7] = torch.from_numpy(generator.integers(FIRST_WORD_ID, num_ids, 7))
    ids[1, :4] = torch.from_numpy(generator.integers(FIRST_WORD_ID, num_ids, 4))
    ids[1, 2] = UNKNOWN_ID
    return ids, ids > 0


def test_words_are_drawn_as_often_as_their_odds_say():
    torch.manual_seed(0)
    _, objective = language_model(12, num_samples=500_000)
    sampled, log_odds = objective._sample(CPU)
    counts = torch.bincount(sampled, minlength=12)
    assert counts[:FIRST_WORD_ID].sum() == 0
    expected = objective._log_odds(torch.arange(FIRST_WORD_ID, 12)).exp()
    torch.testing.assert_close(counts[FIRST_WORD_ID:].float(), expected, rtol=0.02, atol=0)
    assert expected.sum().item() == pytest.approx(500_000, rel=1e-5)
    assert (expected.diff() < 0).all(), "frequent words, which have low ids, are drawn more often"
    torch.testing.assert_close(log_odds, objective._log_odds(sampled))


def full_softmax(network, objective, ids, mask):
    """Return nats a word over all words that may come next, in both orders, and the share of right ones."""
    losses, right = [], []
    for direction, projection, in_order in zip(
        network.directions, objective.projections, [ids, reverse(ids, mask)], strict=True
    ):
        for text, length in zip(in_order, mask.sum(1).tolist(), strict=True):
            states = direction.states(network.embedding(text[:length])[:, None])[:, 0]
            logits = projection(states) @ network.embedding.weight.t() + objective.bias
            log_probabilities = logits[:, FIRST_WORD_ID:].log_softmax(1)
            for position in range(length - 1):
                target = int(text[position + 1]) - FIRST_WORD_ID
                if target >= 0:
                    losses.append(-log_probabilities[position, target])
                    right.append(int(log_probabilities[position].argmax()) == target)
    return torch.stack(losses), np.array(right)


def test_validation_scores_every_known_word_at_every_place():
    network, objective = language_model(12, num_samples=5)
    torch.nn.init.normal_(objective.bias)
    torch.nn.init.normal_(network.embedding.weight)
    ids, mask = some_ids(12)
    flat = EncodedTexts(ids[mask].numpy(), np.array([0, 7, 11]))
    with Interruption() as interruption:
        loss, accuracy = HeldOut(Corpus(flat, CPU), objective).validate(network, torch.float32, interruption)
    losses, right = full_softmax(network, objective, ids, mask)
    assert len(losses) == 2 * (6 + 3) - 2, "the unknown word is nobody's target"
    assert loss == pytest.approx(losses.mean().item(), rel=1e-5)
    assert accuracy == pytest.approx(right.mean())


def test_with_many_samples_the_loss_approaches_that_of_the_full_softmax():
    network, objective = language_model(12, num_samples=100_000)
    torch.nn.init.normal_(objective.bias)
    ids, mask = some_ids(12)
    loss, _ = objective(network, ids, mask, torch.arange(2))
    expected = full_softmax(network, objective, ids, mask)[0].sum() / 2
    assert loss.item() == pytest.approx(expected.item(), rel=0.02)


def test_a_right_next_word_is_counted_and_the_share_is_times_the_reviews():
    network, objective = language_model(12, num_samples=50)
    ids = torch.full((3, 6), 5, dtype=torch.int32)
    with torch.no_grad():
        objective.bias[5] = 50
    loss, correct = objective(network, ids, ids > 0, torch.arange(3))
    assert correct.item() == 3
    assert loss.item() == pytest.approx(0, abs=1e-3)
    with torch.no_grad():
        objective.bias[5] = -50
    loss, correct = objective(network, ids, ids > 0, torch.arange(3))
    assert correct.item() == 0
    assert loss.item() > 3 * 5 * 40


def test_padding_unknown_words_and_texts_of_one_word_add_nothing():
    network, objective = language_model(12, num_samples=50)
    ids, _ = some_ids(12)

    def loss_of(ids):
        torch.manual_seed(1)
        return objective(network, ids, ids > 0, torch.arange(len(ids)))[0].item()

    wider = torch.nn.functional.pad(ids, (0, 8))
    assert loss_of(wider) == pytest.approx(loss_of(ids), rel=1e-5)
    one_word = torch.zeros_like(ids[:1])
    one_word[0, 0] = 7
    assert loss_of(torch.cat([ids, one_word])) == pytest.approx(loss_of(ids), rel=1e-5)
    assert loss_of(one_word) == 0
    assert loss_of(torch.full((1, 8), UNKNOWN_ID, dtype=torch.int32)) == 0


def test_unknown_words_do_not_become_the_answer_to_everything(tmp_path):
    """Half of the words are unknown; what is learned of the others shows all the same."""
    texts = [
        " ".join(f"{word} strange{number}x{position}" for position, word in enumerate(text.split()))
        for number, text in enumerate(counting(80))
    ]
    model = MODEL.model_copy(update={"min_count": 2, "embedding_dropout": 0.0})
    train = PRETRAIN.model_copy(update={"epochs": 12, "max_learning_rate": 0.05})
    pretrained(texts, texts[:20], tmp_path, model=model, train=train)
    assert events(tmp_path, "epoch")[-1]["validation_accuracy"] > 0.9


def test_words_dropped_from_what_is_read_are_not_asked_for():
    network, objective = language_model(12, num_samples=5, word_dropout=0.999999)
    ids, mask = some_ids(12)
    assert objective(network.train(), ids, mask, torch.arange(2))[0].item() == 0


@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_step_never_waits_for_the_device(num_layers):
    """Fake tensors have no values: whatever asks for one on the host, as a wait for a GPU would, raises."""
    settings = MODEL.model_copy(update={"word_dropout": 0.1, "num_layers": num_layers})
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        encoded = EncodedTexts(np.arange(1, 11, dtype=np.int32), np.array([0, 4, 10]))
        corpus = Corpus(encoded, CPU)
        network = LSTMNetwork(settings, num_tokens=20, num_classes=2)
        objective = LanguageModel(network, num_samples=7, mean_length=5.0)
        optimizer = make_optimizer(PRETRAIN, network, objective)
        rows = mode.from_tensor(torch.tensor([0, 1]))
        batch = (*corpus.batch(rows, 6), rows)
        sums = loop.train_step(network, objective, optimizer, batch, PRETRAIN, torch.bfloat16, usual_size=2.0)
        assert sums.shape == (3,)
        with pytest.raises(Exception, match="_local_scalar_dense"):
            sums[0].item()


def test_a_model_that_is_no_lstm_is_refused_in_one_line(tmp_path):
    transformer = object.__new__(TransformerModel)
    transformer.settings = TransformerModel.Settings()
    with pytest.raises(SettingsError, match="pretrain is for kind lstm, not transformer; leave the table out"):
        pretrain.pretrain(transformer, PRETRAIN, [], [], **run_in(tmp_path))


@pytest.mark.parametrize("kind", ["bow", "transformer"])
def test_a_recipe_that_pretrains_another_kind_is_refused_in_one_line(kind):
    table = {"epochs": 1, "max_learning_rate": 0.01}
    values = {"kind": kind, "pretrain": table} | ({"train": table} if kind == "transformer" else {})
    with pytest.raises(
        SettingsError, match=r'recipe\.toml: models\.x: pretrain is for kind "lstm"; leave the table out'
    ):
        model_recipe("x", values, source="recipe.toml")
    recipe = model_recipe("x", values | {"kind": "lstm", "train": table}, source="recipe.toml")
    assert recipe.pretrain.num_samples == 1_024


def test_fit_pretrains_on_unlabelled_reviews_too_and_ends_in_a_classifier(splits, make_splits, tmp_path):
    unlabelled = make_splits(num_train=30).train
    at = SCHEMA.get_field_index("text")
    texts = [f"{text} hitherto unheard" for text in unlabelled["text"].to_pylist()]
    unlabelled = unlabelled.set_column(at, SCHEMA.field(at), [texts])
    splits = replace(splits, unlabelled=unlabelled)
    train = TrainSettings(epochs=6, max_learning_rate=0.03, batch_tokens=200, precision="fp32")
    result = fit(MODEL, train, splits, pretraining=PRETRAIN, **run_in(tmp_path / "model"))
    words = Counter(result.model.encoder.files()["vocabulary.txt"].decode().split())
    assert words["hitherto"] == words["unheard"] == 1
    assert result.validation_accuracy > 0.9
    predicted = result.model.predict_proba(splits.validation["text"].to_pylist()).argmax(1)
    assert (predicted == splits.validation["label"].to_numpy()).mean() == result.validation_accuracy
    assert len(events(tmp_path / "model" / "pretrain", "epoch")) == PRETRAIN.epochs
    assert len(events(tmp_path / "model", "epoch")) == train.epochs
    assert result.train_seconds > events(tmp_path / "model" / "pretrain", "epoch")[-1]["seconds"]


@pytest.mark.parametrize("name", ["label_smoothing", "ema_decay", "compile"])
def test_training_settings_without_a_meaning_here_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is not for pretraining; leave it out"):
        PretrainSettings.model_validate(
            {"epochs": 1, "max_learning_rate": 0.01, name: 0.5 if name != "compile" else True}
        )
