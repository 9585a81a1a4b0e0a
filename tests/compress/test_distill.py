from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from plaudit.compress import cached_logits
from plaudit.compress.base import Context, Subject, Teacher
from plaudit.compress.distill import SOFT_LABELS_NAME, distill, label
from plaudit.compress.settings import DistillSettings, TransferSettings
from plaudit.compress.soft_labels import read_soft_labels, write_soft_labels
from plaudit.compress.transfer import transfer_set
from plaudit.errors import DataError, SettingsError
from plaudit.models.base import Model, ModelState
from plaudit.train.labels import accuracy_on_validation
from plaudit.train.settings import ObjectiveSettings
from tests.compress.conftest import BOW, LSTM, QUIET, TRAIN, run_in

STUDENTS = {"bow": Subject(BOW, None), "lstm": Subject(LSTM, TRAIN)}


class Oracle(Model):
    """A teacher that knows what the toy reviews are made of, and how sure it says so."""

    def __init__(self, scale=4.0, wrong=False, labels=("negative", "positive"), settings=BOW):
        super().__init__(settings, labels)
        self.scale = -scale if wrong else scale
        self.num_read = 0

    def logits(self, texts):
        self.num_read += len(texts)
        good = {"moving", "lovely", "superb", "funny", "gripping", "gem", "delight"}
        bad = {"dull", "tedious", "awful", "boring", "weak", "mess", "waste"}
        odds = [sum((word in good) - (word in bad) for word in text.split()) for text in texts]
        scores = self.scale * np.sign(odds)[:, None].astype(np.float32)
        return np.concatenate([-scores / 2, scores / 2], axis=1)

    def state(self):
        return ModelState({"scale": np.array(self.scale)})

    @classmethod
    def from_state(cls, settings, labels, state):
        raise NotImplementedError


def settings_of(*losses, **changes):
    weights = dict.fromkeys(losses or ("kl",), 1.0)
    return DistillSettings(objective=ObjectiveSettings(losses=weights), **changes)


@pytest.mark.parametrize("kind", STUDENTS)
@pytest.mark.parametrize("losses", [("kl",), ("logit-mse",), ("hard", "kl")])
def test_a_student_learns_what_its_teacher_says(kind, losses, context, splits):
    taught = Context(splits, context.training, (Teacher("oracle", Oracle()),))
    made = distill(STUDENTS[kind], settings_of(*losses), taught)
    assert made.provenance.validation_accuracy > 0.85
    assert made.provenance.compression[-1].figures["num_transfer_texts"] == 140
    assert list(made.provenance.compression[-1].figures["teachers"]["weights"]) == ["oracle"]


@pytest.mark.parametrize("kind", STUDENTS)
def test_a_student_of_a_teacher_that_is_always_wrong_is_wrong(kind, context, splits):
    taught = Context(splits, context.training, (Teacher("liar", Oracle(wrong=True)),))
    made = distill(STUDENTS[kind], settings_of("kl", teacher_weights=(1.0,)), taught)
    assert accuracy_on_validation(made.model, splits) < 0.35


@pytest.mark.parametrize("kind", STUDENTS)
def test_the_control_learns_from_labels_alone(kind, context):
    made = distill(STUDENTS[kind], settings_of("hard", transfer=TransferSettings(sources=("train",))), context)
    assert made.provenance.validation_accuracy > 0.8
    assert made.provenance.compression[-1].figures["teachers"] is None


def test_soft_labels_take_the_place_of_the_teacher(context, splits, tmp_path):
    oracle = Oracle()
    taught = Context(splits, run_in(tmp_path / "first"), (Teacher("oracle", oracle),))
    first = distill(STUDENTS["bow"], settings_of(), taught)
    again = settings_of(soft_labels=tmp_path / "first" / SOFT_LABELS_NAME)
    second = distill(STUDENTS["bow"], again, Context(splits, run_in(tmp_path / "second")))
    np.testing.assert_array_equal(first.model.weights, second.model.weights)
    assert second.provenance.compression[-1].figures["teachers"] == first.provenance.compression[-1].figures["teachers"]


def test_soft_labels_that_lack_a_text_are_refused_by_its_id(context, splits, tmp_path):
    few = transfer_set(splits, TransferSettings(sources=("unlabelled",)))
    write_soft_labels(
        label([Teacher("o", Oracle())], splits, few, weights=[1.0], console=QUIET), tmp_path / "few.parquet"
    )
    with pytest.raises(DataError, match=r"few\.parquet: no soft label for review train/0;"):
        distill(STUDENTS["bow"], settings_of(soft_labels=tmp_path / "few.parquet"), context)


def test_soft_labels_of_other_labels_are_refused(context, splits, tmp_path):
    few = transfer_set(splits, TransferSettings())
    soft = label([Teacher("o", Oracle())], splits, few, weights=[1.0], console=QUIET)
    write_soft_labels(type(soft)(soft.ids, soft.logits, ("bad", "good"), soft.provenance), tmp_path / "soft.parquet")
    with pytest.raises(SettingsError, match="its labels are bad, good, but tiny has negative, positive"):
        distill(STUDENTS["bow"], settings_of(soft_labels=tmp_path / "soft.parquet"), context)


