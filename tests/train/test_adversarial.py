from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from rich.console import Console
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from plaudit.data.table import SCHEMA
from plaudit.errors import SettingsError
from plaudit.models.corpus import Corpus
from plaudit.models.lstm.network import LSTMNetwork, LSTMSettings
from plaudit.text.encoded import EncodedTexts
from plaudit.train import loop
from plaudit.train.adversarial import divergence, most_diverging_change, random_change, worst_change
from plaudit.train.context import TrainingContext
from plaudit.train.fit import fit_network
from plaudit.train.objectives import LabelObjective
from plaudit.train.optimizer import make_optimizer
from plaudit.train.settings import PERTURBING, ObjectiveSettings, TrainSettings
from plaudit.train.targets import UNLABELLED, Targets
from tests.train.conftest import PRECISIONS

CPU = torch.device("cpu")
MODEL = LSTMSettings(embedding_size=8, hidden_size=8, min_count=1, embedding_dropout=0.0, output_dropout=0.0)
TRAIN = TrainSettings(epochs=6, max_learning_rate=0.03, batch_tokens=200, precision="fp32")
LABELS = torch.tensor([0, 1, 1, 0])
EPSILON = 0.5
LARGE_EPSILON = 5.0
"""Divergences, even under noise, are then over 1e-3: float32 rounds them to about 1e-6, at EPSILON a tenth of some."""


@pytest.fixture(params=[True, False], ids=["two-directions", "one-direction"])
def network(request):
    return network_of(bidirectional=request.param)


def network_of(*, num_classes=2, **changes):
    torch.manual_seed(0)
    network = LSTMNetwork(MODEL.model_copy(update=changes), num_tokens=20, num_classes=num_classes)
    # Weights that say more than freshly drawn ones.
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.5)
    return network


def some_texts(*, width=9):
    """Four texts of equal length, so that no vector is that of padding."""
    ids = torch.randint(2, 20, (4, width), dtype=torch.int32, generator=torch.Generator().manual_seed(1))
    return ids, torch.ones_like(ids, dtype=torch.bool)


class Reading:
    """What a network makes of texts, and of changes of their word vectors."""

    def __init__(self, network, *, ids=None, epsilon=EPSILON):
        self.ids, self.mask = some_texts() if ids is None else (ids, ids > 0)
        self.network, self.epsilon = network, epsilon
        self.word_vectors = network.word_vectors(self.ids, self.mask)
        self.logits = network.classify(network.encode(self.word_vectors, self.mask))

    def perturbed(self, changes):
        changed = [words + change for words, change in zip(self.word_vectors, changes, strict=True)]
        return self.network.classify(self.network.encode(changed, self.mask))

    def loss(self, logits):
        return functional.cross_entropy(logits, LABELS, reduction="sum")


CHANGES = {
    "worst": lambda reading: worst_change(reading, reading.loss(reading.logits)),
    "random": lambda reading: random_change(reading, reading.epsilon),
    "most diverging": most_diverging_change,
}


def norms_of(changes):
    """Return the norm of each text's change, over all words and directions."""
    return torch.stack([change.square().sum((0, 2)) for change in changes]).sum(0).sqrt()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_a_change_has_the_same_norm_for_every_text_that_follows_the_words_scale(network, change, scale):
    with torch.no_grad():
        network.embedding.weight.mul_(scale)
    reading = Reading(network)
    changes = CHANGES[change](reading)
    assert [each.shape for each in changes] == [words.shape for words in reading.word_vectors]
    root_mean_square = reading.word_vectors[0].square().mean().sqrt().item()
    assert norms_of(changes).tolist() == pytest.approx([EPSILON * root_mean_square] * 4, rel=1e-4)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_a_constant_and_making_it_leaves_no_gradient_behind(network, change):
    changes = CHANGES[change](Reading(network))
    assert all(each.grad_fn is None and not each.requires_grad for each in changes)
    assert all(weights.grad is None for weights in network.parameters())


def test_the_worst_change_raises_the_loss_more_than_any_random_one_of_the_same_norm(network):
    reading = Reading(network, epsilon=0.1)
    with torch.no_grad():
        before = functional.cross_entropy(reading.logits, LABELS, reduction="none")
    worst = CHANGES["worst"](reading)
    torch.manual_seed(0)
    with torch.no_grad():
        raised, lowered = (
            functional.cross_entropy(reading.perturbed(changes), LABELS, reduction="none") - before
            for changes in (worst, [-change for change in worst])
        )
        for _ in range(50):
            by_chance = reading.perturbed(random_change(reading, reading.epsilon))
            assert (functional.cross_entropy(by_chance, LABELS, reduction="none") - before < raised).all()
    assert (raised > 0).all()
    assert (lowered < 0).all()


