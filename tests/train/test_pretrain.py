import io
import json
import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from rich.console import Console
from torch._subclasses.fake_tensor import FakeTensorMode

from plaudit.bundle.trained import LanguageModelFigures
from plaudit.data.table import SCHEMA
from plaudit.errors import SettingsError
from plaudit.models.corpus import Corpus
from plaudit.models.lstm.network import Direction, LSTMModel, LSTMNetwork, LSTMSettings, reverse
from plaudit.models.transformer.model import TransformerModel
from plaudit.pipeline.recipe import model_recipe
from plaudit.text.encoded import FIRST_WORD_ID, PAD_ID, UNKNOWN_ID, EncodedTexts
from plaudit.train import loop, pretrain
from plaudit.train.checkpoint import load_checkpoint
from plaudit.train.context import TrainingContext
from plaudit.train.fit import fit_language_model, fit_network
from plaudit.train.interrupt import Interruption
from plaudit.train.language_model import HeldOut, LanguageModel, Streams
from plaudit.train.optimizer import make_optimizer
from plaudit.train.settings import PretrainSettings, TrainSettings
from tests.train.conftest import PRECISIONS

CPU = torch.device("cpu")
MODEL = LSTMSettings(embedding_size=8, hidden_size=8, min_count=1, embedding_dropout=0.1, output_dropout=0.1)
PRETRAIN = PretrainSettings(
    epochs=2,
    max_learning_rate=0.02,
    batch_tokens=200,
    window_tokens=10,
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
    return TrainingContext(seed, folder, resume, Console(quiet=True))


def changed(**changes):
    return PretrainSettings.model_validate(PRETRAIN.model_dump() | changes)


def new_model(texts, *, settings=MODEL, seed=0):
    return LSTMModel.create(settings, ("negative", "positive"), texts, seed=seed)


def pretrained(texts, held_out, folder, *, model=MODEL, train=PRETRAIN, **run):
    model = new_model(texts, settings=model)
    pretrain.pretrain(model, train, texts, held_out, context=run_in(folder, **run))
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


@pytest.mark.parametrize(
    "directions",
    [{"bidirectional": True}, {"bidirectional": False}, {"bidirectional": False, "backward": True}],
    ids=["both", "forward", "backward"],
)
def test_a_language_model_learns_a_deterministic_sequence(tmp_path, directions):
    model = MODEL.model_copy(update=directions)
    train = changed(epochs=10, max_learning_rate=0.05, dropout=0.0)
    pretrained(counting(80), counting(20), tmp_path, model=model, train=train)
    last = events(tmp_path, "epoch")[-1]
    assert last["validation_accuracy"] > 0.9
    assert last["validation_loss"] < 0.5
    assert last["train_accuracy"] > 0.9


def test_pretraining_changes_embedding_and_layers_and_leaves_the_classifier(tmp_path):
    texts = counting(30)
    before, after = weights(new_model(texts)), weights(pretrained(texts, texts[:5], tmp_path))
    same = {name for name in before if torch.equal(before[name], after[name])}
    # Attention pools states for the classifier, and is none of a language model's business either.
    assert same == {name for name in before if "classifier" in name or "attention" in name}
    assert "embedding.weight" in before.keys() - same


def test_the_position_returned_is_that_of_the_weights_kept(tmp_path, monkeypatch):
    # Nats, right words and all words of three epochs.
    validated = iter(torch.tensor([[20.0, 3.0, 10.0], [10.0, 5.0, 10.0], [5.0, 4.0, 10.0]], dtype=torch.float64))
    monkeypatch.setattr(HeldOut, "validate", lambda *arguments: next(validated))
    texts = counting(30)
    trained = pretrain.pretrain(new_model(texts), changed(epochs=3), texts, texts[:5], context=run_in(tmp_path))
    assert trained.provenance.language_model == LanguageModelFigures(perplexity=math.e, accuracy=0.5)
    assert trained.provenance.train_seconds >= events(tmp_path, "epoch")[-1]["seconds"] > 0


def test_the_loss_returned_is_nats_a_word_of_the_model_kept(tmp_path, monkeypatch):
    held_outs = []
    original = HeldOut.__init__

    def keeping(held_out, *arguments):
        held_outs.append(held_out)
        original(held_out, *arguments)

    monkeypatch.setattr(HeldOut, "__init__", keeping)
    texts = counting(30)
    model = new_model(texts)
    trained = pretrain.pretrain(model, changed(epochs=1), texts, texts[:5], context=run_in(tmp_path))
    with Interruption() as interruption:
        nats, right, num_words = held_outs[0].validate(model.network, torch.float32, interruption).tolist()
    loss, accuracy = nats / num_words, right / num_words
    figures = LanguageModelFigures(perplexity=math.exp(loss), accuracy=accuracy)
    assert trained.provenance.language_model == figures
    assert 0 < loss < math.log(6) + 1


def test_same_seed_same_weights_whatever_was_drawn_before_and_another_seed_others(tmp_path):
    texts = counting(30)
    first = pretrained(texts, texts[:5], tmp_path / "1")
    torch.rand(1)
    assert_same_weights(first, pretrained(texts, texts[:5], tmp_path / "2"))
    other = pretrained(texts, texts[:5], tmp_path / "3", seed=1)
    assert not torch.equal(weights(first)["embedding.weight"], weights(other)["embedding.weight"])


# After 4 and 9 of 2 · 5 steps the last checkpoint is in the middle of an epoch, where streams carry a state.
@pytest.mark.parametrize("steps", [1, 4, 5, 9])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_resume_matches_uninterrupted_run(tmp_path, killed_after, steps, precision):
    texts = counting(80)
    train = changed(precision=precision)
    whole = pretrained(texts, texts[:5], tmp_path / "whole", train=train)
    with killed_after(steps):
        pretrained(texts, texts[:5], tmp_path / "killed", train=train)
    assert_same_weights(whole, pretrained(texts, texts[:5], tmp_path / "killed", train=train, resume=True))
    whole_steps, killed_steps = (events(tmp_path / name, "step") for name in ("whole", "killed"))
    assert [event["train_loss"] for event in killed_steps] == [event["train_loss"] for event in whole_steps]
    assert killed_steps[-1]["step"] == 10


def test_the_states_that_streams_were_left_in_are_part_of_the_checkpoint(tmp_path, killed_after):
    texts = counting(80)
    with killed_after(4):
        pretrained(texts, texts[:5], tmp_path)
    carried = load_checkpoint(tmp_path)["objective"]["carried"]
    assert carried.shape == (2, 1, 2, 20, 8)
    assert carried.dtype == torch.float32
    assert (carried != 0).all()


def test_resume_with_other_texts_or_settings_is_refused(tmp_path):
    texts = counting(30)
    pretrained(texts, texts[:5], tmp_path)
    with pytest.raises(SettingsError, match="another reviews"):
        pretrained(counting(29), texts[:5], tmp_path, resume=True)
    with pytest.raises(SettingsError, match="another held-out reviews"):
        pretrained(texts, texts[:4], tmp_path, resume=True)
    for name, value in {"num_samples": 17, "window_tokens": 11, "dropout": 0.2}.items():
        was = getattr(PRETRAIN, name)
        with pytest.raises(SettingsError, match=rf"pretrain\.{name} \({was}, now {value}\)"):
            pretrained(texts, texts[:5], tmp_path, train=changed(**{name: value}), resume=True)


@pytest.mark.parametrize(("num_held_out", "expected"), [(0, 0), (7, 7), (512, 512), (513, 512), (1000, 512)])
def test_validation_reads_at_most_so_many_texts_evenly_spaced(tmp_path, monkeypatch, num_held_out, expected):
    read = []
    original = LSTMModel.encode

    def recording(model, texts):
        read.append(texts)
        return original(model, texts)

    monkeypatch.setattr(LSTMModel, "encode", recording)
    monkeypatch.setattr(HeldOut, "validate", lambda *arguments: torch.zeros(3, dtype=torch.float64))
    held_out = [f"one two {number}" for number in range(num_held_out)]
    pretrained(counting(30), held_out, tmp_path, train=changed(epochs=1))
    (validated,) = read
    chosen = [int(text.split()[-1]) for text in validated]
    assert len(chosen) == expected
    if chosen:
        steps = np.diff(chosen)
        assert chosen[0] == 0
        assert num_held_out - chosen[-1] <= math.ceil(num_held_out / 512)
        assert set(steps.tolist()) <= {num_held_out // expected, math.ceil(num_held_out / expected)}


def encoded_texts(lengths):
    """Texts of so many tokens, no two of which are the same."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return EncodedTexts(np.arange(FIRST_WORD_ID, FIRST_WORD_ID + offsets[-1], dtype=np.int32), offsets)


def streams_of(lengths, *, batch_tokens, window_tokens, num_directions=1, seed=0):
    settings = changed(batch_tokens=batch_tokens, window_tokens=window_tokens)
    from_end = [False, True][:num_directions]
    return Streams(encoded_texts(lengths), settings, from_end=from_end, seed=seed, device=CPU)


def read_epoch(streams, *, num_directions, epoch=0):
    """Return what each stream of each direction read in an epoch and what it had to predict, both [D, B, tokens]."""
    batches = [streams.batch(batch.rows, batch.width) for batch in streams.plan(seed=0, epoch=epoch)]
    assert all(mask.all() and mask.shape == ids.shape for ids, mask in batches)
    ids = torch.stack([torch.stack(ids.chunk(num_directions)) for ids, _ in batches], dim=2)
    return ids[..., :-1].flatten(2), ids[..., 1:].flatten(2)


def texts_in(joined):
    """Cut a list of ids at PAD_ID."""
    texts = [[]]
    for token in joined:
        if token == PAD_ID:
            texts.append([])
        else:
            texts[-1].append(token)
    return texts


LENGTHS = [5, 1, 0, 17, 3, 0, 6, 1]
"""With PAD_ID after each, 41 tokens: one to begin with, and to predict 40 = 2 streams · 4 windows · 5."""


@pytest.mark.parametrize("seed", range(5))
def test_every_token_of_the_joined_texts_is_a_target_once_an_epoch_in_the_order_of_each_direction(seed):
    streams = streams_of(LENGTHS, batch_tokens=10, window_tokens=5, num_directions=2, seed=seed)
    read, wanted = (ids.flatten(1).tolist() for ids in read_epoch(streams, num_directions=2))
    for inputs, targets in zip(read, wanted, strict=True):
        assert inputs[1:] == targets[:-1], "what was to be predicted is read next, across windows and streams too"
    forward, backward = ([inputs[0], *targets] for inputs, targets in zip(read, wanted, strict=True))
    encoded = encoded_texts(LENGTHS)
    texts = [encoded.ids[start:end].tolist() for start, end in pairwise(encoded.offsets)]
    assert forward[-1] == PAD_ID
    assert sorted(texts_in(forward[:-1])) == sorted(texts)
    assert backward == forward[::-1]


def test_a_backward_language_model_reads_what_the_second_of_two_directions_does():
    settings = changed(batch_tokens=10, window_tokens=5)
    alone = Streams(encoded_texts(LENGTHS), settings, from_end=[True], seed=0, device=CPU)
    both = streams_of(LENGTHS, batch_tokens=10, window_tokens=5, num_directions=2)
    assert torch.equal(read_epoch(alone, num_directions=1)[0][0], read_epoch(both, num_directions=2)[0][1])


def test_what_fills_no_window_of_every_stream_is_left_out_at_each_directions_end():
    lengths = [*LENGTHS, 7]  # 49 tokens with the boundaries, 48 of which could be predicted
    streams = streams_of(lengths, batch_tokens=10, window_tokens=5, num_directions=2)
    assert len(streams) == 8
    read, wanted = (ids.flatten(1).tolist() for ids in read_epoch(streams, num_directions=2))
    forward, backward = ([inputs[0], *targets] for inputs, targets in zip(read, wanted, strict=True))
    assert len(forward) == len(backward) == 41
    overlap = 2 * 41 - 49
    assert forward[-overlap:] == backward[::-1][:overlap]
    words = [token for token in forward[: 41 - overlap] + backward[::-1] if token != PAD_ID]
    assert sorted(words) == encoded_texts(lengths).ids.tolist()


@pytest.mark.parametrize("num_directions", [1, 2])
def test_a_stream_goes_on_where_its_window_of_the_step_before_ended(num_directions):
    streams = streams_of([300], batch_tokens=35, window_tokens=10, num_directions=num_directions)
    assert streams.num_streams == 3
    plan = streams.plan(seed=0, epoch=0)
    assert torch.cat([batch.rows for batch in plan]).tolist() == list(range(len(streams)))
    assert {(len(batch.rows), batch.width, batch.num_tokens) for batch in plan} == {(3, 10, 30)}
    steps = [streams.batch(batch.rows, batch.width)[0] for batch in plan]
    assert all(ids.shape == (3 * num_directions, 11) and ids.dtype == torch.int32 for ids in steps)
    for before, after in pairwise(steps):
        assert before[:, -1].tolist() == after[:, 0].tolist()


def test_streams_are_read_alike_in_every_epoch_and_texts_are_in_an_order_of_the_seed():
    def read(*, seed=0, epoch=0):
        streams = streams_of(LENGTHS, batch_tokens=10, window_tokens=5, seed=seed)
        return read_epoch(streams, num_directions=1, epoch=epoch)[0].flatten().tolist()

    assert read() == read(epoch=1) == read(seed=0)
    assert read() != read(seed=1)


@pytest.mark.parametrize("lengths", [[199], [98, 100], [0] * 100 + [99]])  # 200 tokens with the boundaries
def test_too_little_text_for_a_step_is_refused_in_one_line(lengths):
    with pytest.raises(
        SettingsError, match=rf"{sum(lengths)} tokens to read, .* step of 200; .* pretrain\.batch_tokens"
    ):
        streams_of(lengths, batch_tokens=200, window_tokens=10)
    assert len(streams_of([lengths[0] + 1, *lengths[1:]], batch_tokens=200, window_tokens=10)) == 20


def test_too_little_text_to_pretrain_on_is_refused_before_anything_is_written(tmp_path):
    texts = counting(5)
    with pytest.raises(SettingsError, match=r"pretrain has 70 tokens to read, too few for a step of 200") as caught:
        pretrained(texts, texts, tmp_path / "run")
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_texts_are_read_whole_whatever_the_classifier_truncates(tmp_path):
    texts = counting(30)
    model = MODEL.model_copy(update={"max_tokens": 2})
    # Of two words each they would be too few for a step.
    pretrained(texts, texts[:5], tmp_path, model=model, train=changed(epochs=1))
    assert events(tmp_path, "epoch")[-1]["step"] == 2


def language_model(num_ids=12, *, num_streams=2, num_samples=5, dropout=0.0, **changes):
    torch.manual_seed(0)
    plain = {"embedding_dropout": 0.0, "output_dropout": 0.0}
    network = LSTMNetwork(MODEL.model_copy(update=plain | changes), num_tokens=num_ids, num_classes=2)
    torch.nn.init.normal_(network.embedding.weight)
    objective = LanguageModel(network, changed(num_samples=num_samples, dropout=dropout), num_streams=num_streams)
    torch.nn.init.normal_(objective.bias)
    return network, objective


def draw_all(objective):
    """Have an objective tell the true word apart from all others, each of which is sure to be drawn."""
    words = torch.arange(FIRST_WORD_ID, len(objective.bias))
    objective._sample = lambda device: (words, torch.zeros(len(words)))


def windows(*, width, num_ids=12, num_streams=2, num_directions=2, seed=0):
    """Return such windows of known words, int32 [D · B, T + 1]."""
    generator = torch.Generator().manual_seed(seed)
    shape = (num_directions * num_streams, width + 1)
    return torch.randint(FIRST_WORD_ID, num_ids, shape, dtype=torch.int32, generator=generator)


def step(network, objective, ids, *, number=0):
    """Return the loss of step `number` and the right ones, both of a mean window."""
    num_streams = objective.carried.shape[3]
    rows = torch.arange(num_streams) + number * num_streams
    loss, correct = objective(network, ids, torch.ones_like(ids, dtype=torch.bool), rows)
    return loss / num_streams, correct / num_streams


def full_softmax(network, objective, direction, ids):
    """Return the nats of each known word of ids [T] as the direction reads them, and whether it is the likeliest."""
    states = network.directions[direction].states(network.embedding(ids)[:, None])[:, 0]
    logits = objective.projections[direction](states) @ network.embedding.weight.t() + objective.bias
    log_probabilities = logits[:, FIRST_WORD_ID:].log_softmax(1)
    losses, right = [], []
    for position in range(len(ids) - 1):
        target = int(ids[position + 1]) - FIRST_WORD_ID
        if target >= 0:
            losses.append(-log_probabilities[position, target])
            right.append(int(log_probabilities[position].argmax()) == target)
    return losses, right


def mean_full_softmax(network, objective, ids):
    """Return the mean nats a word over windows [D · B, T + 1], and the share of likeliest words."""
    losses, right = [], []
    num_directions = len(network.directions)
    for direction, of_direction in enumerate(ids.chunk(num_directions)):
        scores = [full_softmax(network, objective, direction, window) for window in of_direction]
        losses.append(torch.stack([loss for window_losses, _ in scores for loss in window_losses]).mean())
        right.append(np.mean([hit for _, window_hits in scores for hit in window_hits]))
    return torch.stack(losses).mean().item(), np.mean(right)


BOTH = pytest.mark.parametrize("bidirectional", [True, False])


@BOTH
def test_with_every_word_drawn_the_loss_is_that_of_a_full_softmax_over_known_words(bidirectional):
    network, objective = language_model(bidirectional=bidirectional)
    draw_all(objective)
    ids = windows(width=7, num_directions=1 + bidirectional)
    ids[0, 3] = ids[1, 5] = ids[-1, 2] = PAD_ID
    ids[0, 6] = UNKNOWN_ID
    loss, correct = step(network, objective, ids)
    expected, right = mean_full_softmax(network, objective, ids)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert correct.item() == pytest.approx(right)


def test_the_loss_and_the_right_ones_are_those_of_a_mean_word_times_the_windows():
    network, objective = language_model(num_streams=3)
    draw_all(objective)
    ids = torch.full((6, 6), 5, dtype=torch.int32)
    rows = torch.arange(3)
    with torch.no_grad():
        objective.bias[5] = 50
    loss, correct = objective(network, ids, ids > 0, rows)
    assert correct.item() == 3
    assert loss.item() == pytest.approx(0, abs=1e-3)
    with torch.no_grad():
        objective.bias[5] = -50
    loss, correct = objective(network, ids, ids > 0, rows)
    assert correct.item() == 0
    assert 3 * 40 < loss.item() < 3 * 60


def test_boundaries_and_unknown_words_are_read_but_never_predicted():
    network, objective = language_model()
    draw_all(objective)
    ids = windows(width=7)
    ids[:, 3], ids[:, 5] = PAD_ID, UNKNOWN_ID
    loss, _ = step(network, objective, ids)
    (of_bias,) = torch.autograd.grad(loss, objective.bias, retain_graph=True)
    (of_embedding,) = torch.autograd.grad(loss, network.embedding.weight)
    assert (of_bias[:FIRST_WORD_ID] == 0).all() and (of_bias[FIRST_WORD_ID:] != 0).all()
    assert (of_embedding[[PAD_ID, UNKNOWN_ID]] != 0).all()
    assert step(network, objective, torch.full_like(ids, UNKNOWN_ID))[0].item() == 0
    assert step(network, objective, torch.full_like(ids, PAD_ID))[0].item() == 0


def test_unknown_words_do_not_become_the_answer_to_everything(tmp_path):
    """Half of the words are unknown; what is learned of the others shows all the same."""
    texts = [
        " ".join(f"{word} strange{number}x{position}" for position, word in enumerate(text.split()))
        for number, text in enumerate(counting(80))
    ]
    model = MODEL.model_copy(update={"min_count": 2})
    train = changed(epochs=10, max_learning_rate=0.05, dropout=0.0)
    pretrained(texts, texts[:20], tmp_path, model=model, train=train)
    assert events(tmp_path, "epoch")[-1]["validation_accuracy"] > 0.9


@BOTH
@pytest.mark.parametrize("num_layers", [1, 2])
def test_two_windows_in_turn_are_one_of_double_length(bidirectional, num_layers):
    network, objective = language_model(bidirectional=bidirectional, num_layers=num_layers)
    draw_all(objective)
    ids = windows(width=12, num_directions=1 + bidirectional)
    whole, right = step(network, objective, ids)
    after_whole = objective.carried.clone()
    halves = [step(network, objective, half, number=number) for number, half in enumerate((ids[:, :7], ids[:, 6:]))]
    torch.testing.assert_close(sum(loss for loss, _ in halves) / 2, whole)
    torch.testing.assert_close(sum(correct for _, correct in halves) / 2, right)
    torch.testing.assert_close(objective.carried, after_whole)
    alone, _ = step(network, objective, ids[:, 6:])
    assert abs(alone - halves[1][0]) > 1e-3, "the state makes a difference"


def test_gradients_end_where_a_window_begins():
    network, objective = language_model()
    draw_all(objective)
    step(network, objective, windows(width=5))
    assert not objective.carried.requires_grad
    before = objective.carried.clone()
    loss, _ = step(network, objective, windows(width=5, seed=1), number=1)
    loss.backward()  # the first window's graph is gone or out of reach
    assert not torch.equal(objective.carried, before)


def test_the_first_windows_of_an_epoch_are_read_from_zero():
    network, objective = language_model()
    draw_all(objective)
    first, second = windows(width=5), windows(width=5, seed=1)
    from_new, _ = step(network, objective, first)
    step(network, objective, second, number=1)
    assert (objective.carried != 0).any()
    assert torch.equal(step(network, objective, first)[0], from_new)
    assert not torch.equal(step(network, objective, first, number=2)[0], from_new)


def test_every_epoch_starts_from_zero_and_every_other_step_from_what_the_one_before_left(tmp_path, monkeypatch):
    starts, ends = [], []
    original = Direction.run

    def recording(direction, states, before):
        read, after = original(direction, states, before)
        if isinstance(before, torch.Tensor):
            starts.append(before.clone())
            ends.append(after.detach().clone())
        return read, after

    monkeypatch.setattr(Direction, "run", recording)
    texts = counting(80)
    pretrained(texts, texts[:5], tmp_path, model=MODEL.model_copy(update={"bidirectional": False}))
    assert len(starts) == 10
    for number, start in enumerate(starts):
        if number % 5 == 0:
            assert (start == 0).all()
        else:
            assert (start != 0).any()
            assert torch.equal(start, ends[number - 1])


def test_dropout_takes_the_same_units_of_a_window_throughout_and_acts_in_training_only():
    network, objective = language_model(dropout=0.5, bidirectional=False)
    draw_all(objective)
    seen = []
    for module in (network.directions[0].layers[0], objective.projections[0]):
        module.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    ids = windows(width=6, num_directions=1)
    step(network, objective, ids)
    for dropped in ((states == 0) for states in seen):
        assert dropped.shape == (6, 2, 8)
        assert (dropped == dropped[:1]).all()
        assert 0 < dropped.sum() < dropped.numel()
        assert not torch.equal(dropped[:, 0], dropped[:, 1])
    objective.eval()
    loss, _ = step(network, objective, ids)
    assert loss.item() == pytest.approx(mean_full_softmax(network, objective, ids)[0], rel=1e-5)


def test_the_classifiers_own_dropouts_have_no_part_in_it():
    ids = windows(width=6)
    dropouts = {"embedding_dropout": 0.9, "output_dropout": 0.9}
    losses = []
    for changes in ({}, dropouts):
        network, objective = language_model(**changes)
        draw_all(objective)
        losses.append(step(network.train(), objective, ids)[0])
    assert torch.equal(*losses)


def draws(objective, count):
    torch.manual_seed(0)
    return [objective._sample(CPU) for _ in range(count)]


def test_the_words_drawn_are_known_ones_and_distinct():
    _, objective = language_model(50, num_samples=20)
    for words, log_odds in draws(objective, 100):
        assert len(words) == len(log_odds) == 20
        assert len(set(words.tolist())) == 20
        assert set(words.tolist()) <= set(range(FIRST_WORD_ID, 50))
        assert (log_odds <= 0).all() and log_odds.isfinite().all()


def test_frequent_words_which_have_low_ids_are_drawn_more_often():
    _, objective = language_model(12, num_samples=3)
    counts = torch.bincount(torch.cat([words for words, _ in draws(objective, 4_000)]), minlength=12)
    # Neighbours far enough apart for chance to be no explanation.
    assert (counts[FIRST_WORD_ID::3].diff() < 0).all()


@pytest.mark.parametrize("num_samples", [1, 3, 9, 1_000])
def test_a_sum_over_words_drawn_each_divided_by_its_odds_is_on_average_that_over_all(num_samples):
    _, objective = language_model(12, num_samples=num_samples)
    assert objective.num_samples == min(num_samples, 9), "one word is left out, whose time sets the odds of the others"
    count = 8_000
    contributions = torch.zeros(count, 12)
    for row, (words, log_odds) in zip(contributions, draws(objective, count), strict=True):
        row[words] = torch.exp(-log_odds)
    assert (contributions[:, :FIRST_WORD_ID] == 0).all()
    logits = torch.randn(12, generator=torch.Generator().manual_seed(1))
    sums = contributions @ logits.exp()
    everything = logits[FIRST_WORD_ID:].exp().sum()
    standard_error = sums.std() / math.sqrt(count)
    assert standard_error < 0.05 * everything
    assert abs(sums.mean() - everything) < 4 * standard_error
    errors = contributions[:, FIRST_WORD_ID:].std(0) / math.sqrt(count)
    assert (abs(contributions[:, FIRST_WORD_ID:].mean(0) - 1) < 4.5 * errors).all(), "of each word by itself"


@pytest.mark.parametrize("num_samples", [1, 4])
def test_the_loss_of_a_word_told_apart_from_few_is_on_average_that_of_telling_it_apart_from_all(num_samples):
    network, objective = language_model(12, num_samples=num_samples, num_streams=1, bidirectional=False)
    ids = windows(width=1, num_streams=1, num_directions=1)
    torch.manual_seed(0)
    with torch.no_grad():
        # Of one word, the exponential of the loss is the sum over all words that the drawn ones estimate.
        sums = torch.stack([step(network, objective, ids)[0] for _ in range(3_000)]).exp()
        expected = math.exp(mean_full_softmax(network, objective, ids)[0])
    standard_error = sums.std().item() / math.sqrt(len(sums))
    assert standard_error < 0.1 * expected
    assert abs(sums.mean().item() - expected) < 4 * standard_error


def test_odds_are_taken_out_of_the_words_drawn_and_not_of_the_true_one():
    network, objective = language_model(12, num_streams=1, bidirectional=False)
    ids = windows(width=1, num_streams=1, num_directions=1)
    words = torch.arange(FIRST_WORD_ID, 12)
    log_odds = -3 * torch.rand(len(words))
    objective._sample = lambda device: (words, log_odds)
    loss, _ = step(network, objective, ids)
    with torch.no_grad():
        others = words != ids[0, 1]
        objective.bias[words[others]] -= log_odds[others]
    assert loss.item() == pytest.approx(mean_full_softmax(network, objective, ids)[0], rel=1e-5)


@BOTH
def test_with_all_words_but_one_drawn_the_loss_is_almost_that_of_a_full_softmax(bidirectional):
    network, objective = language_model(200, num_samples=1_000, bidirectional=bidirectional)
    ids = windows(width=20, num_ids=200, num_directions=1 + bidirectional)
    torch.manual_seed(0)
    with torch.no_grad():
        losses = torch.stack([step(network, objective, ids)[0] for _ in range(50)])
    expected, _ = mean_full_softmax(network, objective, ids)
    assert losses.mean().item() == pytest.approx(expected, rel=0.01)


def test_the_true_word_counts_once_whether_it_is_drawn_or_not():
    network, objective = language_model(bidirectional=False, num_streams=1)
    ids = windows(width=1, num_directions=1, num_streams=1)
    words = torch.arange(FIRST_WORD_ID, 12)
    for drawn in (words, words[words != ids[0, 1]]):
        objective._sample = lambda device, drawn=drawn: (drawn, torch.zeros(len(drawn)))
        loss, _ = step(network, objective, ids)
        assert loss.item() == pytest.approx(mean_full_softmax(network, objective, ids)[0], rel=1e-5)


def test_validation_scores_every_known_word_at_every_place_of_texts_read_from_their_start():
    network, objective = language_model(20)
    step(network, objective, windows(width=5))
    carried = objective.carried.clone()
    encoded = encoded_texts([7, 4])
    encoded.ids[9] = UNKNOWN_ID
    with Interruption() as interruption:
        validated = HeldOut(Corpus(encoded, CPU), objective).validate(network, torch.float32, interruption)
    scores = []
    for text in (torch.from_numpy(encoded.ids[:7]), torch.from_numpy(encoded.ids[7:])):
        whole = torch.ones(1, len(text), dtype=torch.bool)
        for direction, in_order in enumerate((text, reverse(text[None], whole)[0])):
            scores.append(full_softmax(network, objective, direction, in_order))
    losses = torch.stack([loss for of_text, _ in scores for loss in of_text])
    assert len(losses) == 2 * (6 + 3) - 2, "the unknown word is nobody's target"
    assert validated[0].item() == pytest.approx(losses.sum().item(), rel=1e-5)
    assert validated[1] == sum(hit for _, of_text in scores for hit in of_text)
    assert validated[2] == len(losses)
    assert torch.equal(objective.carried, carried), "and the streams' states are left as they were"


@BOTH
@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_step_never_waits_for_the_device(bidirectional, num_layers):
    """Fake tensors have no values: whatever asks for one on the host, as a wait for a GPU would, raises."""
    model = MODEL.model_copy(update={"bidirectional": bidirectional, "num_layers": num_layers})
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        num_directions = 1 + bidirectional
        streams = streams_of(LENGTHS, batch_tokens=10, window_tokens=5, num_directions=num_directions)
        network = LSTMNetwork(model, num_tokens=60, num_classes=2)
        objective = LanguageModel(network, PRETRAIN, num_streams=2)
        optimizer = make_optimizer(PRETRAIN, network, objective)
        for number in range(2):
            rows = mode.from_tensor(torch.tensor([0, 1]) + 2 * number)
            batch = (*streams.batch(rows, 5), rows)
            sums = loop.train_step(
                loop.Minimized(network, objective), optimizer, batch, PRETRAIN, torch.bfloat16, usual_size=2.0
            )
            assert sums.shape == (3,)
        with pytest.raises(Exception, match="_local_scalar_dense"):
            sums[0].item()


def test_a_model_that_is_no_lstm_is_refused_in_one_line(tmp_path):
    transformer = object.__new__(TransformerModel)
    transformer.settings = TransformerModel.Settings()
    with pytest.raises(SettingsError, match="pretrain is for kind lstm, not transformer; leave the table out"):
        pretrain.pretrain(transformer, PRETRAIN, [], [], context=run_in(tmp_path))


@pytest.mark.parametrize("kind", ["bow", "transformer"])
def test_a_recipe_that_pretrains_another_kind_is_refused_in_one_line(kind):
    table = {"epochs": 1, "max_learning_rate": 0.01}
    values = {"kind": kind, "pretrain": table} | ({"train": table} if kind == "transformer" else {})
    with pytest.raises(SettingsError, match=r'^recipe\.toml: models\.x: pretrain is for kind = "lstm"; leave it out$'):
        model_recipe("x", values, source="recipe.toml")
    recipe = model_recipe("x", values | {"kind": "lstm", "train": table}, source="recipe.toml")
    assert recipe.pretrain.num_samples == 1_024


def with_unlabelled(splits, table):
    """Return splits with such unlabelled reviews, in each of which two words are that no other has."""
    at = SCHEMA.get_field_index("text")
    texts = [f"{text} hitherto unheard" for text in table["text"].to_pylist()]
    return replace(splits, unlabelled=table.set_column(at, SCHEMA.field(at), [texts]))


def test_fit_pretrains_on_unlabelled_reviews_too_and_ends_in_a_classifier(splits, make_splits, tmp_path):
    splits = with_unlabelled(splits, make_splits(num_train=30).train)
    train = TrainSettings(epochs=6, max_learning_rate=0.03, batch_tokens=200, precision="fp32")
    result = fit_network(MODEL, train, splits, start=PRETRAIN, context=run_in(tmp_path / "model"))
    words = Counter(result.model.encoder.files()["vocabulary.txt"].decode().split())
    assert words["hitherto"] == words["unheard"] == 1
    assert result.provenance.validation_accuracy > 0.9
    predicted = result.model.predict_proba(splits.validation["text"].to_pylist()).argmax(1)
    assert (predicted == splits.validation["label"].to_numpy()).mean() == result.provenance.validation_accuracy
    assert len(events(tmp_path / "model" / "pretrain", "epoch")) == PRETRAIN.epochs
    assert len(events(tmp_path / "model", "epoch")) == train.epochs
    assert result.provenance.train_seconds > events(tmp_path / "model" / "pretrain", "epoch")[-1]["seconds"]


def test_a_language_model_by_itself_reads_unlabelled_reviews_and_reports_how_it_went(splits, make_splits, tmp_path):
    splits = with_unlabelled(splits, make_splits(num_train=30).train)
    trained = fit_language_model(MODEL, splits, PRETRAIN, title="words", context=run_in(tmp_path))
    model, figures = trained.model, trained.provenance.language_model
    words = Counter(model.encoder.files()["vocabulary.txt"].decode().split())
    assert words["hitherto"] == words["unheard"] == 1
    validated = events(tmp_path, "epoch")
    assert (figures.accuracy, figures.perplexity) in [
        (event["validation_accuracy"], math.exp(event["validation_loss"])) for event in validated
    ]
    assert figures.accuracy == max(event["validation_accuracy"] for event in validated)
    assert trained.provenance.train_seconds > validated[-1]["seconds"]
    untrained = LSTMModel.create(MODEL, splits.labels, texts_of(splits), seed=0)
    assert torch.equal(model.network.classifier.weight, untrained.network.classifier.weight)
    assert not torch.equal(model.network.embedding.weight, untrained.network.embedding.weight)


def texts_of(splits):
    return splits.train["text"].to_pylist() + splits.unlabelled["text"].to_pylist()


def test_the_screen_names_the_model_whose_language_model_is_trained(splits, tmp_path):
    screen = io.StringIO()
    train = TrainSettings(epochs=1, max_learning_rate=0.03, batch_tokens=200, precision="fp32")
    console = Console(file=screen, width=160, force_terminal=True)
    context = replace(run_in(tmp_path / "small"), console=console)
    fit_network(MODEL, train, splits, context, start=changed(epochs=1))
    assert "small language model" in screen.getvalue()


@pytest.mark.parametrize("name", ["ema_decay", "compile"])
def test_training_settings_without_a_meaning_here_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is not for pretraining; leave it out"):
        changed(**{name: 0.5 if name != "compile" else True})


def test_a_window_longer_than_a_step_is_refused():
    with pytest.raises(ValueError, match="window_tokens = 64 is more than a step's batch_tokens = 63"):
        changed(batch_tokens=63, window_tokens=64)
    assert changed(batch_tokens=64, window_tokens=64).window_tokens == 64
