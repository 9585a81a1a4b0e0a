import json
import os
import shutil
import signal
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from rich.console import Console

from plaudit.compress.prune_lstm import GroupLasso
from plaudit.distributed import group
from plaudit.distributed.exchange.registry import EXCHANGES
from plaudit.distributed.stopwatch import Stopwatch
from plaudit.errors import SettingsError, TrainingError, TrainingInterruptedError
from plaudit.models.corpus import Corpus
from plaudit.models.lstm.network import LSTMModel
from plaudit.models.lstm.settings import LSTMSettings
from plaudit.pipeline import run as runs
from plaudit.pipeline.recipe import read_recipe
from plaudit.predictor import load
from plaudit.train import loop
from plaudit.train.checkpoint import load_checkpoint
from plaudit.train.context import TrainingContext
from plaudit.train.fit import label_trainer
from plaudit.train.identity import state_digest
from plaudit.train.interrupt import Interruption
from plaudit.train.labels import labels_of
from plaudit.train.language_model import HeldOut, LanguageModel
from plaudit.train.pretrain import pretrain
from plaudit.train.settings import ObjectiveSettings, PretrainSettings, TrainSettings
from plaudit.train.targets import Targets
from plaudit.train.validation import LabelledCorpus
from tests.conftest import toy_csv
from tests.distributed.conftest import in_ranks
from tests.train.conftest import Killed, splits_of
from tests.train.test_pretrain import PRETRAIN, counting, new_model

QUIET = Console(quiet=True)
# Without dropout, which ranks draw differently. Without attention, whose bias changes nothing and so has a gradient of
# rounding noise, of which Adam makes steps.
MODEL = LSTMSettings(
    embedding_size=8, hidden_size=8, min_count=1, pooling=("max", "mean"), embedding_dropout=0.0, output_dropout=0.0
)
TRAIN = TrainSettings(
    epochs=2,
    max_learning_rate=0.03,
    batch_tokens=200,
    ema_decay=0.9,
    precision="fp32",
    log_every_steps=3,
    checkpoint_every_steps=5,
)
WITH_DROPOUT = MODEL.model_copy(update={"embedding_dropout": 0.1, "output_dropout": 0.1})
EXCHANGE = {"top-k": {"density": 0.05, "warmup_steps": 6}, "local": {"period": 3}}
"""Settings of exchanges whose defaults are for longer runs."""
NEAR = {"plain": 1e-5, "bf16": 0.01, "rows": 0.01}
"""How far a run ends from where it would have, had others not taken it up, as a share of the way that it goes. What
sends less than all remembers some, which another number of ranks cannot take up as it is."""


def exchange_of(kind):
    return {"exchange": {"kind": kind, **EXCHANGE.get(kind, {})}}


def train(folder, *, model=MODEL, num_train=61, losses=None, penalty=0.0, resume=False, **changes):
    """Train on so many reviews and validate on 41, in this process, among whatever others; return the weights."""
    splits = splits_of(num_train, 41)
    texts = splits.train["text"].to_pylist()
    network = LSTMModel.create(model, splits.labels, texts, seed=0)
    label_trainer(
        network,
        TrainSettings.model_validate(TRAIN.model_dump() | changes),
        texts,
        Targets(labels_of(splits.train)),
        splits.validation,
        TrainingContext(0, folder, resume, QUIET),
        objective=ObjectiveSettings(losses=losses or {"hard": 1.0}),
        penalty=GroupLasso(network, penalty) if penalty else None,
    ).run()
    return network.state().tensors


def train_among(world, folder, changes):
    return train(folder, **changes)


def events(folder, kind):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def assert_same_bits(first, second):
    for name, tensor in first.items():
        np.testing.assert_array_equal(tensor, second[name], err_msg=name)


