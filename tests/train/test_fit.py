import io
import json
import signal
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from rich.console import Console
from torch._subclasses.fake_tensor import FakeTensorMode

from plaudit.errors import SettingsError, TrainingError
from plaudit.models.corpus import Corpus
from plaudit.models.lstm.network import LSTMModel, LSTMNetwork, LSTMSettings
from plaudit.text.encoded import EncodedTexts
from plaudit.train import loop
from plaudit.train.context import TrainingContext
from plaudit.train.fit import fit_network, new_model
from plaudit.train.log import TrainingLog
from plaudit.train.objectives import LabelObjective
from plaudit.train.optimizer import make_optimizer
from plaudit.train.settings import ObjectiveSettings, TrainSettings
from plaudit.train.targets import Targets
from plaudit.train.validation import LabelledCorpus
from tests.train.conftest import PRECISIONS

MODEL = LSTMSettings(embedding_size=8, hidden_size=8, min_count=1, embedding_dropout=0.1, output_dropout=0.1)
TRAIN = TrainSettings(
    epochs=3,
    max_learning_rate=0.03,
    batch_tokens=200,
    ema_decay=0.9,
    precision="fp32",
    log_every_steps=3,
    checkpoint_every_steps=4,
)


def run(splits, run_dir, *, model=MODEL, train=TRAIN, seed=0, resume=False, console=None):
    console = console or Console(quiet=True)
    return fit_network(model, train, splits, TrainingContext(seed, run_dir, resume, console))


def changed(**changes):
    return TRAIN.model_copy(update=changes)


def with_labels(labels, network):
    targets = Targets(np.array(labels))
    return LabelObjective(ObjectiveSettings(), targets, network=network, device=torch.device("cpu"))


def events(run_dir, kind):
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def weights(result):
    return result.model.state().tensors


def assert_same_weights(first, second):
    for name, tensor in weights(first).items():
        np.testing.assert_array_equal(tensor, weights(second)[name], err_msg=name)


def test_training_learns(splits, tmp_path):
    result = run(splits, tmp_path, train=changed(epochs=8))
    assert result.provenance.validation_accuracy > 0.9
    assert result.provenance.train_seconds > 0
    predicted = result.model.predict_proba(splits.validation["text"].to_pylist()).argmax(1)
    assert (predicted == splits.validation["label"].to_numpy()).mean() == result.provenance.validation_accuracy


def test_metrics_hold_every_step_once_and_every_epoch_with_its_validation(splits, tmp_path):
    run(splits, tmp_path)
    steps, epochs = events(tmp_path, "step"), events(tmp_path, "epoch")
    assert [event["epoch"] for event in epochs] == [1, 2, 3]
    numbers = [event["step"] for event in steps]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == epochs[-1]["step"]
    assert {"validation_loss", "validation_accuracy", "train_loss", "train_accuracy"} < set(epochs[0])
    assert all(event["tokens_per_second"] > 0 and event["share_of_peak"] > 0 for event in steps + epochs)
    assert all(event["peak_memory_bytes"] > 10**6 for event in epochs)
    assert events(tmp_path, "epoch")[-1]["seconds"] == max(event["seconds"] for event in epochs)


def test_same_seed_same_weights_and_another_seed_others(splits, tmp_path):
    first = run(splits, tmp_path / "1")
    assert_same_weights(first, run(splits, tmp_path / "2"))
    other = run(splits, tmp_path / "3", seed=1)
    assert not np.array_equal(weights(first)["classifier.weight"], weights(other)["classifier.weight"])


@pytest.mark.parametrize("steps", [1, 4, 6, 11, 17])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_resume_matches_uninterrupted_run(splits, tmp_path, killed_after, steps, precision):
    train = changed(precision=precision)
    whole = run(splits, tmp_path / "whole", train=train)
    with killed_after(steps):
        run(splits, tmp_path / "killed", train=train)
    resumed = run(splits, tmp_path / "killed", train=train, resume=True)
    assert_same_weights(whole, resumed)
    assert resumed.provenance.validation_accuracy == whole.provenance.validation_accuracy
    for kind in ("step", "epoch"):
        for expected, event in zip(events(tmp_path / "whole", kind), events(tmp_path / "killed", kind), strict=True):
            for name in ("step", "epoch", "train_loss", "train_accuracy", "learning_rate"):
                assert event[name] == expected[name]


