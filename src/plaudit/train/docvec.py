"""Document vectors are learned from all train and unlabelled texts; then a classifier learns the labels of some.

An epoch's order depends on seed and epoch, what a text draws on seed, epoch and chunk. So a checkpoint is the vectors
and two counters, and a run that was killed and resumed ends with the same bits.
"""

import time
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from plaudit.bundle.trained import Provenance, TrainedModel
from plaudit.data.splits import Splits
from plaudit.errors import TrainingInterruptedError
from plaudit.models.base import Float32Array
from plaudit.models.bow.model import positive_labels
from plaudit.models.bow.ngrams import Presence, frequent_ngrams
from plaudit.models.docvec.model import DocvecModel, drawn_from
from plaudit.models.docvec.settings import DocvecSettings
from plaudit.train.checkpoint import load_checkpoint, refuse_changes, remove_checkpoint, save_checkpoint
from plaudit.train.context import TrainingContext
from plaudit.train.identity import identity_of
from plaudit.train.interrupt import Interruption
from plaudit.train.labels import accuracy_on_validation

_CHUNK = 4_096
"""Texts between two looks at whether to stop."""
_CHECKPOINT_SECONDS = 120


@dataclass
class _Position:
    epoch: int = 0
    start: int = 0
    seconds: float = 0.0


def fit_docvec(settings: DocvecSettings, splits: Splits, context: TrainingContext) -> TrainedModel:
    """Fit a model of document vectors.

    TrainingInterruptedError after Ctrl-C, when its state has been saved; SettingsError if a resumed run is given other
    settings or data than it began with.
    """
    began = time.perf_counter()
    settings = settings.model_copy(update={"cleaning": settings.cleaning.resolved()})
    train, console = splits.train["text"].to_pylist(), context.console
    with console.status("counting n-grams"):
        presence = frequent_ngrams(train + splits.unlabelled["text"].to_pylist(), settings)
    counts = np.diff(presence.matrix.tocsc().indptr).astype(np.int32)
    vectors, seconds = _learn(settings, presence, counts, data_digest=splits.digest, context=context)
    num_problems = len(positive_labels(splits.labels))
    model = DocvecModel(
        settings,
        splits.labels,
        keys=presence.keys,
        vectors=vectors.astype(np.float16),
        counts=counts,
        classifier=np.zeros((num_problems, settings.embedding_size), np.float32),
        bias=np.zeros(num_problems, np.float32),
    )
    with console.status(f"fitting {len(train):,} labels"):
        _fit_classifier(model, train, np.asarray(splits.train["label"].to_numpy()))
    seconds += time.perf_counter() - began
    provenance = Provenance(validation_accuracy=accuracy_on_validation(model, splits), train_seconds=seconds)
    return TrainedModel(model=model, provenance=provenance)


def _learn(
    settings: DocvecSettings,
    presence: Presence,
    counts: npt.NDArray[np.int32],
    *,
    data_digest: str,
    context: TrainingContext,
) -> tuple[Float32Array, float]:
    """Return the vectors of all n-grams, float32 [F, E], and the seconds that earlier parts of the run took."""
    from plaudit.models.docvec import kernel as docvec_kernel

    offsets, ngrams = presence.matrix.indptr.astype(np.int64), presence.matrix.indices.astype(np.int32)
    num_texts, size = len(offsets) - 1, settings.embedding_size
    random = np.random.default_rng(context.seed)
    vectors = _random_vectors(random, len(presence.keys), size)
    texts = _random_vectors(random, num_texts, size)
    position, before = _Position(), 0.0
    identity = {**identity_of(context.seed, model=settings), "reviews": data_digest}
    if not context.resume:
        remove_checkpoint(context.folder)
    content = load_checkpoint(context.folder)
    if content is not None:
        refuse_changes(context.folder, content["identity"], identity)
        position = _Position(**content["position"])
        before = position.seconds
        vectors, texts = content["vectors"].numpy(), content["texts"].numpy()
    pool = drawn_from(counts)
    began = saved = time.perf_counter()

    def save() -> None:
        position.seconds = before + time.perf_counter() - began
        tensors = {"vectors": torch.from_numpy(vectors), "texts": torch.from_numpy(texts)}
        context.folder.mkdir(parents=True, exist_ok=True)
        save_checkpoint(context.folder, {"identity": identity, "position": asdict(position), **tensors})

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Interruption() as interruption, Progress(*columns, console=context.console, transient=True) as progress:
        total = settings.epochs * num_texts
        bar = progress.add_task("document vectors", total=total, completed=position.epoch * num_texts + position.start)
        while position.epoch < settings.epochs:
            order = np.random.default_rng((context.seed, position.epoch)).permutation(num_texts)
            while position.start < num_texts:
                done = position.epoch * num_texts + position.start
                seed = np.random.SeedSequence((context.seed, position.epoch, position.start)).generate_state(1)[0]
                chunk = order[position.start : position.start + _CHUNK]
                rate = np.float32(settings.rate(done / total))
                sharpness = np.float32(settings.sharpness)
                docvec_kernel.learn(texts, chunk, offsets, ngrams, pool, vectors, rate, sharpness, seed)
                position.start += len(chunk)
                progress.update(bar, completed=done + len(chunk))
                if interruption.requested:
                    save()
                    raise TrainingInterruptedError(
                        f"interrupted in epoch {position.epoch + 1}; {context.folder} holds all of it: "
                        "go on with --resume"
                    )
                if time.perf_counter() - saved > _CHECKPOINT_SECONDS:
                    save()
                    saved = time.perf_counter()
            position.epoch, position.start = position.epoch + 1, 0
        save()
    return vectors, before


def _random_vectors(random: np.random.Generator, number: int, size: int) -> Float32Array:
    return random.standard_normal((number, size), np.float32) / np.float32(np.sqrt(size))


def _fit_classifier(model: DocvecModel, texts: list[str], label_ids: npt.NDArray[np.int64]) -> None:
    """Fit the model's logistic regression, in place, to the vectors that it infers for labelled texts.

    Inferred, not learned ones: so the classifier sees in training what it will see of other texts.
    """
    from sklearn.linear_model import LogisticRegression

    features = model.features(texts)
    for problem, positive in enumerate(positive_labels(model.labels)):
        regression = LogisticRegression(C=model.settings.inverse_regularization, max_iter=1000)
        regression.fit(features, label_ids == positive)
        model.classifier[problem] = regression.coef_[0]
        model.bias[problem] = regression.intercept_[0]