def assert_close(first, second, tolerance):
    for name, tensor in first.items():
        np.testing.assert_allclose(tensor, second[name], rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize(
    ("size", "changes"),
    [
        (2, {}),
        (3, {"num_train": 20, "batch_tokens": 60}),
        (2, {"losses": {"hard": 0.7, "adversarial": 0.3}}),
        (2, {"penalty": 1e-3}),
    ],
    ids=["two ranks", "three ranks", "adversarial", "group lasso"],
)
def test_ranks_take_the_steps_of_one_process(tmp_path, monkeypatch, size, changes):
    sizes = []
    monkeypatch.setattr(loop, "rows_of_rank", lambda rows, world: sizes.append(len(rows)) or rows)
    changes = {"num_train": 121, "log_every_steps": 1} | changes
    alone = train(tmp_path / "alone", **changes)
    assert min(sizes) < size, "some batches hold fewer reviews than there are ranks"
    of_ranks = in_ranks(train_among, tmp_path / "ranks", changes, size=size)
    for kind, names in {
        "step": ["step", "epoch", "train_loss", "train_accuracy", "learning_rate"],
        "epoch": ["train_loss", "train_accuracy", "validation_loss", "validation_accuracy"],
    }.items():
        pairs = zip(events(tmp_path / "alone", kind), events(tmp_path / "ranks", kind), strict=True)
        for expected, found in pairs:
            assert {name: found[name] for name in names} == pytest.approx(
                {name: expected[name] for name in names}, rel=0, abs=1e-5
            )
    for weights in of_ranks:
        assert_close(alone, weights, 1e-5)


@contextmanager
def killed_after(steps):
    """Let training die when it has taken so many steps, as it must."""
    original, left = loop.train_step, iter(range(steps))

    def killing(*arguments, **named):
        if next(left, None) is None:
            raise Killed
        return original(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "train_step", killing)
        yield


def kill_and_resume(world, folder, changes):
    """Train without a break, and with one after the sixth step, of which the fifth is saved; return both weights."""
    whole = train(folder / "whole", **changes)
    with killed_after(6):
        train(folder / "killed", **changes)
    if world.is_first:
        for size in (1, 3):
            shutil.copytree(folder / "killed", folder / f"by {size}")
    world.sum_(torch.zeros(1))
    return {"whole": whole, "resumed": train(folder / "killed", resume=True, **changes)}


@pytest.fixture(scope="module", params=EXCHANGES)
def resumption(request, tmp_path_factory):
    """An exchange, a folder of runs by two ranks that use it, and the weights that each rank came to."""
    folder = tmp_path_factory.mktemp("resumption")
    return request.param, folder, in_ranks(kill_and_resume, folder, exchange_of(request.param))


def test_ranks_end_with_the_same_weights(resumption):
    _, _, (first, second) = resumption
    assert_same_bits(first["whole"], second["whole"])


def test_a_run_of_two_ranks_that_was_killed_and_resumed_ends_with_the_same_bits(resumption):
    _, folder, of_ranks = resumption
    for weights in of_ranks:
        assert_same_bits(weights["whole"], weights["resumed"])
    whole, resumed = events(folder / "whole", "step"), events(folder / "killed", "step")
    assert [event["train_loss"] for event in resumed] == [event["train_loss"] for event in whole]


@pytest.mark.parametrize("size", [1, 3])
def test_as_many_ranks_as_there_are_go_on_with_what_two_left(resumption, size):
    kind, folder, of_ranks = resumption
    changes = {"resume": True, **exchange_of(kind)}
    resumed_in = folder / f"by {size}"
    weights = [train(resumed_in, **changes)] if size == 1 else in_ranks(train_among, resumed_in, changes, size=size)
    for others in weights[1:]:
        assert_same_bits(weights[0], others)
    assert [event["step"] for event in events(resumed_in, "epoch")] == [8, 16]
    assert_ends_near(of_ranks[0]["whole"], weights[0], kind)


@pytest.mark.parametrize("kind", EXCHANGES)
def test_two_ranks_go_on_with_what_a_process_alone_left(kind, tmp_path):
    changes = exchange_of(kind)
    whole = train(tmp_path / "whole", **changes)
    with killed_after(6):
        train(tmp_path / "killed", **changes)
    first, second = in_ranks(train_among, tmp_path / "killed", {"resume": True, **changes})
    assert_same_bits(first, second)
    assert [event["step"] for event in events(tmp_path / "killed", "epoch")] == [8, 16]
    assert_ends_near(whole, first, kind)


def assert_ends_near(whole, resumed, kind):
    texts = splits_of(61, 41).train["text"].to_pylist()
    start = place_of(LSTMModel.create(MODEL, ("negative", "positive"), texts, seed=0).state().tensors)
    way, missed = place_of(whole) - start, place_of(resumed) - place_of(whole)
    assert np.linalg.norm(missed) < NEAR.get(kind, 0.7) * np.linalg.norm(way)


def place_of(weights):
    return np.concatenate([weights[name].ravel() for name in sorted(weights)])


def validated(world, folder, changes):
    """Train, and return what is known of the weights that are validated, by epoch."""
    digests = []
    original = LabelledCorpus.validate

    def recording(corpus, network, *others):
        arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
        digests.append(state_digest(arrays))
        return original(corpus, network, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LabelledCorpus, "validate", recording)
        train(folder, **changes)
    return digests


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_all_ranks_validate_the_same_weights_though_each_trained_by_itself(tmp_path, ema_decay):
    changes = {"model": WITH_DROPOUT, "ema_decay": ema_decay, **exchange_of("local")}
    first, second = in_ranks(validated, tmp_path, changes)
    assert len(first) == 2
    assert first == second


def train_in_a_folder_of_its_own(world, folder, changes):
    train(folder / str(world.rank), **changes)


def test_the_first_rank_alone_writes_and_its_metrics_say_where_time_and_bytes_went(tmp_path):
    pytest.importorskip("tensorboard")
    in_ranks(train_in_a_folder_of_its_own, tmp_path, {"tensorboard": True})
    assert [folder.name for folder in tmp_path.iterdir()] == ["0"]
    folder = tmp_path / "0"
    assert {path.name for path in folder.iterdir()} == {"metrics.jsonl", "checkpoint.pt", "tensorboard"}
    num_weights = sum(tensor.numel() for tensor in load_checkpoint(folder)["network"].values())
    steps = events(folder, "step")
    for event in steps:
        assert 0 <= event["wait_share"] <= 1
        assert 0 < event["exchange_share"] < 1
        assert event["bytes_sent"] > 4 * num_weights
    before = 0.0
    for event in events(folder, "epoch"):
        of_epoch = [step for step in steps if step["epoch"] == event["epoch"]]
        assert event["bytes_sent"] == sum(step["bytes_sent"] for step in of_epoch)
        seconds = [event[f"{name}_seconds"] for name in ("compute", "wait", "exchange")]
        assert all(len(of_ranks) == 2 for of_ranks in seconds)
        for of_rank in zip(*seconds, strict=True):
            assert 0 < sum(of_rank) <= event["seconds"] - before + 0.1
        assert event["wait_share"] == pytest.approx(sum(seconds[1]) / sum(map(sum, seconds)), abs=0.01)
        before = event["seconds"]


def test_a_process_alone_tells_nothing_of_others(tmp_path):
    train(tmp_path, epochs=1)
    for event in [*events(tmp_path, "step"), *events(tmp_path, "epoch")]:
        assert not {"wait_share", "exchange_share", "bytes_sent", "compute_seconds"} & set(event)


def train_slowly(world, folder):
    """Train by a clock that each rank's forward passes alone move on, by one second on the first and two on the second.

    What lies between two marks of the stopwatch then does not depend on the machine.
    """
    original, seconds = loop.Minimized.forward, [0.0]

    def timed(*arguments):
        seconds[0] += 1.0 + world.rank
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Minimized, "forward", timed)
        patch.setattr(Stopwatch, "_mark", lambda self: seconds[0])
        train(folder, epochs=1)


