"""Checkpoints: written so that a kill at any moment leaves either the old one or the new one, whole."""

import os
import pickle
from pathlib import Path
from typing import Any

from plaudit.errors import OutputError, SettingsError

CHECKPOINT_NAME = "checkpoint.pt"


def save_checkpoint(run_dir: Path, content: dict[str, Any]) -> None:
    """Replace the run's checkpoint; OutputError if it cannot be written, and then the old one is still
    there."""
    import torch  # here, since forgetting checkpoints needs none

    path = run_dir / CHECKPOINT_NAME
    unfinished = path.with_suffix(".tmp")  # always the same name: what a kill leaves is overwritten
    try:
        with unfinished.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        directory = os.open(run_dir, os.O_RDONLY)
        try:
            os.fsync(directory)  # makes the new name itself durable
        finally:
            os.close(directory)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: checkpoint not written: {error.strerror}; free space there or choose another --out folder"
        ) from None


def load_checkpoint(run_dir: Path) -> dict[str, Any] | None:
    """Return the run's checkpoint, on the CPU, or None if it has none yet.

    Only tensors and plain values are read (`weights_only`), so loading executes nothing.
    """
    import torch

    path = run_dir / CHECKPOINT_NAME
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = (str(error) or "it ends too early").splitlines()[0]
        raise SettingsError(f"{path}: not a checkpoint ({reason}); train without --resume") from None
    return content


def remove_checkpoint(run_dir: Path) -> None:
    """Remove the checkpoint of an earlier run, so that a new one never resumes from it."""
    (run_dir / CHECKPOINT_NAME).unlink(missing_ok=True)


def forget(run_dir: Path) -> None:
    """Remove the checkpoints of all parts of an earlier run, so that a new one never resumes from them."""
    for path in sorted(run_dir.rglob(CHECKPOINT_NAME)):
        path.unlink()
