"""What teachers say of many texts, kept in the cache: one may take an hour, and is asked once for each text."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from plaudit.compress.base import CHUNK, Teacher
from plaudit.data.sources.cache import cache_dir
from plaudit.models.base import Float32Array
from plaudit.storage import replacing
from plaudit.train.run import state_digest

_FORMAT = 1
"""To be raised when a model of the same weights would say something else."""
_HINT = "set PLAUDIT_CACHE to a folder with room to write to"


def read_kept(teacher: Teacher, texts: Sequence[str], *, console: Console) -> Float32Array:
    """Return a teacher's logits of many texts, float32 [N, C]: those that it gave before, and the others now.

    What it has given is kept by the teacher's settings and weights and by the texts. OutputError if it cannot be.
    """
    path = cache_dir() / f"logits-{_key(teacher, texts)}.npy"
    kept = _open(path, (len(texts), len(teacher.model.labels)))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(f"{teacher.name} reads", total=len(texts))
        for start in range(0, len(texts), CHUNK):
            rows = slice(start, start + CHUNK)
            if np.isnan(kept[rows]).any():
                kept[rows] = teacher.model.logits(texts[rows])
                kept.flush()
            progress.update(bar, completed=min(start + CHUNK, len(texts)))
    return np.array(kept)


def _key(teacher: Teacher, texts: Sequence[str]) -> str:
    state = teacher.model.state()
    described = [_FORMAT, teacher.model.settings.model_dump_json(), teacher.model.labels, state_digest(state.tensors)]
    key = hashlib.sha256(json.dumps(described).encode())
    for name, content in sorted(state.files.items()):
        key.update(name.encode() + hashlib.sha256(content).digest())
    for text in texts:
        key.update(hashlib.sha256(text.encode(errors="surrogatepass")).digest())
    return key.hexdigest()[:20]


def _open(path: Path, shape: tuple[int, int]) -> "np.memmap[Any, np.dtype[np.float32]]":
    """Map the file of logits, in which NaN stands for what is still to be read."""
    try:
        kept = open_memmap(path, mode="r+")
        if kept.shape == shape and kept.dtype == np.float32:
            return kept
    except (OSError, ValueError):
        pass  # none yet, or damaged
    with replacing(path, hint=_HINT) as temporary, temporary.open("wb") as file:
        np.save(file, np.full(shape, np.nan, np.float32))
    return open_memmap(path, mode="r+")