def test_the_most_diverging_change_moves_predictions_more_than_any_random_one_of_the_same_norm(network):
    reading = Reading(network, epsilon=0.1)
    torch.manual_seed(0)
    most = most_diverging_change(reading)
    with torch.no_grad():
        moved = each_divergence(reading.logits, reading.perturbed(most))
        for _ in range(50):
            by_chance = reading.perturbed(random_change(reading, reading.epsilon))
            assert (each_divergence(reading.logits, by_chance) < moved).all()


def each_divergence(reference, logits):
    return torch.stack([divergence(*pair) for pair in zip(reference.split(1), logits.split(1), strict=True)])


def test_random_changes_differ_and_follow_the_seed(network):
    reading = Reading(network)

    def drawn(seed):
        torch.manual_seed(seed)
        return torch.cat(random_change(reading, 1.0))

    assert torch.equal(drawn(0), drawn(0))
    assert abs(functional.cosine_similarity(drawn(0).flatten(), drawn(1).flatten(), dim=0)) < 0.5


def test_padding_is_left_alone_by_the_changes_that_follow_a_gradient(network):
    ids, _ = some_texts()
    ids[1, 4:] = 0
    reading = Reading(network, ids=ids)
    for change in ("worst", "most diverging"):
        for each in CHANGES[change](reading):
            assert (each[4:, 1] == 0).all()
            assert (each[:4, 1] != 0).any()


def test_divergence_is_that_of_the_softmaxes_and_nothing_between_equal_ones():
    reference = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]).log()
    logits = torch.tensor([[0.125, 0.125, 0.75], [0.1, 0.8, 0.1]]).log() + 3
    expected = 0.5 * np.log(4) + 0.25 * np.log(2) - 0.25 * np.log(3)
    assert divergence(reference, logits).item() == pytest.approx(expected, rel=1e-5)
    assert divergence(reference, reference - 7).item() == pytest.approx(0, abs=1e-6)


def loss_of(name, network, *, labels=LABELS, seed=0, **settings):
    """Return the loss of the four texts."""
    objective = objective_of(network, {name: 1.0}, labels=labels, **settings)
    torch.manual_seed(seed)
    return objective(network, *some_texts(), torch.arange(4))[0]


def objective_of(network, losses, *, labels=LABELS, epsilon=EPSILON):
    settings = ObjectiveSettings(losses=losses, epsilon=epsilon)
    return LabelObjective(settings, Targets(np.asarray(labels)), network=network, device=CPU)


def gradients(loss, network):
    return torch.autograd.grad(loss, list(network.parameters()))


def test_adversarial_is_the_loss_at_the_worst_change_and_its_gradient_takes_that_for_given(network):
    reading = Reading(network)
    expected = reading.loss(reading.perturbed(CHANGES["worst"](reading)))
    loss = loss_of("adversarial", network)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert loss > reading.loss(reading.logits)
    for of_loss, of_expected in zip(gradients(loss, network), gradients(expected, network), strict=True):
        torch.testing.assert_close(of_loss, of_expected)
        assert (of_loss != 0).any(), "every weight learns of it"


def test_virtual_adversarial_and_noise_are_divergences_from_what_is_said_of_unchanged_words(network):
    for name, change in (("virtual-adversarial", most_diverging_change), ("noise", CHANGES["random"])):
        reading = Reading(network, epsilon=LARGE_EPSILON)
        torch.manual_seed(0)
        changes = change(reading)
        # The unchanged prediction is a goal, not something to be moved.
        expected = divergence(reading.logits.detach(), reading.perturbed(changes))
        loss = loss_of(name, network, epsilon=LARGE_EPSILON)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-3)
        for of_loss, of_expected in zip(gradients(loss, network), gradients(expected, network), strict=True):
            torch.testing.assert_close(of_loss, of_expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", sorted(PERTURBING))
def test_offsets_count_in_losses_that_perturb(network, name):
    offset = torch.tensor([-0.4, 0.7])
    settings = ObjectiveSettings(losses={name: 1.0}, epsilon=LARGE_EPSILON)
    targets = Targets(LABELS.numpy(), logit_offsets=offset.expand(4, 2).numpy())
    joined = LabelObjective(settings, targets, network=network, device=CPU)
    torch.manual_seed(0)
    loss, _ = joined(network, *some_texts(), torch.arange(4))
    assert loss.item() != pytest.approx(loss_of(name, network, epsilon=LARGE_EPSILON).item(), rel=1e-2)
    with torch.no_grad():
        network.classifier.bias += offset
    assert loss.item() == pytest.approx(loss_of(name, network, epsilon=LARGE_EPSILON).item(), rel=1e-3)


@pytest.mark.parametrize("name", ["virtual-adversarial", "noise"])
def test_what_does_not_move_predictions_costs_nothing_and_what_does_costs_something(network, name):
    small, large = (loss_of(name, network, epsilon=epsilon) for epsilon in (2.0, 5.0))
    assert 5e-4 < small < large / 2
    with torch.no_grad():
        network.classifier.weight.zero_()  # it says the same of everything it reads
    assert loss_of(name, network, epsilon=5.0).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["virtual-adversarial", "noise", "entropy"])