def test_a_reading_that_was_cut_short_goes_on_where_it_stopped(splits, monkeypatch):
    monkeypatch.setattr(cached_logits, "CHUNK", 50)
    transfer = transfer_set(splits, TransferSettings())

    class Tires(Oracle):
        def logits(self, texts):
            if self.num_read == 100:
                raise KeyboardInterrupt
            return super().logits(texts)

    with pytest.raises(KeyboardInterrupt):
        label([Teacher("o", Tires())], splits, transfer, weights=[1.0], console=QUIET)
    fresh = Oracle()
    goes_on = label([Teacher("o", fresh)], splits, transfer, weights=[1.0], console=QUIET)
    assert fresh.num_read == len(transfer) - 100
    np.testing.assert_allclose(goes_on.logits, fresh.logits(transfer.texts), atol=1e-3)


@pytest.mark.parametrize("other", [Oracle(scale=5.0), Oracle(settings=BOW.model_copy(update={"slot_bits": 17}))])
def test_what_one_teacher_said_is_not_taken_for_anothers(other, splits):
    transfer = transfer_set(splits, TransferSettings())
    for teacher in (Oracle(), other):
        label([Teacher("o", teacher)], splits, transfer, weights=[1.0], console=QUIET)
        assert teacher.num_read == len(transfer)


def test_a_damaged_file_of_what_a_teacher_said_is_made_anew(splits, tmp_path):
    transfer = transfer_set(splits, TransferSettings())
    first = label([Teacher("o", Oracle())], splits, transfer, weights=[1.0], console=QUIET)
    (kept,) = (tmp_path / "cache").glob("logits-*.npy")
    kept.write_bytes(kept.read_bytes()[:90])
    again = label([Teacher("o", Oracle())], splits, transfer, weights=[1.0], console=QUIET)
    np.testing.assert_array_equal(again.logits, first.logits)


def test_the_better_teacher_weighs_more(splits, bow):
    transfer = transfer_set(splits, TransferSettings())
    rng = np.random.default_rng(0)

    class Guess(Oracle):
        def logits(self, texts):
            return rng.normal(size=(len(texts), 2)).astype(np.float32)

    soft = label([Teacher("bow", bow), Teacher("guess", Guess())], splits, transfer, weights=None, console=QUIET)
    assert soft.provenance["weights"]["bow"] > 5 * soft.provenance["weights"]["guess"]


def test_features_of_a_network_can_be_matched(context, splits, lstm):
    taught = Context(splits, context.training, (Teacher("lstm", lstm),))
    made = distill(STUDENTS["lstm"], settings_of("kl", "feature"), taught)
    assert made.provenance.validation_accuracy > 0.85


def test_a_distillation_made_again_does_not_ask_the_teacher_again(splits, tmp_path):
    first, second = Oracle(), Oracle()
    distill(STUDENTS["bow"], settings_of(), Context(splits, run_in(tmp_path), (Teacher("oracle", first),)))
    resumed = Context(splits, run_in(tmp_path, resume=True), (Teacher("oracle", second),))
    distill(STUDENTS["bow"], settings_of(), resumed)
    assert first.num_read > 0 and second.num_read == 0
    assert len(read_soft_labels(tmp_path / SOFT_LABELS_NAME).ids) == 140


@pytest.mark.parametrize(
    ("settings", "teachers", "message"),
    [
        (settings_of(), [], "either teachers or a file of soft labels"),
        (settings_of("hard"), [Teacher("o", Oracle())], "the losses hard learn nothing from a teacher; add kl or"),
        (
            settings_of("kl", "feature"),
            [Teacher("o", Oracle())],
            "loss feature needs a network as a teacher, but there is only o",
        ),
        (settings_of(teacher_weights=(1.0, 2.0)), [Teacher("o", Oracle())], "has 2 numbers for 1 teachers"),
    ],
)
def test_what_cannot_be_learned_is_refused_in_a_line(settings, teachers, message, context, splits):
    with pytest.raises(SettingsError, match=message) as caught:
        distill(STUDENTS["lstm"], settings, Context(splits, context.training, tuple(teachers)))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "losses", [("feature",), ("adversarial",), ("virtual-adversarial",), ("noise",), ("entropy",), ("entropy", "noise")]
)
def test_losses_for_networks_are_refused_for_a_bow_student(losses, context, splits, lstm):
    message = f"a bow student learns from hard, kl, logit-mse; leave {', '.join(losses)} out"
    with pytest.raises(SettingsError, match=message):
        distill(
            STUDENTS["bow"], settings_of("kl", *losses), Context(splits, context.training, (Teacher("lstm", lstm),))
        )


