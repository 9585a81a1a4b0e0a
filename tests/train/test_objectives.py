from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from rich.console import Console

from plaudit.errors import SettingsError
from plaudit.models.lstm.network import LSTMNetwork, LSTMSettings
from plaudit.settings import parse
from plaudit.train.context import TrainingContext
from plaudit.train.fit import fit_network, label_trainer
from plaudit.train.objectives import LabelObjective
from plaudit.train.settings import LOSSES, PERTURBING, ObjectiveSettings, TrainSettings
from plaudit.train.targets import UNLABELLED, Targets

CPU = torch.device("cpu")
LABELS = np.array([2, UNLABELLED, 0, 1])
OF_LOGITS = [name for name in LOSSES if name not in PERTURBING]
"""Losses that can be told by what a network says; test_adversarial.py has those that change what it reads."""


@pytest.fixture
def student_logits():
    return np.random.default_rng(0).normal(0, 2, (4, 3)).astype(np.float32)


@pytest.fixture
def targets():
    generator = np.random.default_rng(1)
    return Targets(
        LABELS,
        teacher_logits=generator.normal(0, 2, (4, 3)).astype(np.float32),
        teacher_features=generator.normal(0, 1, (4, 6)).astype(np.float32),
    )


class Student(torch.nn.Module):
    """A network that says what it is told to, whatever it reads."""

    def __init__(self, logits, features=None):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.as_tensor(logits))
        self.read = torch.zeros(len(logits), 5) if features is None else torch.as_tensor(features)
        self.classifier = torch.nn.Linear(5, self.logits.shape[1])

    def forward(self, ids, mask):
        return self.classify(self.features(ids, mask))

    def features(self, ids, mask):
        return self.read

    def classify(self, features):
        return self.logits


def objective_of(targets, student, *, losses, temperature=2.0):
    settings = ObjectiveSettings(losses=losses, temperature=temperature)
    return LabelObjective(settings, targets, network=student, device=CPU)


def apply(targets, logits, *, rows=None, features=None, **settings):
    """Return the summed loss of the rows, the gradient of their logits and how many are right."""
    rows = torch.arange(len(logits)) if rows is None else torch.tensor(rows)
    student = Student(logits, features)
    objective = objective_of(targets, student, **settings)
    nothing = torch.zeros(len(rows), 1)
    loss, correct = objective(student, nothing, nothing > 0, rows)
    (gradient,) = torch.autograd.grad(loss, student.logits, allow_unused=True, materialize_grads=True)
    return loss.item(), gradient.numpy(), int(correct)


def apply_hard(targets, logits, **settings):
    """Return the same for hard: what it adds to kl, since by itself it is refused where a label is missing."""
    with_kl, kl = (
        apply(targets, logits, losses=losses, **settings) for losses in ({"hard": 1.0, "kl": 1.0}, {"kl": 1.0})
    )
    return with_kl[0] - kl[0], with_kl[1] - kl[1], with_kl[2]


def log_softmax(logits):
    logits = logits.astype(np.float64)
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def test_hard_is_the_cross_entropy_and_unlabelled_reviews_add_nothing(targets, student_logits):
    loss, gradient, _ = apply_hard(targets, student_logits)
    log_probabilities = log_softmax(student_logits)
    assert loss == pytest.approx(-log_probabilities[0, 2] - log_probabilities[2, 0] - log_probabilities[3, 1], rel=1e-5)
    assert not gradient[1].any()
    np.testing.assert_allclose(gradient[2], np.exp(log_probabilities[2]) - [1, 0, 0], atol=1e-5)


def test_a_batch_without_labels_has_no_hard_loss(targets, student_logits):
    loss, gradient, _ = apply_hard(targets, student_logits[[1, 1]], rows=[1, 1])
    assert loss == 0
    assert not gradient.any()


@pytest.mark.parametrize("name", OF_LOGITS)
def test_offsets_are_added_to_the_logits(targets, student_logits, name):
    offsets = np.random.default_rng(2).normal(0, 2, (4, 3)).astype(np.float32)
    losses = {name: 1.0, "kl": 0.5}
    read = np.ones((4, 5), np.float32)
    joined = apply(replace(targets, logit_offsets=offsets), student_logits, losses=losses, features=read)
    expected = apply(targets, student_logits + offsets, losses=losses, features=read)
    assert joined[0] == pytest.approx(expected[0], rel=1e-5)
    np.testing.assert_allclose(joined[1], expected[1], atol=1e-6)
    assert joined[2] == expected[2]


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_kl_is_the_divergence_from_the_softened_teacher(targets, student_logits, temperature):
    loss, gradient, _ = apply(targets, student_logits, losses={"kl": 1.0}, temperature=temperature)
    student, teacher = (log_softmax(logits / temperature) for logits in (student_logits, targets.teacher_logits))
    assert loss == pytest.approx(temperature**2 * (np.exp(teacher) * (teacher - student)).sum(), rel=1e-5)
    np.testing.assert_allclose(gradient, temperature * (np.exp(student) - np.exp(teacher)), atol=1e-5)