def test_what_needs_no_labels_is_the_same_whatever_they_are(network, name):
    loss = loss_of(name, network, epsilon=5.0)
    assert loss > 1e-3
    for labels in (1 - LABELS, torch.full((4,), UNLABELLED)):
        assert torch.equal(loss_of(name, network, epsilon=5.0, labels=labels), loss)


def test_adversarial_learns_nothing_of_a_text_without_a_label(network):
    ids, mask = some_texts()
    labels = LABELS.clone()
    labels[1:] = UNLABELLED
    # Beside a loss that needs no label, or they would be refused.
    objective = objective_of(network, {"adversarial": 1.0, "entropy": 1e-12}, labels=labels)
    alone = objective_of(network, {"adversarial": 1.0}, labels=labels[:1])
    of_all, of_labelled, of_others = (
        by(network, ids[rows], mask[rows], rows)[0]
        for by, rows in ((objective, torch.arange(4)), (alone, torch.tensor([0])), (objective, torch.tensor([1, 2])))
    )
    # Not quite the same: the scale of a change is that of all words of a batch.
    assert of_all.item() == pytest.approx(of_labelled.item(), rel=0.1)
    assert of_others.item() == pytest.approx(0, abs=1e-9)
    assert all((gradient.abs() < 1e-9).all() for gradient in gradients(of_others, network))


@pytest.mark.parametrize("name", sorted(PERTURBING))
def test_a_mixture_adds_a_loss_that_perturbs_by_its_weight(network, name):
    torch.manual_seed(0)
    loss, correct = objective_of(network, {"hard": 0.5, name: 2.0})(network, *some_texts(), torch.arange(4))
    expected = 0.5 * loss_of("hard", network) + 2 * loss_of(name, network)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert correct == (network(*some_texts()).argmax(1) == LABELS).sum()


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_way_by_word_vectors_says_what_the_network_says(num_classes):
    network = network_of(num_classes=num_classes)
    ids, _ = some_texts()
    ids[2, 5:] = 0
    torch.testing.assert_close(Reading(network, ids=ids).logits, network(ids, ids > 0))


