import errno
import os

import pytest
import torch

from plaudit.errors import OutputError, SettingsError
from plaudit.train.checkpoint import CHECKPOINT_NAME, forget, load_checkpoint, save_checkpoint


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path):
    save_checkpoint(tmp_path, {"weights": torch.arange(3.0), "step": 7})
    content = load_checkpoint(tmp_path)
    assert content["step"] == 7
    assert content["weights"].tolist() == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_no_checkpoint_yet(tmp_path):
    assert load_checkpoint(tmp_path) is None


def test_a_full_disk_leaves_the_old_checkpoint_and_no_half_one(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, {"step": 1})

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"checkpoint.pt: checkpoint not written: No space left on device"):
        save_checkpoint(tmp_path, {"step": 2})
    assert load_checkpoint(tmp_path) == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path, damage):
    save_checkpoint(tmp_path, {"weights": torch.zeros(1000)})
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1500] if damage is None else damage)
    with pytest.raises(SettingsError, match="not a checkpoint") as caught:
        load_checkpoint(tmp_path)
    assert "\n" not in str(caught.value)


def test_loading_executes_nothing(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "pwned"),))

    torch.save({"weights": Hostile()}, tmp_path / "checkpoint.pt")
    with pytest.raises(SettingsError, match="not a checkpoint"):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "pwned").exists()


def test_a_new_run_forgets_every_part_of_an_old_one(tmp_path):
    for part in ("", "pretrain", "ratio-0.5/stage-1"):
        (tmp_path / part).mkdir(parents=True, exist_ok=True)
        (tmp_path / part / CHECKPOINT_NAME).write_bytes(b"old")
    (tmp_path / "metrics.jsonl").write_text("")
    forget(tmp_path)
    assert not list(tmp_path.rglob(CHECKPOINT_NAME))
    assert (tmp_path / "metrics.jsonl").exists()