def test_kl_of_equal_logits_is_nothing(targets):
    loss, gradient, _ = apply(targets, targets.teacher_logits, losses={"kl": 1.0})
    assert loss == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_kl_gradients_keep_their_size_at_any_temperature(targets, student_logits):
    # Of logits near 0: there the softened probabilities differ by as much as the temperature divides.
    targets = replace(targets, teacher_logits=targets.teacher_logits / 10)
    norms = [
        np.linalg.norm(apply(targets, student_logits / 10, losses={"kl": 1.0}, temperature=temperature)[1])
        for temperature in (1.0, 2.0, 5.0, 20.0)
    ]
    np.testing.assert_allclose(norms, norms[0], rtol=0.1)


def test_logit_mse_is_half_the_squared_distance_of_centred_logits(targets, student_logits):
    loss, gradient, _ = apply(targets, student_logits, losses={"logit-mse": 1.0})
    student, teacher = (logits - logits.mean(1, keepdims=True) for logits in (student_logits, targets.teacher_logits))
    assert loss == pytest.approx(np.square(student - teacher).sum() / 2, rel=1e-5)
    np.testing.assert_allclose(gradient, student - teacher, atol=1e-5)


def test_logit_mse_ignores_a_shift_of_all_logits(targets, student_logits):
    plain, _, _ = apply(targets, student_logits, losses={"logit-mse": 1.0})
    shifts = np.array([[5.0], [-3.0], [0.0], [100.0]], np.float32)
    assert apply(targets, student_logits + shifts, losses={"logit-mse": 1.0})[0] == pytest.approx(plain, rel=1e-4)
    targets = replace(targets, teacher_logits=targets.teacher_logits + shifts)
    assert apply(targets, student_logits, losses={"logit-mse": 1.0})[0] == pytest.approx(plain, rel=1e-4)


def test_feature_is_the_mean_squared_distance_of_projected_features(targets, student_logits):
    features = np.random.default_rng(2).normal(0, 1, (4, 5)).astype(np.float32)
    student = Student(student_logits, features)
    objective = objective_of(targets, student, losses={"feature": 1.0})
    loss, _ = objective(student, torch.zeros(4, 1), torch.ones(4, 1) > 0, torch.arange(4))
    weight, bias = (p.detach().numpy() for p in objective.projection.parameters())
    assert weight.shape == (6, 5)
    expected = np.square(features @ weight.T + bias - targets.teacher_features).mean(1).sum()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_feature_matching_trains_the_projection(targets, student_logits):
    features = np.random.default_rng(2).normal(0, 1, (4, 5)).astype(np.float32)
    student = Student(student_logits, features)
    objective = objective_of(targets, student, losses={"feature": 1.0})
    assert {name for name, _ in objective.named_parameters()} == {"projection.weight", "projection.bias"}
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.1)
    losses = []
    for _ in range(200):
        loss, _ = objective(student, torch.zeros(4, 1), torch.ones(4, 1) > 0, torch.arange(4))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.01 * losses[0]


def test_the_projection_starts_the_same_whatever_was_drawn_before(targets, student_logits):
    first = objective_of(targets, Student(student_logits), losses={"feature": 1.0})
    drawn = torch.rand(1)
    second = objective_of(targets, Student(student_logits), losses={"feature": 1.0})
    assert torch.equal(first.projection.weight, second.projection.weight)
    assert torch.rand(1) != drawn, "and what is drawn afterwards is not decided by it"


def test_an_objective_without_features_has_no_weights_of_its_own(targets):
    losses = {name: 1.0 for name in LOSSES if name != "feature"}
    network = LSTMNetwork(MODEL, num_tokens=20, num_classes=3)
    assert not list(objective_of(targets, network, losses=losses).parameters())


