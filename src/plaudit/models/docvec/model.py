"""Document vectors: a vector for each n-gram, learned from all texts without labels, and a logistic regression.

A text's vector is fitted so that it predicts which n-grams the text has (`models/docvec/kernel.py`). For a new text the
vectors of the n-grams stay fixed, so the model needs no training on the texts that it scores. It is slow and takes
hundreds of megabytes: part of a teacher, since it makes other mistakes than a bag of n-grams.

Shapes: N texts, C classes, K binary problems (1 for two classes, else C), F n-grams, E embedding.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from plaudit.errors import BundleError
from plaudit.models.base import Float32Array, Model, ModelSettings, ModelState
from plaudit.models.bow.model import logits_of_problems, positive_labels
from plaudit.models.docvec.settings import DocvecSettings
from plaudit.models.packed import check_shapes
from plaudit.threads import map_threads

_CHUNK = 256


class DocvecModel(Model):
    """keys uint32 [F], sorted; vectors float16 [F, E]; counts int32 [F], texts an n-gram is in; classifier float32
    [K, E]; bias float32 [K]."""

    Settings: ClassVar[type[ModelSettings]] = DocvecSettings
    settings: DocvecSettings

    def __init__(
        self,
        settings: DocvecSettings,
        labels: tuple[str, ...],
        *,
        keys: npt.NDArray[np.uint32],
        vectors: npt.NDArray[np.float16],
        counts: npt.NDArray[np.int32],
        classifier: Float32Array,
        bias: Float32Array,
    ) -> None:
        super().__init__(settings, labels)
        self.keys = keys
        self.vectors = vectors
        self.counts = counts
        self.classifier = classifier
        self.bias = bias

    def logits(self, texts: Sequence[str]) -> Float32Array:
        """Return float32 [N, C]."""
        return logits_of_problems(self.features(texts) @ self.classifier.T + self.bias)

    def features(self, texts: Sequence[str]) -> Float32Array:
        """Return the unit vectors of texts, float32 [N, E]; zeros for one without a known n-gram."""
        from plaudit.models.bow.ngrams import find_ngrams
        from plaudit.models.docvec import kernel

        settings = self.settings
        rates = [settings.rate(epoch / settings.inference_epochs) for epoch in range(settings.inference_epochs)]

        def infer(chunk: Sequence[str]) -> Float32Array:
            matrix = find_ngrams(chunk, settings, self.keys).matrix
            found: Float32Array = kernel.infer(
                matrix.indptr.astype(np.int64),
                matrix.indices.astype(np.int32),
                self._pool,
                self._float32_vectors,
                np.array(rates, np.float32),
                np.float32(settings.sharpness),
            )
            return found

        chunks = [texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK)]
        nothing = np.zeros((0, settings.embedding_size), np.float32)
        return np.concatenate([nothing, *map_threads(infer, chunks)])

    @cached_property
    def _pool(self) -> npt.NDArray[np.int32]:
        return negative_pool(self.counts)

    @cached_property
    def _float32_vectors(self) -> Float32Array:
        return self.vectors.astype(np.float32)

    def state(self) -> ModelState:
        """Return all arrays."""
        return ModelState({name: getattr(self, name) for name in _DTYPES})

    @classmethod
    def from_state(cls, settings: ModelSettings, labels: tuple[str, ...], state: ModelState) -> Self:
        """Rebuild a model; BundleError if a tensor is missing or shapes do not agree."""
        assert isinstance(settings, DocvecSettings)
        tensors: dict[str, Any] = state.tensors
        num_ngrams = tensors["keys"].size if "keys" in tensors else 0
        num_problems = len(positive_labels(labels))
        size = settings.embedding_size
        shapes: list[tuple[int, ...]] = [
            (num_ngrams,),
            (num_ngrams, size),
            (num_ngrams,),
            (num_problems, size),
            (num_problems,),
        ]
        check_shapes(tensors, dict(zip(_DTYPES, shapes, strict=True)))
        for name, dtype in _DTYPES.items():
            if tensors[name].dtype != dtype:
                raise BundleError(f"{name} is {tensors[name].dtype}, not {np.dtype(dtype)}; save the model again")
        return cls(settings, labels, **tensors)


_DTYPES = {
    "keys": np.uint32,
    "vectors": np.float16,
    "counts": np.int32,
    "classifier": np.float32,
    "bias": np.float32,
}


def negative_pool(counts: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the numbers of n-grams to draw negatives from, int32: each about in proportion to its count of texts."""
    times = np.maximum(1, counts // (int(counts.min()) if len(counts) else 1))
    return np.repeat(np.arange(len(counts), dtype=np.int32), times)
