"""Every kind × every compressor: a step, saved and loaded again, equal logits and a smaller file, or a refusal."""

import numpy as np
import pytest

from plaudit.bundle.folder import load_bundle, load_trainable, save_bundle
from plaudit.bundle.trained import TrainedModel
from plaudit.compress.base import Context, Teacher
from plaudit.compress.methods import COMPRESSORS, compressor
from plaudit.errors import SettingsError

STEPS = {
    "distill": {"objective": {"losses": {"kl": 1.0}}},
    "prune": {"ratio": 0.5, "stages": 2},
    "quantize": {},
}
TEXTS = ["a lovely film about people", "dull and tedious", "", "the dog was superb in town"]


def size_of(folder):
    return sum(path.stat().st_size for path in folder.iterdir())


def test_every_compressor_is_in_the_matrix():
    assert set(STEPS) == set(COMPRESSORS)


@pytest.mark.parametrize("method", COMPRESSORS)
@pytest.mark.parametrize("kind", ["bow", "lstm"])
def test_a_step_saves_loads_and_judges_the_same(kind, method, subjects, bow, lstm, context, tmp_path):
    subject = subjects[kind]
    teachers = (Teacher("bow", bow), Teacher("lstm", lstm)) if method == "distill" else ()
    made = compressor(method)(
        subject, COMPRESSORS[method](**STEPS[method]), Context(context.splits, context.training, teachers)
    )
    assert made.provenance.validation_accuracy > 0.8
    save_bundle(TrainedModel(model=subject.model), tmp_path / "before")
    save_bundle(made, tmp_path / "after")
    expected = made.model.logits(TEXTS)
    np.testing.assert_allclose(load_trainable(tmp_path / "after").model.logits(TEXTS), expected, atol=1e-5)
    np.testing.assert_allclose(load_bundle(tmp_path / "after").model.logits(TEXTS), expected, atol=1e-4)
    if method != "distill":
        assert size_of(tmp_path / "after") < size_of(tmp_path / "before")


def test_an_unknown_method_is_refused_with_a_suggestion():
    with pytest.raises(SettingsError, match="method prun is unknown; did you mean prune"):
        compressor("prun")