def test_a_mixture_is_the_weighted_sum_of_its_losses(targets, student_logits):
    weights = {"hard": 0.5, "kl": 2.0, "logit-mse": 0.1, "feature": 3.0, "entropy": 0.7}
    assert list(weights) == OF_LOGITS
    alone = {name: apply(targets, student_logits, losses={name: 1.0}) for name in weights if name != "hard"}
    alone["hard"] = apply_hard(targets, student_logits)
    loss, gradient, _ = apply(targets, student_logits, losses=weights)
    assert loss == pytest.approx(sum(weight * alone[name][0] for name, weight in weights.items()), rel=1e-5)
    np.testing.assert_allclose(
        gradient, sum(weight * alone[name][1] for name, weight in weights.items()), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", OF_LOGITS)
def test_losses_are_sums_over_the_batch_and_read_its_rows(targets, student_logits, name):
    rows = [3, 0, 1]
    losses = {"kl": 1.0, name: 1.0}  # hard by itself is refused where a label is missing
    together, _, _ = apply(targets, student_logits[rows], rows=rows, losses=losses)
    alone = [apply(targets, student_logits[[row]], rows=[row], losses=losses)[0] for row in rows]
    assert together == pytest.approx(sum(alone), rel=1e-5)


def test_two_classes_and_a_logit_apart_from_each_other():
    targets = Targets(np.array([1]), np.array([[-1.0, 1.0]], np.float32))
    logits = np.array([[0.5, -0.5]], np.float32)
    assert apply(targets, logits, losses={"hard": 1.0})[0] == pytest.approx(np.log1p(np.e), rel=1e-6)
    assert apply(targets, logits, losses={"logit-mse": 1.0})[0] == pytest.approx(2.25)
    one, other = (1 / (1 + np.exp(-odds)) for odds in (2.0, -1.0))
    divergence = one * np.log(one / other) + (1 - one) * np.log((1 - one) / (1 - other))
    assert apply(targets, logits, losses={"kl": 1.0}, temperature=1.0)[0] == pytest.approx(divergence, rel=1e-5)


def test_right_is_what_the_label_says_and_without_one_what_the_teacher_says(targets):
    agreeing = np.eye(3, dtype=np.float32)[LABELS]
    agreeing[1] = targets.teacher_logits[1]
    assert apply(targets, agreeing, losses={"kl": 1.0})[2] == 4
    assert apply(targets, -agreeing, losses={"kl": 1.0})[2] == 0
    assert targets.teacher_logits.argmax(1).tolist() != LABELS.tolist()


def test_entropy_is_that_of_the_predictions():
    targets = Targets(np.array([0, UNLABELLED, 2]))
    known = np.array([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3], [1 - 2e-9, 1e-9, 1e-9]])
    shifts = np.array([[5], [-3], [0]])
    logits = (np.log(known) + shifts).astype(np.float32)
    loss, _, _ = apply(targets, logits, losses={"entropy": 1.0})
    assert loss == pytest.approx(1.5 * np.log(2) + np.log(3), rel=1e-5)
    for row, expected in enumerate((1.5 * np.log(2), np.log(3), 0.0)):
        loss, gradient, _ = apply(targets, logits[[row]], rows=[row], losses={"entropy": 1.0})
        assert loss == pytest.approx(expected, rel=1e-5, abs=1e-6)
        surprise = -log_softmax(logits[[row]])
        np.testing.assert_allclose(gradient, np.exp(-surprise) * (surprise - expected), atol=1e-5)


@pytest.mark.parametrize("losses", [["hard"], ["adversarial"], ["hard", "adversarial"]], ids="+".join)
def test_texts_without_a_label_are_refused_if_nothing_is_learned_of_them(targets, losses):
    settings = ObjectiveSettings(losses=dict.fromkeys(losses, 1.0))
    assert not settings.needs_no_label
    Targets(np.array([0, 1])).refuse_idle(settings)
    # A teacher of whom no loss learns is of no help.
    for missing in (Targets(LABELS), targets):
        with pytest.raises(SettingsError, match="texts without a label teach nothing") as caught:
            missing.refuse_idle(settings)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["virtual-adversarial", "noise", "entropy"])
@pytest.mark.parametrize("others", [[], ["hard"], ["hard", "adversarial"]], ids="+".join)
def test_texts_without_a_label_are_welcome_to_a_loss_that_needs_none(name, others):
    settings = ObjectiveSettings(losses=dict.fromkeys([*others, name], 1.0))
    assert settings.needs_no_label
    assert not settings.needs_teacher
    Targets(LABELS).refuse_idle(settings)


def test_an_objective_refuses_what_its_settings_refuse(student_logits):
    with pytest.raises(SettingsError, match="texts without a label teach nothing"):
        objective_of(Targets(LABELS), Student(student_logits), losses={"hard": 1.0})


