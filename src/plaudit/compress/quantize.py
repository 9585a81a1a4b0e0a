"""Quantization: fewer bits for each weight, with a scale for each row of a matrix.

A model predicts with the rounded values in fp32: its file gets smaller, its speed stays (measured in
docs/compression.md). Train reviews decide whether outliers are clipped.
"""

import time
from typing import Literal

import numpy as np

from plaudit.bundle.trained import Provenance, TrainedModel
from plaudit.compress.base import Context, Subject, logits_in_chunks
from plaudit.compress.settings import QuantizeSettings
from plaudit.errors import SettingsError
from plaudit.models.base import Model, ModelState
from plaudit.models.bow.model import BowModel, quantized
from plaudit.models.packed import CLIPPING, NO_CLIPPING, rounded, unpack
from plaudit.models.torch_model import TorchModel
from plaudit.train.labels import labels_of

_CALIBRATION_REVIEWS = 512


def quantize(subject: Subject, settings: QuantizeSettings, context: Context) -> TrainedModel:
    """Return the model with rounded weights; SettingsError if that would not make it smaller."""
    model = subject.model
    assert model is not None
    start = time.perf_counter()
    if isinstance(model, BowModel):
        if settings.storage != "int8":
            raise SettingsError('a bow has 16 bits a weight already; quantize it to storage = "int8"')
        smaller: Model = quantized(model)
    elif isinstance(model, TorchModel):
        smaller = _rounded(model, settings.storage, context)
    else:
        raise SettingsError(f"a model of kind {subject.settings.kind} cannot be quantized; give a bow or a network")
    before, after = _size_bytes(model), _size_bytes(smaller)
    if after >= before:
        raise SettingsError(
            f"storage = {settings.storage}: would take {after:,} bytes, no less than now ({before:,}); leave it alone"
        )
    seconds = time.perf_counter() - start
    texts = context.splits.validation["text"].to_pylist()
    labels = labels_of(context.splits.validation)
    predicted_before, predicted = (logits_in_chunks(each, texts).argmax(axis=1) for each in (model, smaller))
    figures = {
        "storage": settings.storage,
        "agreement": round(float((predicted == predicted_before).mean()), 5),
        "validation_accuracy_before": round(float((predicted_before == labels).mean()), 5),
        "weight_bytes_before": before,
        "weight_bytes": after,
    }
    provenance = Provenance(
        validation_accuracy=float((predicted == labels).mean()),
        learned_validation=subject.provenance.learned_validation,
        train_seconds=seconds,
    )
    return subject.compressed(TrainedModel(model=smaller, provenance=provenance), "quantize", settings, figures)


def _rounded(model: TorchModel, storage: Literal["int8", "bf16"], context: Context) -> TorchModel:
    """Round each matrix, and clip outliers if that changes the logits of some train reviews less."""
    if model.settings.storage != "fp32":
        raise SettingsError(f"the model is stored as {model.settings.storage} already; quantize the fp32 model")
    settings = model.settings.model_copy(update={"storage": storage})
    weights = unpack(model.state().tensors)
    texts = context.splits.train["text"].to_pylist()
    texts = texts[:: -(-len(texts) // _CALIBRATION_REVIEWS)]
    expected = model.logits(texts)
    candidates = []
    for clipping in (NO_CLIPPING, CLIPPING) if storage == "int8" else (NO_CLIPPING,):
        tensors = {name: rounded(tensor, storage, clipping) for name, tensor in weights.items()}
        candidate = type(model).from_state(settings, model.labels, ModelState({**tensors}, model.state().files))
        candidates.append((float(np.square(candidate.logits(texts) - expected).mean()), candidate))
    return min(candidates, key=lambda pair: pair[0])[1]


def _size_bytes(model: Model) -> int:
    return sum(tensor.nbytes for tensor in model.state().tensors.values())
