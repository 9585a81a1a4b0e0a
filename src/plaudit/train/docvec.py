"""Trains document vectors: the vectors of n-grams from all texts without labels, then a classifier from labelled ones.

The order of an epoch depends on seed and epoch, and the random draws of a chunk of texts on seed, epoch and chunk. So a
checkpoint is the vectors and two counters, and a resumed run ends with the same bits as an uninterrupted one.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch

from plaudit.bundle.trained import Provenance, TrainedModel
from plaudit.console import progress
from plaudit.data.splits import Splits
from plaudit.errors import TrainingInterruptedError
from plaudit.models.base import Float32Array
from plaudit.models.bow.model import positive_labels
from plaudit.models.bow.ngrams import Presence, frequent_ngrams
from plaudit.models.docvec.model import DocvecModel, negative_pool
from plaudit.models.docvec.settings import DocvecSettings
from plaudit.storage import refuse_change
from plaudit.train.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint
from plaudit.train.context import TrainingContext
from plaudit.train.identity import identity_of
from plaudit.train.interrupt import Interruption
from plaudit.train.labels import accuracy_on_validation

_CHUNK = 4_096
"""Texts between two checks for an interruption."""
_CHECKPOINT_SECONDS = 120


def fit_docvec(settings: DocvecSettings, splits: Splits, context: TrainingContext) -> TrainedModel:
    """Fit a model of document vectors.

    TrainingInterruptedError after Ctrl-C, once its state has been saved; SettingsError if a resumed run is given other
    settings or data than it began with.
    """
    began = time.perf_counter()
    settings = settings.model_copy(update={"cleaning": settings.cleaning.resolved()})
    train, console = splits.train["text"].to_pylist(), context.console
    with console.status("counting n-grams"):
        presence = frequent_ngrams(train + splits.unlabelled["text"].to_pylist(), settings)
    counts = np.diff(presence.matrix.tocsc().indptr).astype(np.int32)
    training = _VectorTraining(settings, presence, negative_pool(counts), splits.digest, context)
    training.run()
    num_problems = len(positive_labels(splits.labels))
    model = DocvecModel(
        settings,
        splits.labels,
        keys=presence.keys,
        vectors=training.vectors.astype(np.float16),
        counts=counts,
        classifier=np.zeros((num_problems, settings.embedding_size), np.float32),
        bias=np.zeros(num_problems, np.float32),
    )
    with console.status(f"fitting {len(train):,} labels"):
        _fit_classifier(model, train, np.asarray(splits.train["label"].to_numpy()))
    seconds = training.seconds_before + time.perf_counter() - began
    provenance = Provenance(validation_accuracy=accuracy_on_validation(model, splits), train_seconds=seconds)
    return TrainedModel(model=model, provenance=provenance)


@dataclass
class _Position:
    """The epoch, the number of its texts that are done, and the seconds it took to get there."""

    epoch: int = 0
    start: int = 0
    seconds: float = 0.0


class _VectorTraining:
    """Trains `vectors` of all n-grams, float32 [F, E], and of all texts, [N, E], from the start or a checkpoint."""

    def __init__(
        self,
        settings: DocvecSettings,
        presence: Presence,
        pool: npt.NDArray[np.int32],
        data_digest: str,
        context: TrainingContext,
    ) -> None:
        self.settings, self.pool, self.context = settings, pool, context
        self.offsets = presence.matrix.indptr.astype(np.int64)
        self.ngrams = presence.matrix.indices.astype(np.int32)
        self.num_texts = len(self.offsets) - 1
        random = np.random.default_rng(context.seed)
        self.vectors = _random_vectors(random, len(presence.keys), settings.embedding_size)
        self.texts = _random_vectors(random, self.num_texts, settings.embedding_size)
        self.identity = {**identity_of(context.seed, model=settings), "reviews": data_digest}
        self.position = _Position()
        self._load()
        self.seconds_before = self.position.seconds
        self._began = time.perf_counter()

    def _load(self) -> None:
        if not self.context.resume:
            remove_checkpoint(self.context.folder)
        content = load_checkpoint(self.context.folder)
        if content is not None:
            refuse_change(self.context.folder, content["identity"], self.identity, of="training")
            self.position = _Position(**content["position"])
            self.vectors, self.texts = content["vectors"].numpy(), content["texts"].numpy()

    def _save(self) -> None:
        self.position.seconds = self.seconds_before + time.perf_counter() - self._began
        tensors = {"vectors": torch.from_numpy(self.vectors), "texts": torch.from_numpy(self.texts)}
        self.context.folder.mkdir(parents=True, exist_ok=True)
        save_checkpoint(self.context.folder, {"identity": self.identity, "position": asdict(self.position), **tensors})

    @property
    def num_done(self) -> int:
        """Texts read so far, over all epochs."""
        return self.position.epoch * self.num_texts + self.position.start

    def run(self) -> None:
        """Train all remaining epochs."""
        total, saved = self.settings.epochs * self.num_texts, time.perf_counter()
        bar = progress(self.context.console, "document vectors", total=total, completed=self.num_done)
        with Interruption() as interruption, bar as show:
            while self.position.epoch < self.settings.epochs:
                for chunk in self._remaining_chunks():
                    self._learn(chunk, progress=self.num_done / total)
                    show(self.num_done)
                    if interruption.requested:
                        self._save()
                        raise TrainingInterruptedError(
                            f"interrupted in epoch {self.position.epoch + 1} and saved in {self.context.folder}: "
                            "continue with --resume"
                        )
                    if time.perf_counter() - saved > _CHECKPOINT_SECONDS:
                        self._save()
                        saved = time.perf_counter()
                self.position.epoch, self.position.start = self.position.epoch + 1, 0
            self._save()

    def _remaining_chunks(self) -> Iterator[npt.NDArray[np.int64]]:
        order = np.random.default_rng((self.context.seed, self.position.epoch)).permutation(self.num_texts)
        for start in range(self.position.start, self.num_texts, _CHUNK):
            yield order[start : start + _CHUNK]

    def _learn(self, chunk: npt.NDArray[np.int64], *, progress: float) -> None:
        from plaudit.models.docvec import kernel

        draws = (self.context.seed, self.position.epoch, self.position.start)
        kernel.learn(
            self.texts,
            chunk,
            self.offsets,
            self.ngrams,
            self.pool,
            self.vectors,
            np.float32(self.settings.rate(progress)),
            np.float32(self.settings.sharpness),
            np.random.SeedSequence(draws).generate_state(1)[0],
        )
        self.position.start += len(chunk)


def _random_vectors(random: np.random.Generator, number: int, size: int) -> Float32Array:
    return random.standard_normal((number, size), np.float32) / np.float32(np.sqrt(size))


def _fit_classifier(model: DocvecModel, texts: list[str], label_ids: npt.NDArray[np.int64]) -> None:
    """Fit the model's logistic regression, in place, to the vectors that it infers for labelled texts.

    Their trained vectors would differ from those that the model infers for new texts.
    """
    from sklearn.linear_model import LogisticRegression

    features = model.features(texts)
    for problem, positive in enumerate(positive_labels(model.labels)):
        regression = LogisticRegression(C=model.settings.inverse_regularization, max_iter=1000)
        regression.fit(features, label_ids == positive)
        model.classifier[problem] = regression.coef_[0]
        model.bias[problem] = regression.intercept_[0]