def test_a_slow_rank_is_seen_by_what_the_others_wait_for_it(tmp_path):
    in_ranks(train_slowly, tmp_path)
    (epoch,) = events(tmp_path, "epoch")
    num_steps = epoch["step"]
    assert epoch["compute_seconds"] == [num_steps, 2 * num_steps]
    assert epoch["wait_seconds"] == [num_steps, 0]


def stop_and_resume(world, folder, changes, number, step):
    """Train without a break, and with a signal to the second rank alone in a step; return weights and what was said."""
    whole = train(folder / "whole", **changes)
    original, taken = loop.train_step, []

    def signalled(*arguments, **named):
        taken.append(None)
        if world.rank == 1 and len(taken) == step:
            signal.raise_signal(number)
        return original(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(TrainingInterruptedError) as stop:
        patch.setattr(loop, "train_step", signalled)
        train(folder / "run", **changes)
    world.sum_(torch.zeros(1))
    saved = load_checkpoint(folder / "run")["position"]["step"]
    resumed = train(folder / "run", resume=True, **changes)
    return {"whole": whole, "resumed": resumed, "taken": len(taken), "saved": saved, "said": str(stop.value)}


# The loop hears of it when ranks next add up their losses: every third step, or where an epoch ends.
@pytest.mark.parametrize(("number", "step", "stops_after"), [(signal.SIGINT, 4, 6), (signal.SIGTERM, 3, 3)])
def test_a_signal_to_one_of_two_ranks_stops_both_at_the_same_step_with_all_of_it_saved(
    tmp_path, number, step, stops_after
):
    changes = {"model": WITH_DROPOUT, "log_every_steps": 3, "checkpoint_every_steps": 100}
    for rank in in_ranks(stop_and_resume, tmp_path, changes, number, step):
        assert (rank["taken"], rank["saved"]) == (stops_after, stops_after)
        assert f"interrupted in epoch 1 after step {stops_after}; " in rank["said"]
        assert_same_bits(rank["whole"], rank["resumed"])


def hang_in_a_step(world, folder):
    original, taken = loop.train_step, []

    def stopping(*arguments, **named):
        taken.append(None)
        if world.rank == 1 and len(taken) == 4:
            os.kill(os.getpid(), signal.SIGSTOP)
        return original(*arguments, **named)

    group._PATIENCE_S = 0.5
    loop.train_step = stopping
    train(folder)


def test_a_rank_that_hangs_in_a_step_ends_training_with_its_name_and_the_last_checkpoint_stays(tmp_path):
    (outcome,) = in_ranks(hang_in_a_step, tmp_path, lost=[1], seconds=30, PLAUDIT_PEER_TIMEOUT="3")
    assert isinstance(outcome, TrainingError)
    assert str(outcome) == "rank 1 did not answer in 3 s, or died; rank 0 gives up"
    assert [event["step"] for event in events(tmp_path, "step")] == [3]


def read_words(folder, *, resume=False, **changes):
    """Train a language model on texts in which each word decides the next; return its weights."""
    texts = counting(80)
    model = new_model(texts)
    settings = PretrainSettings.model_validate(PRETRAIN.model_dump() | {"weight_decay": 0.1} | changes)
    pretrain(model, settings, texts, texts[:9], TrainingContext(0, folder, resume, QUIET))
    return model.state().tensors


def read_among(world, folder, changes):
    return read_words(folder, **changes)


def stop_reading_and_go_on(world, folder):
    """Read without a break, and with one after the fourth of ten steps, where all is saved; return what is known."""
    whole = read_words(folder / "whole")
    kept, original = [], loop.train_step

    def keeping(minimized, *others, **named):
        sums = original(minimized, *others, **named)
        kept.append(minimized.module.objective.carried.clone())
        return sums

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train_step", keeping)
        with killed_after(4):
            read_words(folder / "killed")
    if world.is_first:
        shutil.copytree(folder / "killed", folder / "alone")
    world.sum_(torch.zeros(1))
    return {"whole": whole, "carried": kept[3], "resumed": read_words(folder / "killed", resume=True)}


@pytest.fixture(scope="module")
def reading(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading")
    return folder, in_ranks(stop_reading_and_go_on, folder)


def test_a_language_models_checkpoint_holds_the_states_of_all_streams(reading):
    folder, of_ranks = reading
    carried = load_checkpoint(folder / "alone")["objective"]["carried"]
    assert carried.shape == (2, 1, 2, 20, 8)
    assert (carried != 0).all()
    for rank, known in enumerate(of_ranks):
        read = (known["carried"] != 0).all(dim=(0, 1, 2, 4))
        assert int(read.sum()) == 10
        assert torch.equal(known["carried"][..., read, :], carried[..., read, :]), rank
        assert (known["carried"][..., ~read, :] == 0).all()


def test_language_models_of_two_ranks_resume_to_the_same_bits(reading):
    _, (first, second) = reading
    assert_same_bits(first["whole"], second["whole"])
    assert_same_bits(first["whole"], first["resumed"])


def test_a_process_alone_reads_on_where_two_ranks_stopped(reading):
    folder, _ = reading
    read_words(folder / "alone", resume=True)
    whole, resumed = events(folder / "whole", "epoch"), events(folder / "alone", "epoch")
    assert [event["step"] for event in resumed] == [5, 10]
    assert resumed[-1]["validation_loss"] == pytest.approx(whole[-1]["validation_loss"], abs=0.1)


def test_the_validation_loss_of_a_language_model_is_that_of_all_held_out_texts(reading):
    folder, _ = reading
    texts = counting(80)
    model, content = new_model(texts), load_checkpoint(folder / "whole")
    model.network.load_state_dict(content["network"])
    objective = LanguageModel(model.network, PRETRAIN, num_streams=20)
    objective.load_state_dict(content["objective"])
    held_out = HeldOut(Corpus(model.encode(texts[:9]), torch.device("cpu")), objective)
    nats, right, num_words = held_out.validate(model.network, torch.float32, Interruption()).tolist()
    last = events(folder / "whole", "epoch")[-1]
    assert last["validation_loss"] == pytest.approx(nats / num_words, rel=1e-5)
    assert last["validation_accuracy"] == right / num_words


def test_what_a_language_model_does_not_use_stays_as_it_was_among_ranks_too(reading):
    _, of_ranks = reading
    before = new_model(counting(80)).state().tensors
    unused = [name for name in before if "classifier" in name or "attention" in name]
    assert len(unused) == 6
    for name in unused:
        np.testing.assert_array_equal(of_ranks[0]["whole"][name], before[name], err_msg=name)


def test_fewer_streams_than_ranks_are_refused_in_one_line(tmp_path):
    changes = {"batch_tokens": 25, "window_tokens": 10}
    for outcome in in_ranks(read_among, tmp_path, changes, size=3):
        assert isinstance(outcome, SettingsError)
        assert str(outcome) == "3 ranks have 2 streams to read; raise pretrain.batch_tokens to 30 or more"
    assert list(tmp_path.iterdir()) == []


RECIPE = """
[data]
name = {data}

[models.bow]
kind = "bow"
min_count = 2
slot_bits = 16

[models.lstm]
kind = "lstm"
embedding_size = 8
hidden_size = 8

[models.lstm.train]
epochs = 2
max_learning_rate = 0.03
"""


def make_all(world, recipe, out):
    written = []
    original = runs.save_trained

    def saving(trained, folder, *rest):
        written.append(folder.name)
        original(trained, folder, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "save_trained", saving)
        for _ in range(2):
            runs.train(read_recipe(recipe, ()), out, resume=True, console=QUIET)
    return written


def test_ranks_make_a_recipes_models_together_or_wait_for_the_first_one(tmp_path):
    recipe = tmp_path / "toy.toml"
    recipe.write_text(RECIPE.format(data=json.dumps(str(toy_csv(tmp_path / "reviews.csv")))))
    assert in_ranks(make_all, recipe, tmp_path / "out") == [["bow", "lstm"], []]
    assert load(tmp_path / "out" / "models" / "lstm").predict(["a lovely film"])
    assert len(events(tmp_path / "out" / "training" / "lstm", "epoch")) == 2
