from dataclasses import replace

import numpy as np
import pytest

from plaudit.compress import residual_bow as module
from plaudit.compress.base import Context, Subject, Teacher
from plaudit.compress.distill import distill
from plaudit.compress.residual_bow import cross_fitted_logits
from plaudit.compress.settings import TransferSettings
from plaudit.compress.transfer import transfer_set
from plaudit.errors import SettingsError
from plaudit.models.bow.model import BowModel
from plaudit.models.ensemble import blend, centred
from plaudit.train.labels import labels_of
from plaudit.train.settings import ObjectiveSettings
from plaudit.train.targets import Targets
from tests.compress.conftest import LSTM, QUIET, TRAIN, run_in
from tests.compress.test_distill import STUDENTS, Oracle, settings_of

KL = ObjectiveSettings(losses={"kl": 1.0})


@pytest.fixture
def transfer(splits):
    return transfer_set(splits, TransferSettings())


@pytest.fixture
def targets(transfer):
    return Targets(transfer.labels, Oracle().logits(transfer.texts))


def accuracy(logits, splits):
    return (logits.argmax(1) == labels_of(splits.validation)).mean()


def test_what_is_said_of_a_text_is_not_learned_from_it(bow, transfer, targets):
    said = cross_fitted_logits(bow, transfer, targets, KL, console=QUIET)
    np.testing.assert_allclose(said.sum(1), 0, atol=1e-5)
    assert (said.argmax(1) == targets.teacher_logits.argmax(1)).mean() > 0.9, "the other texts tell"
    row = 3
    otherwise = targets.teacher_logits.copy()
    otherwise[row] *= -20
    changed = cross_fitted_logits(bow, transfer, replace(targets, teacher_logits=otherwise), KL, console=QUIET)
    np.testing.assert_array_equal(changed[row], said[row])
    assert (changed != said).any(1).mean() > 0.5


def test_the_bags_learn_by_what_the_student_learns_by_of_what_a_bag_can(bow, transfer, targets, monkeypatch):
    asked = []
    fit = module.fit_bow_student

    def spy(*arguments, objective, console):
        asked.append(objective)
        return fit(*arguments, objective=objective, console=console)

    monkeypatch.setattr(module, "fit_bow_student", spy)
    objective = ObjectiveSettings(losses={"logit-mse": 0.5, "noise": 1.0}, temperature=3.0)
    cross_fitted_logits(bow, transfer, targets, objective, console=QUIET)
    assert len(asked) > 1
    assert {(*each.losses.items(), each.temperature) for each in asked} == {(("logit-mse", 0.5), 3.0)}
    with pytest.raises(
        SettingsError, match="a student that corrects a bow learns from hard, kl, logit-mse; add one of"
    ):
        cross_fitted_logits(bow, transfer, targets, ObjectiveSettings(losses={"noise": 1.0}), console=QUIET)


def test_a_student_learns_what_the_model_beside_it_lacks(context, splits, bow, monkeypatch):
    """The bag knows few of the words, so the student beside it has the others to learn."""
    monkeypatch.setattr(
        module, "cross_fitted_logits", lambda bag, transfer, *_, **__: centred(bag.logits(transfer.texts))
    )
    known = {"moving", "dull"}

    class Blinded(BowModel):
        def logits(self, texts):
            return super().logits([" ".join(word for word in text.split() if word in known) for text in texts])

    blind = Blinded(bow.settings, bow.labels, keys=bow.keys, weights=bow.weights, bias=bow.bias)
    beside = Teacher("bag", blind)
    taught = Context(splits, context.training, (Teacher("oracle", Oracle()),), beside)
    made = distill(STUDENTS["lstm"], settings_of("kl", beside="bag", beside_weight=1.0), taught)
    texts = splits.validation["text"].to_pylist()
    alone, bag = made.model.logits(texts), blind.logits(texts)
    joined = accuracy(blend([alone, bag], [1.0, 1.0]), splits)
    assert joined == made.provenance.validation_accuracy, "the weights are chosen by what both say"
    assert joined > 0.9 > accuracy(bag, splits)


def test_a_weight_of_the_model_beside_is_what_the_student_makes_room_for(splits, bow, tmp_path):
    def certainty(weight):
        taught = Context(splits, run_in(tmp_path / str(weight)), (Teacher("o", Oracle()),), Teacher("bag", bow))
        made = distill(STUDENTS["lstm"], settings_of("kl", beside="bag", beside_weight=weight), taught)
        return np.abs(np.diff(made.model.logits(splits.validation["text"].to_pylist()))).mean()

    assert certainty(2.0) < 0.8 * certainty(0.1)


def test_a_resumed_training_notices_another_model_beside(splits, bow, tmp_path):
    def taught(**changes):
        run = run_in(tmp_path, resume=bool(changes))
        settings = settings_of("kl", beside="bag", **changes)
        return distill(
            Subject(LSTM, TRAIN.model_copy(update={"epochs": 1})),
            settings,
            Context(splits, run, (Teacher("o", Oracle()),), Teacher("bag", bow)),
        )

    taught()
    taught(beside_weight=0.65)
    with pytest.raises(SettingsError, match="train reviews"):
        taught(beside_weight=0.5)


def test_too_few_reviews_to_leave_a_part_out_are_refused(bow, transfer, targets):
    few = replace(transfer, ids=["a", "b"], texts=["dull", "superb"], labels=transfer.labels[:2])
    with pytest.raises(SettingsError, match="2 reviews are too few to cross-fit a bag"):
        cross_fitted_logits(bow, few, replace(targets, labels=few.labels), KL, console=QUIET)


@pytest.mark.parametrize(
    ("student", "beside", "message"),
    [
        ("lstm", "lstm", "beside = bag: is of kind lstm; give a bow, which is quick enough to be fitted again"),
        ("lstm", "refitted", "beside = bag: was fitted on validation too, .* train it with refit = false"),
        ("lstm", "stars", "beside = bag: knows one, two, but the reviews have negative, positive"),
        ("lstm", "calm", r"beside = bag: was fitted with temperature = 2\.0, .* for a student; train it without"),
        ("bow", "bow", "beside = bag: works only for a network; train one larger bow instead"),
    ],
)
def test_what_cannot_stand_beside_a_student_is_refused_in_a_line(student, beside, message, context, splits, bow, lstm):
    stars = BowModel(bow.settings, ("one", "two"), keys=bow.keys, weights=bow.weights, bias=bow.bias)
    calm = BowModel.from_state(bow.settings.model_copy(update={"temperature": 2.0}), bow.labels, bow.state())
    model = {"lstm": lstm, "stars": stars, "calm": calm}.get(beside, bow)
    bag = Teacher("bag", model, learned_validation=beside == "refitted")
    taught = Context(splits, context.training, (Teacher("o", Oracle()),), bag)
    with pytest.raises(SettingsError, match=message) as caught:
        distill(STUDENTS[student], settings_of("kl", beside="bag"), taught)
    assert len(str(caught.value).splitlines()) == 1
