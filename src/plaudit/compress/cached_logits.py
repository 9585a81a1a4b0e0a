"""A cache of a model's logits for many texts, which may take a large model an hour to compute."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from rich.console import Console

from plaudit.compress.base import CHUNK, Teacher
from plaudit.console import progress
from plaudit.data.sources.cache import cache_dir
from plaudit.models.base import Float32Array
from plaudit.storage import replacing
from plaudit.train.identity import state_digest

_FORMAT = 1
"""To be raised when the same weights would give other logits."""
_HINT = "set PLAUDIT_CACHE to a folder with room to write to"


def cached_logits(teacher: Teacher, texts: Sequence[str], *, console: Console) -> Float32Array:
    """Return a model's logits of many texts, float32 [N, C], computing only those that the cache lacks.

    They are kept by settings, weights and texts. OutputError if the cache cannot be written.
    """
    path = cache_dir() / f"logits-{_key(teacher, texts)}.npy"
    logits = _open(path, (len(texts), len(teacher.model.labels)))
    with progress(console, f"{teacher.name} reads", total=len(texts)) as completed:
        for start in range(0, len(texts), CHUNK):
            rows = slice(start, start + CHUNK)
            if np.isnan(logits[rows]).any():
                logits[rows] = teacher.model.logits(texts[rows])
                logits.flush()
            completed(min(start + CHUNK, len(texts)))
    return np.array(logits)


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
    """Map the file of logits, in which NaN marks those still to be computed."""
    try:
        logits = open_memmap(path, mode="r+")
        if logits.shape == shape and logits.dtype == np.float32:
            return logits
    except (OSError, ValueError):
        pass  # not there yet, or damaged
    with replacing(path, hint=_HINT) as temporary, temporary.open("wb") as file:
        np.save(file, np.full(shape, np.nan, np.float32))
    return open_memmap(path, mode="r+")