@pytest.mark.parametrize("name", sorted(PERTURBING))
def test_a_network_whose_words_cannot_be_changed_is_refused_in_one_line(student_logits, name):
    targets = Targets(np.array([0, 1, 2, 0]))
    student = Student(student_logits)
    expected = rf"^objective\.losses: {name} is for kind lstm, whose word vectors can be changed$"
    for losses in ({name: 1.0}, {"hard": 1.0, name: 0.5}):
        assert ObjectiveSettings(losses=losses).perturbs
        with pytest.raises(SettingsError, match=expected):
            objective_of(targets, student, losses=losses)
    assert not ObjectiveSettings(losses=dict.fromkeys(OF_LOGITS, 1.0)).perturbs


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"losses": {"kll": 1.0}}, r"losses|kll is unknown; did you mean kl\?"),
        ({"losses": {"mse": 1.0}}, "mse is unknown"),
        ({"losses": {"hard": 1.0, "kl": 0.0}}, "kl = 0: give a weight above 0, or leave the loss out"),
        ({"losses": {"hard": -0.5}}, "hard = -0.5: give a weight above 0"),
        ({"losses": {}}, "losses"),
        ({"temperature": 0}, "temperature"),
        ({"epsilon": 0}, "epsilon"),
        ({"losses": {"virtual_adversarial": 1.0}}, "did you mean virtual-adversarial"),
    ],
)
def test_settings_of_no_use_are_refused_in_one_line(values, message):
    with pytest.raises(SettingsError, match=message) as caught:
        parse(ObjectiveSettings, values, source="recipe.toml", prefix="models.student.distill.objective")
    assert len(str(caught.value).splitlines()) == 1
    assert "recipe.toml: models.student.distill.objective" in str(caught.value)
    with pytest.raises(ValidationError):
        ObjectiveSettings(**values)


@pytest.mark.parametrize("losses", [{"kl": 1.0}, {"hard": 1.0, "logit-mse": 1.0}, {"feature": 1.0}])
def test_a_loss_without_its_teacher_is_refused_in_one_line(student_logits, losses):
    assert ObjectiveSettings(losses=losses).needs_teacher
    with pytest.raises(SettingsError, match=f"losses {', '.join(losses)} need a teacher; give one, or use hard alone"):
        objective_of(Targets(np.array([0, 1, 2, 0])), Student(student_logits), losses=losses)


@pytest.mark.parametrize("name", ["hard", "adversarial", "virtual-adversarial", "noise", "entropy"])
def test_losses_that_need_no_teacher(name):
    assert not ObjectiveSettings().needs_teacher
    assert not ObjectiveSettings(losses={name: 0.5}).needs_teacher
    assert ObjectiveSettings(losses={name: 0.5, "kl": 0.5}).needs_teacher


def test_features_that_a_teacher_lacks_are_refused_in_one_line(targets, student_logits):
    targets = replace(targets, teacher_features=None)
    with pytest.raises(SettingsError, match="feature needs a teacher with features; soft labels hold none"):
        objective_of(targets, Student(student_logits), losses={"feature": 1.0})


MODEL = LSTMSettings(embedding_size=8, hidden_size=8, min_count=1, embedding_dropout=0.1, output_dropout=0.1)
TRAIN = TrainSettings(epochs=6, max_learning_rate=0.03, batch_tokens=200, precision="fp32")


def test_an_lstm_says_the_same_by_way_of_its_features(targets):
    network = LSTMNetwork(MODEL, num_tokens=20, num_classes=3).eval()
    ids, mask = torch.randint(2, 20, (4, 9), dtype=torch.int32), torch.ones(4, 9) > 0
    direct, by_features = (objective_of(targets, network, losses=losses) for losses in ({"kl": 1.0}, {"feature": 1.0}))
    # The same loss of both, so that only the way to the logits differs.
    by_features.settings, by_features.losses = direct.settings, direct.losses
    rows = torch.arange(4)
    torch.testing.assert_close(direct(network, ids, mask, rows)[0], by_features(network, ids, mask, rows)[0])


def test_a_student_trained_without_labels_learns_what_its_teacher_says(splits, tmp_path):
    console = Console(quiet=True)
    teacher = fit_network(MODEL, TRAIN, splits, TrainingContext(0, tmp_path / "teacher", False, console)).model
    texts = splits.train["text"].to_pylist()
    targets = Targets(np.full(len(texts), UNLABELLED), teacher.logits(texts))
    student = type(teacher).create(MODEL, splits.labels, texts, seed=1)
    trainer = label_trainer(
        student,
        TRAIN,
        texts,
        targets,
        splits.validation,
        TrainingContext(1, tmp_path / "student", False, console),
        objective=ObjectiveSettings(losses={"kl": 1.0}),
    )
    assert trainer.run().provenance.validation_accuracy > 0.9