def test_resuming_a_finished_run_gives_its_result_again(splits, tmp_path):
    finished = run(splits, tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text()
    again = run(splits, tmp_path, resume=True)
    assert_same_weights(finished, again)
    assert again.provenance.validation_accuracy == finished.provenance.validation_accuracy
    assert (tmp_path / "metrics.jsonl").read_text() == lines


def test_a_run_without_resume_starts_over(splits, tmp_path):
    run(splits, tmp_path)
    num_events = len(events(tmp_path, "step"))
    run(splits, tmp_path, seed=3)
    assert len(events(tmp_path, "step")) == pytest.approx(num_events, abs=2)


def test_a_new_run_that_is_killed_early_does_not_take_up_the_old_one(splits, tmp_path, killed_after):
    run(splits, tmp_path)
    with killed_after(0):
        run(splits, tmp_path)
    run(splits, tmp_path, resume=True)
    assert events(tmp_path, "step")[0]["step"] == TRAIN.log_every_steps


def test_resume_with_other_settings_seed_or_data_is_refused(splits, make_splits, tmp_path):
    run(splits, tmp_path)
    with pytest.raises(SettingsError, match=r"train\.epochs \(3, now 5\)"):
        run(splits, tmp_path, train=changed(epochs=5), resume=True)
    with pytest.raises(SettingsError, match=r"model\.embedding_dropout \(0\.1, now 0\.2\)"):
        run(splits, tmp_path, model=MODEL.model_copy(update={"embedding_dropout": 0.2}), resume=True)
    with pytest.raises(SettingsError, match=r"another seed \(0, now 1\)"):
        run(splits, tmp_path, seed=1, resume=True)
    with pytest.raises(SettingsError, match="another train reviews"):
        run(make_splits(num_train=100), tmp_path, resume=True)


def test_ctrl_c_saves_and_the_run_can_go_on(splits, tmp_path, monkeypatch):
    whole = run(splits, tmp_path / "whole")
    original = loop.train_step

    def interrupted(*arguments, **named):
        signal.raise_signal(signal.SIGINT)
        return original(*arguments, **named)

    monkeypatch.setattr(loop, "train_step", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(TrainingError, match=r"interrupted in epoch 1 after step 1; .* continue with --resume"):
        run(splits, tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is handler
    monkeypatch.setattr(loop, "train_step", original)
    assert_same_weights(whole, run(splits, tmp_path / "run", resume=True))


def test_ctrl_c_during_validation_saves_too(splits, tmp_path, monkeypatch):
    whole = run(splits, tmp_path / "whole")
    original = LabelledCorpus.validate

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(LabelledCorpus, "validate", interrupted)
    with pytest.raises(TrainingError, match="interrupted in epoch 1"):
        run(splits, tmp_path / "run")
    monkeypatch.setattr(LabelledCorpus, "validate", original)
    assert_same_weights(whole, run(splits, tmp_path / "run", resume=True))
    assert len(events(tmp_path / "run", "epoch")) == 3


def test_a_loss_that_is_no_number_ends_the_run_with_advice(splits, tmp_path):
    with pytest.raises(TrainingError, match=r"the loss stopped being a number .* lower max_learning_rate"):
        run(splits, tmp_path, train=changed(max_learning_rate=1e38, warmup_fraction=0.0))
    assert not any("NaN" in line for line in (tmp_path / "metrics.jsonl").read_text().splitlines())


def test_early_stopping_keeps_the_best_epoch(splits, tmp_path):
    # A learning rate of almost nothing: no epoch is better than the first.
    result = run(splits, tmp_path, train=changed(epochs=9, patience=2, max_learning_rate=1e-9, ema_decay=0.0))
    validated = [event["validation_accuracy"] for event in events(tmp_path, "epoch")]
    assert len(validated) == 3
    assert result.provenance.validation_accuracy == max(validated) == validated[0]


def test_texts_without_words_do_not_crash(make_splits, tmp_path):
    splits = make_splits(num_train=6, num_validation=4)
    for name in ("train", "validation"):
        table = getattr(splits, name)
        empty = pa.array([""] * table.num_rows)
        splits = replace(splits, **{name: table.set_column(1, "text", empty)})
    assert run(splits, tmp_path).provenance.validation_accuracy == 0.5


def test_labels_of_more_than_two_classes(make_splits, tmp_path):
    splits = replace(make_splits(num_train=30, num_validation=10), labels=("bad", "middling", "good"))
    assert run(splits, tmp_path).model.predict_proba(["fine"]).shape == (1, 3)


def test_a_model_starts_with_the_words_embedding_and_layers_of_a_trained_one(splits, make_splits, tmp_path):
    others = [f"{text} hitherto unheard" for text in make_splits(num_train=30).train["text"].to_pylist()]
    start = LSTMModel.create(MODEL, ("a", "b", "c"), others, seed=7)
    splits = replace(splits, labels=("bad", "good"))
    settings = MODEL.model_copy(update={"pooling": ("mean",), "output_dropout": 0.3})
    context = TrainingContext(0, tmp_path, False, Console(quiet=True))
    model, seconds = new_model(settings, splits, ["other words"], start, context)
    assert seconds >= 0
    assert model.labels == ("bad", "good")
    assert model.settings.pooling == ("mean",)
    assert model.encoder.files() == start.encoder.files()
    before, after = start.state().tensors, model.state().tensors
    kept = {name for name in after if name in before and np.array_equal(before[name], after[name])}
    assert kept == {name for name in after if not name.startswith("classifier")}
    assert after["classifier.weight"].shape == (2, 16)
    result = fit_network(settings, TRAIN, splits, context, start=start)
    assert result.provenance.validation_accuracy > 0.6
    assert result.model.encoder.files() == start.encoder.files()
    for name, tensor in start.state().tensors.items():
        np.testing.assert_array_equal(tensor, before[name], err_msg="what it starts with is not trained itself")


def test_a_start_that_does_not_fit_is_refused_in_one_line(splits, tmp_path):
    start = LSTMModel.create(MODEL, splits.labels, ["some words"], seed=0)
    other = MODEL.model_copy(update={"hidden_size": 9})
    context = TrainingContext(0, tmp_path, False, Console(quiet=True))
    with pytest.raises(SettingsError, match=r"^hidden_size = 9: the pretrained model has 8; give the same$"):
        fit_network(other, TRAIN, splits, context, start=start)


def test_a_run_that_started_from_another_models_layers_cannot_be_resumed_from_a_thirds(splits, tmp_path):
    texts = splits.train["text"].to_pylist()
    first, second = (LSTMModel.create(MODEL, splits.labels, texts, seed=seed) for seed in (1, 2))
    new = TrainingContext(0, tmp_path, False, Console(quiet=True))
    whole = fit_network(MODEL, TRAIN, splits, new, start=first)
    assert_same_weights(whole, fit_network(MODEL, TRAIN, splits, replace(new, resume=True), start=first))
    with pytest.raises(SettingsError, match="starting weights"):
        fit_network(MODEL, TRAIN, splits, replace(new, resume=True), start=second)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there_is_refused(splits, tmp_path):
    with pytest.raises(SettingsError, match="this torch sees no CUDA device"):
        run(splits, tmp_path, train=changed(device="cuda"))


def test_the_screen_shows_accuracy_while_training(splits, tmp_path):
    screen = io.StringIO()
    run(splits, tmp_path, console=Console(file=screen, width=160, force_terminal=True))
    shown = screen.getvalue()
    assert "epoch 3/3: loss" in shown
    assert "% of peak)" in shown
    assert "validation" in shown


def test_tensorboard_receives_the_same_figures(splits, tmp_path):
    pytest.importorskip("tensorboard")
    run(splits, tmp_path, train=changed(tensorboard=True))
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


def test_a_step_never_waits_for_the_device():
    """Fake tensors have no values: whatever asks for one on the host, as a wait for a GPU would, raises."""
    settings = MODEL.model_copy(update={"pooling": ("max", "mean", "last", "attention")})
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        encoded = EncodedTexts(np.arange(1, 11, dtype=np.int32), np.array([0, 4, 10]))
        corpus = Corpus(encoded, torch.device("cpu"))
        network = LSTMNetwork(settings, num_tokens=20, num_classes=2)
        optimizer = make_optimizer(TRAIN, network)
        objective = with_labels([0, 1], network)
        rows = mode.from_tensor(torch.tensor([0, 1]))
        batch = (*corpus.batch(rows, 6), rows)
        sums = loop.train_step(
            loop.Minimized(network, objective), optimizer, batch, TRAIN, torch.bfloat16, usual_size=2.0
        )
        assert sums.shape == (3,)
        with pytest.raises(Exception, match="_local_scalar_dense"):
            sums[0].item()


def test_every_review_counts_the_same_whatever_the_size_of_its_batch():
    def gradient(num_copies):
        torch.manual_seed(0)
        settings = MODEL.model_copy(update={"embedding_dropout": 0.0, "output_dropout": 0.0})
        network = LSTMNetwork(settings, num_tokens=9, num_classes=2)
        sgd = torch.optim.SGD(network.parameters(), lr=1.0)
        ids = torch.tensor([[2, 3, 4]], dtype=torch.int32).repeat(num_copies, 1)
        before = network.classifier.bias.detach().clone()
        batch = (ids, ids > 0, torch.arange(num_copies))
        train = changed(gradient_clip=1e9)
        objective = with_labels([0] * num_copies, network)
        loop.train_step(loop.Minimized(network, objective), sgd, batch, train, torch.float32, usual_size=4.0)
        return before - network.classifier.bias.detach()

    torch.testing.assert_close(gradient(8), 8 * gradient(1))


def test_a_log_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match=r"metrics\.jsonl: not writable: .* choose another --out folder"):
        TrainingLog(
            tmp_path / "file" / "run",
            Console(quiet=True),
            title="x",
            epochs=1,
            tensorboard=False,
            keep_bytes=0,
            step=0,
        )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own, which change with its version
def test_a_compiled_network_learns_the_same(splits, tmp_path):
    # Without dropout, whose random numbers a compiled network draws in its own way.
    # Without attention, whose bias its softmax cancels: the gradient is rounding noise, which Adam makes steps of.
    changes = {"embedding_dropout": 0.0, "output_dropout": 0.0, "pooling": ("max", "mean")}
    model = MODEL.model_copy(update=changes)
    plain = run(splits, tmp_path / "plain", model=model)
    compiled = run(splits, tmp_path / "compiled", model=model, train=changed(compile=True))
    for name, tensor in weights(plain).items():
        np.testing.assert_allclose(tensor, weights(compiled)[name], atol=1e-3, err_msg=name)