def test_a_loss_that_perturbs_goes_with_one_that_matches_features(network):
    generator = np.random.default_rng(0)
    targets = Targets(
        LABELS.numpy(),
        generator.normal(0, 1, (4, 2)).astype(np.float32),
        generator.normal(0, 1, (4, 6)).astype(np.float32),
    )
    rows = torch.arange(4)

    def loss_of_both(losses):
        objective = LabelObjective(ObjectiveSettings(losses=losses), targets, network=network, device=CPU)
        return objective(network, *some_texts(), rows)[0].item()

    both = loss_of_both({"feature": 1.0, "adversarial": 1.0})
    assert both == pytest.approx(loss_of_both({"feature": 1.0}) + loss_of_both({"adversarial": 1.0}), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_never_waits_for_the_device(dtype):
    """Fake tensors have no values: whatever asks for one on the host, as a wait for a GPU would, raises."""
    losses = {"hard": 1.0, "entropy": 1.0, **dict.fromkeys(PERTURBING, 1.0)}
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        corpus = Corpus(EncodedTexts(np.arange(1, 11, dtype=np.int32), np.array([0, 4, 10])), CPU)
        network = LSTMNetwork(MODEL, num_tokens=20, num_classes=2)
        objective = objective_of(network, losses, labels=[0, UNLABELLED])
        optimizer = make_optimizer(TRAIN, network)
        rows = mode.from_tensor(torch.tensor([0, 1]))
        batch = (*corpus.batch(rows, 6), rows)
        sums = loop.train_step(loop.Minimized(network, objective), optimizer, batch, TRAIN, dtype, usual_size=2.0)
        with pytest.raises(Exception, match="_local_scalar_dense"):
            sums[0].item()


def with_unlabelled(splits, num_unlabelled):
    """Return splits with the first reviews of train as unlabelled ones too."""
    at = SCHEMA.get_field_index("label")
    table = splits.train.slice(0, num_unlabelled)
    return replace(splits, unlabelled=table.set_column(at, SCHEMA.field(at), pa.nulls(num_unlabelled, pa.int8())))


def run_in(folder, *, seed=0, resume=False):
    return TrainingContext(seed, folder, resume, Console(quiet=True))


def weights(result):
    return result.model.state().tensors


STEADY = ObjectiveSettings(losses={"hard": 1.0, "virtual-adversarial": 5.0}, epsilon=5.0)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_lstm_learns_by_hard_labels_and_steadiness_of_unlabelled_reviews_too(
    splits, tmp_path, monkeypatch, precision
):
    read = []
    original = LabelObjective.forward

    def recording(objective, network, ids, mask, rows):
        read.append(rows)
        return original(objective, network, ids, mask, rows)

    monkeypatch.setattr(LabelObjective, "forward", recording)
    splits = with_unlabelled(splits, 60)
    train = TRAIN.model_copy(update={"precision": precision})
    result = fit_network(MODEL, train, splits, objective=STEADY, context=run_in(tmp_path / "steady"))
    assert result.provenance.validation_accuracy > 0.9
    assert sorted(torch.cat(read).tolist()) == sorted([*range(180)] * train.epochs)
    read.clear()
    fit_network(MODEL, train, splits, objective=ObjectiveSettings(), context=run_in(tmp_path / "hard"))
    assert sorted(torch.cat(read).tolist()) == sorted([*range(120)] * train.epochs), "labels alone take no others"


def test_steadiness_makes_an_lstm_less_easily_moved(splits, tmp_path):
    def moved(name, objective):
        result = fit_network(MODEL, TRAIN, splits, objective=objective, context=run_in(tmp_path / name))
        network = result.model.network
        encoded = result.model.encode(splits.validation["text"].to_pylist())
        ids, mask = Corpus(encoded, CPU).batch(torch.arange(40), int(encoded.lengths.max()))
        targets = Targets(np.full(40, UNLABELLED))
        settings = ObjectiveSettings(losses={"virtual-adversarial": 1.0}, epsilon=5.0)
        measured = LabelObjective(settings, targets, network=network, device=CPU)
        torch.manual_seed(0)
        return measured(network, ids, mask, torch.arange(40))[0].item()

    assert moved("steady", STEADY) < 0.5 * moved("hard", ObjectiveSettings())


def test_a_run_that_draws_changes_resumes_as_if_it_had_not_been_killed(splits, tmp_path, killed_after):
    splits = with_unlabelled(splits, 30)
    objective = ObjectiveSettings(losses={"hard": 1.0, "virtual-adversarial": 1.0, "noise": 1.0, "adversarial": 0.5})
    train = TRAIN.model_copy(update={"epochs": 2, "checkpoint_every_steps": 4})
    whole = fit_network(MODEL, train, splits, objective=objective, context=run_in(tmp_path / "whole"))
    with killed_after(6):
        fit_network(MODEL, train, splits, objective=objective, context=run_in(tmp_path / "killed"))
    resumed = fit_network(MODEL, train, splits, objective=objective, context=run_in(tmp_path / "killed", resume=True))
    for name, tensor in weights(whole).items():
        np.testing.assert_array_equal(tensor, weights(resumed)[name], err_msg=name)
    with pytest.raises(SettingsError, match=r"objective\.epsilon \(5\.0, now 4\.0\)"):
        other = objective.model_copy(update={"epsilon": 4.0})
        fit_network(MODEL, train, splits, objective=other, context=run_in(tmp_path / "killed", resume=True))


@pytest.mark.parametrize("name", sorted(PERTURBING))
def test_a_compiled_network_is_refused_in_one_line(splits, tmp_path, name):
    train = TRAIN.model_copy(update={"compile": True})
    objective = ObjectiveSettings(losses={name: 1.0})
    with pytest.raises(SettingsError, match=r"^train\.compile cannot be used with losses that perturb; leave it out$"):
        fit_network(MODEL, train, splits, objective=objective, context=run_in(tmp_path))
