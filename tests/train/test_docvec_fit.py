import numpy as np
import pytest
from rich.console import Console

from plaudit.errors import SettingsError, TrainingInterruptedError
from plaudit.models.docvec.settings import DocvecSettings
from plaudit.train import docvec
from plaudit.train.context import TrainingContext

SETTINGS = DocvecSettings(embedding_size=8, min_count=1, max_order=2, epochs=6, learning_rate=0.05, inference_epochs=5)


def run_in(folder, *, seed=0, resume=False):
    return TrainingContext(seed, folder, resume, Console(quiet=True))


def assert_same(first, second):
    for name, tensor in first.state().tensors.items():
        np.testing.assert_array_equal(tensor, second.state().tensors[name], err_msg=name)


class KilledError(Exception):
    pass


def test_it_learns_labels_from_few_reviews(splits, tmp_path):
    settings = SETTINGS.model_copy(
        update={"epochs": 60, "inference_epochs": 30, "max_order": 1, "inverse_regularization": 1000.0}
    )
    result = docvec.fit_docvec(settings, splits, context=run_in(tmp_path))
    assert result.provenance.validation_accuracy > 0.8
    assert result.provenance.train_seconds > 0
    predicted = result.model.predict_proba(splits.validation["text"].to_pylist()).argmax(1)
    assert (predicted == splits.validation["label"].to_numpy()).mean() == result.provenance.validation_accuracy


def test_same_seed_same_model_and_another_seed_another(splits, tmp_path):
    first = docvec.fit_docvec(SETTINGS, splits, context=run_in(tmp_path / "1")).model
    second = docvec.fit_docvec(SETTINGS, splits, context=run_in(tmp_path / "2")).model
    assert_same(first, second)
    other = docvec.fit_docvec(SETTINGS, splits, context=run_in(tmp_path / "3", seed=1)).model
    assert not np.array_equal(first.vectors, other.vectors)


@pytest.mark.parametrize("calls", [1, 4, 9])
def test_resume_matches_uninterrupted_run(splits, tmp_path, monkeypatch, calls):
    monkeypatch.setattr(docvec, "_CHUNK", 16)
    monkeypatch.setattr(docvec, "_CHECKPOINT_SECONDS", 0)
    whole = docvec.fit_docvec(SETTINGS, splits, context=run_in(tmp_path / "whole")).model
    saved = []
    original = docvec.save_checkpoint

    def save_then_die(run_dir, content):
        original(run_dir, content)
        saved.append(content["position"])
        if len(saved) == calls:
            raise KilledError

    monkeypatch.setattr(docvec, "save_checkpoint", save_then_die)
    with pytest.raises(KilledError):
        docvec.fit_docvec(SETTINGS, splits, context=run_in(tmp_path / "killed"))
    monkeypatch.setattr(docvec, "save_checkpoint", original)
    resumed = docvec.fit_docvec(SETTINGS, splits, context=run_in(tmp_path / "killed", resume=True))
    assert_same(whole, resumed.model)
    assert resumed.provenance.train_seconds > saved[-1]["seconds"] > 0


def test_ctrl_c_saves_and_says_how_to_go_on(splits, tmp_path, monkeypatch):
    original = docvec.Interruption.__enter__

    def asked_at_once(interruption):
        interruption.requested = True
        return original(interruption)

    monkeypatch.setattr(docvec.Interruption, "__enter__", asked_at_once)
    with pytest.raises(TrainingInterruptedError, match=r"in epoch 1 and saved in .*: continue with --resume"):
        docvec.fit_docvec(SETTINGS, splits, context=run_in(tmp_path))
    assert (tmp_path / "checkpoint.pt").exists()


def test_resuming_with_other_settings_is_refused_and_without_resume_it_begins_anew(splits, tmp_path):
    first = docvec.fit_docvec(SETTINGS, splits, context=run_in(tmp_path)).model
    changed = SETTINGS.model_copy(update={"sharpness": 5.0})
    with pytest.raises(SettingsError, match=r"model\.sharpness \(6"):
        docvec.fit_docvec(changed, splits, context=run_in(tmp_path, resume=True))
    other = docvec.fit_docvec(changed, splits, context=run_in(tmp_path)).model
    assert not np.array_equal(first.vectors, other.vectors)