@pytest.mark.parametrize("setting", [("class_weight", "balanced"), ("temperature", 1.5)])
def test_what_only_labels_can_be_fitted_by_is_refused_for_a_bow_student(setting, context, splits):
    student = Subject(BOW.model_copy(update=dict([setting])), None)
    with pytest.raises(SettingsError, match=f"^{setting[0]} = .* has no effect on a student; leave it out$"):
        distill(student, settings_of(), Context(splits, context.training, (Teacher("oracle", Oracle()),)))


@pytest.mark.parametrize("changes", [{"characters": 4}, {"scale": "idf"}, {"characters": 3, "storage": "int8"}])
def test_a_bow_student_may_have_characters_and_another_scale(changes, context, splits):
    student = Subject(BOW.model_copy(update=changes), None)
    made = distill(student, settings_of(), Context(splits, context.training, (Teacher("oracle", Oracle()),))).model
    assert {name: getattr(made.settings, name) for name in changes} == changes
    texts = splits.validation["text"].to_pylist()
    assert (made.logits(texts).argmax(axis=1) == Oracle().logits(texts).argmax(axis=1)).mean() > 0.85


def test_a_bow_student_of_three_labels_follows_its_teacher():
    from plaudit.compress.distill_bow import fit_bow_student, student_ngrams
    from plaudit.train.targets import UNLABELLED, Targets

    texts = [f"{word} film number {i}" for i in range(30) for word in ("dull", "plain", "superb")]
    logits = np.tile(np.eye(3, dtype=np.float32) * 6, (30, 1))
    targets = Targets(np.full(90, UNLABELLED), logits)
    presence = student_ngrams(BOW, texts, targets, 3)
    for loss in ("kl", "logit-mse"):
        student = fit_bow_student(
            BOW, presence, targets, ("a", "b", "c"), objective=ObjectiveSettings(losses={loss: 1.0}), console=Console()
        )
        assert student.logits(["a superb film", "plain", "dull"]).argmax(1).tolist() == [2, 1, 0]


def test_features_alone_would_not_train_the_classifier():
    with pytest.raises(ValueError, match="feature alone does not train the classifier"):
        settings_of("feature")


@pytest.mark.parametrize("kind", ["bow", "lstm"])
def test_unlabelled_texts_need_a_teacher(kind, context):
    with pytest.raises(SettingsError, match="texts without a label teach nothing; keep unlabelled reviews"):
        distill(STUDENTS[kind], settings_of("hard", transfer=TransferSettings()), context)


def test_a_network_that_does_not_tell_how_it_was_trained_is_refused(context):
    with pytest.raises(SettingsError, match='kind = "lstm" needs a train table'):
        distill(replace(STUDENTS["lstm"], train=None), settings_of(), context)


def test_soft_labels_of_another_split_are_refused(context, splits, tmp_path):
    soft = label(
        [Teacher("o", Oracle())], splits, transfer_set(splits, TransferSettings()), weights=[1.0], console=QUIET
    )
    write_soft_labels(soft, tmp_path / "soft.parquet")
    other = Context(replace(splits, digest="another"), context.training)
    with pytest.raises(SettingsError, match=r"was made from other reviews or another split than tiny has now"):
        distill(STUDENTS["bow"], settings_of(soft_labels=tmp_path / "soft.parquet"), other)


def test_a_distillation_made_again_asks_another_teacher_anew(splits, tmp_path):
    second = Oracle(scale=2.0)
    distill(STUDENTS["bow"], settings_of(), Context(splits, run_in(tmp_path), (Teacher("oracle", Oracle()),)))
    resumed = Context(splits, run_in(tmp_path, resume=True), (Teacher("oracle", second),))
    distill(STUDENTS["bow"], settings_of(), resumed)
    assert second.num_read > 0


@pytest.mark.parametrize("kind", STUDENTS)
def test_without_a_teacher_a_loss_that_has_one_is_refused(kind, context):
    objective = settings_of("hard", "kl", transfer=TransferSettings(sources=("train",)))
    with pytest.raises(SettingsError, match="distillation takes either teachers or a file of soft labels"):
        distill(STUDENTS[kind], objective, context)


def test_a_student_starts_with_what_it_is_given(context, splits, lstm):
    train = TRAIN.model_copy(update={"max_learning_rate": 1e-12, "epochs": 1})
    taught = Context(splits, context.training, (Teacher("oracle", Oracle()),))
    made = distill(Subject(LSTM, train, start=lstm), settings_of(), taught)
    started, given = made.model.state().tensors, lstm.state().tensors
    np.testing.assert_allclose(started["embedding.weight"], given["embedding.weight"], atol=1e-9)
    assert not np.allclose(started["classifier.weight"], given["classifier.weight"], atol=1e-3)


def test_a_student_is_not_trained_in_less_than_fp32(context, splits):
    small = Subject(LSTM.model_copy(update={"storage": "int8"}), TRAIN)
    with pytest.raises(SettingsError, match="train in fp32 and quantize the model afterwards"):
        distill(small, settings_of(), Context(splits, context.training, (Teacher("o", Oracle()),)))
