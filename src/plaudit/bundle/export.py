"""Exports a trained model as one file that other programs can run.

`onnx` is for LSTM and transformer models and runs wherever ONNX Runtime does. Its inputs are ids, int64 [B, T], and
mask, bool [B, T]; its output is logits, float32 [B, C]. All weights are fp32, and metadata_props hold everything else
that is needed to score a text:

    kind, labels          "lstm" or "transformer"; JSON list, in the order of the logits
    max_tokens            greatest T
    truncation            which part of a longer text to keep: "head", "tail", or "head+tail": half of each, head first
    padding_id            the id that follows a text where mask is false
    cleaning              lstm: JSON, how a text becomes words (`CleaningSettings`)
    vocabulary            lstm: JSON, word → id
    unknown_id            lstm: the id of any other word, and the one id of a text without words
    tokenizer             transformer: tokenizer.json, less its own truncation and padding
    ids_before, ids_after transformer: JSON lists, the special ids around a text; max_tokens includes them

`flat` is for bags of n-grams: a file that a C program can map into memory, specified in `models/bow/flat.py`.

Shapes: B batch, T tokens, E embedding, H hidden, C classes.
"""

import copy
import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from rich.console import Console

from plaudit.errors import MissingExtraError, OutputError, SettingsError
from plaudit.models.base import Model
from plaudit.settings import unknown_name
from plaudit.storage import replacing
from plaudit.text.encoded import FIRST_WORD_ID, PAD_ID, UNKNOWN_ID

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from plaudit.models.lstm.settings import LSTMSettings
    from plaudit.models.torch_model import TorchModel

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18
"""The oldest that torch's exporter writes: runtimes of 2023 and later read it."""

MAX_DIFFERENCE = 1e-4
"""Between the logits of the file and those of the model."""

MAX_WEIGHT_BYTES = 2**31 - 2**24
"""The most that a protobuf message holds, less room for the vocabulary and the graph."""


@dataclass(frozen=True)
class Exported:
    """The size of the file, and the greatest difference of its logits from the model's, None if not compared."""

    size_bytes: int
    max_difference: float | None


@dataclass(frozen=True)
class Exporter:
    """A file format: the kinds it is for, and the function that writes a file and returns `max_difference`."""

    kinds: tuple[str, ...]
    write: Callable[[Model, Path], float | None]


def export_model(model: Model, *, format: str, out: Path, console: Console) -> Exported:
    """Write a model, as `load_trainable` returns it, in one of FORMATS; the file appears only once it is checked.

    SettingsError if this kind does not have the format, MissingExtraError if packages are missing, OutputError if the
    file cannot be written or its logits differ from the model's.
    """
    if format not in FORMATS:
        raise SettingsError(f"--format {format} {unknown_name(format, FORMATS)}")
    kind = model.settings.kind
    if kind not in FORMATS[format].kinds:
        supported = ", ".join(name for name, exporter in FORMATS.items() if kind in exporter.kinds) or "none"
        raise SettingsError(f"--format {format}: not for a model of kind {kind}; its formats: {supported}")
    with replacing(out, hint="name a file where there is room") as temporary:
        with console.status("writing and checking the file"):
            max_difference = FORMATS[format].write(model, temporary)
        exported = Exported(temporary.stat().st_size, max_difference)
    checked = "" if max_difference is None else f", logits within {max_difference:.0e} of the model's"
    console.print(f"{out}: {exported.size_bytes / 1e6:.2f} MB{checked}", highlight=False, markup=False)
    return exported


def _write_onnx(model: Model, path: Path) -> float:
    if missing := [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]:
        raise MissingExtraError(f"--format onnx needs {', '.join(missing)}: pip install 'plaudit[onnx]'")
    from plaudit.models.torch_model import TorchModel

    assert isinstance(model, TorchModel)
    network = copy.deepcopy(model.network).cpu().eval()
    size_bytes = sum(weights.nbytes for weights in network.parameters())
    if size_bytes > MAX_WEIGHT_BYTES:
        raise OutputError(f"an ONNX file holds less than 2 GB, but the model has {size_bytes / 1e9:.1f} GB of weights")
    build, describe = _ONNX_KINDS[model.settings.kind]
    proto = build(model, network)
    proto.producer_name = "plaudit"
    proto.ClearField("producer_version")  # torch's
    settings = cast(Any, model.settings)
    metadata = {
        "kind": settings.kind,
        "labels": json.dumps(model.labels, ensure_ascii=False),
        "max_tokens": str(settings.max_tokens),
        "truncation": settings.truncation,
        "padding_id": str(PAD_ID),
    }
    for key, value in {**metadata, **describe(model)}.items():
        proto.metadata_props.add(key=key, value=value)
    path.write_bytes(proto.SerializeToString())
    return _checked_difference(path, network, model)


def _checked_difference(path: Path, network: "nn.Module", model: "TorchModel") -> float:
    """Return the greatest difference of logits on random batches; OutputError if it is over MAX_DIFFERENCE."""
    import onnxruntime
    import torch
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    failures = (
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.NotImplemented,
        errors.RuntimeException,
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, so they need not be logged
    random = np.random.default_rng(0)
    max_tokens = cast(Any, model.settings).max_tokens
    differences = []
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for rows, width in ((1, 1), (1, max_tokens), (3, min(7, max_tokens)), (8, max_tokens)):
            mask = np.arange(width) < random.integers(1, width + 1, (rows, 1))
            ids = np.where(mask, random.integers(model.encoder.num_tokens, size=mask.shape), PAD_ID)
            (logits,) = session.run(["logits"], {"ids": ids, "mask": mask})
            with torch.inference_mode():
                expected = network(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
            differences.append(np.abs(logits - expected).max())
    except failures as error:
        reason = str(error).partition("\n")[0]
        raise OutputError(f"ONNX Runtime cannot run this model: {reason}") from None
    difference = float(np.max(differences))
    if not difference <= MAX_DIFFERENCE:  # NaN is refused as well
        raise OutputError(
            f"the ONNX file's logits differ by {difference:.0e} from the model's; at most {MAX_DIFFERENCE:.0e} is fine"
        )
    return difference


def _lstm_metadata(model: "TorchModel") -> dict[str, str]:
    words = cast(Any, model.encoder).words
    vocabulary = {word: i for i, word in enumerate(words, start=FIRST_WORD_ID)}
    return {
        "cleaning": cast(Any, model.settings).cleaning.model_dump_json(),
        "vocabulary": json.dumps(vocabulary, ensure_ascii=False),
        "unknown_id": str(UNKNOWN_ID),
    }


def _transformer_metadata(model: "TorchModel") -> dict[str, str]:
    before, after = cast(Any, model.encoder).frame()
    # A folder's tokenizer may truncate and pad by itself; here max_tokens and the mask decide.
    tokenizer = json.loads(model.encoder.files()["tokenizer.json"]) | {"truncation": None, "padding": None}
    return {
        "tokenizer": json.dumps(tokenizer, ensure_ascii=False),
        "ids_before": json.dumps(before),
        "ids_after": json.dumps(after),
    }


def _lstm_proto(model: "TorchModel", network: "nn.Module") -> "onnx.ModelProto":
    from plaudit.models.lstm.onnx import lstm_proto

    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    return lstm_proto(cast("LSTMSettings", model.settings), weights, opset=OPSET)


def _transformer_proto(model: "TorchModel", network: "nn.Module") -> "onnx.ModelProto":
    import torch

    cast(Any, network).scoring_precision = "fp32"  # in this copy; the runtime chooses its own
    # The exporter would take an example's size of 1 for a constant.
    ids = torch.full((2, 3), UNKNOWN_ID)
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    try:
        with _quiet_torch():
            program = torch.onnx.export(
                network,
                (ids, torch.ones_like(ids, dtype=torch.bool)),
                dynamo=True,
                dynamic_shapes=(shape, shape),
                input_names=["ids", "mask"],
                output_names=["logits"],
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        # The error itself explains, in colours, how to report it to torch.
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise OutputError(f"torch cannot write this transformer as ONNX: {reason}") from None
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    # Each node carries the stack trace of its Python call: four fifths of a small file, and paths of this machine.
    for node in proto.graph.node:
        node.ClearField("metadata_props")
    return proto


@contextmanager
def _quiet_torch() -> Iterator[None]:
    """Silence warnings of torch's exporter: deprecations, no torchvision, two inputs with the same axes."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.filterwarnings("ignore", "# The axis name: .* will not be used", UserWarning)
            yield
    finally:
        logger.setLevel(level)


_ONNX_KINDS = {
    "lstm": (_lstm_proto, _lstm_metadata),
    "transformer": (_transformer_proto, _transformer_metadata),
}


def _write_flat(model: Model, path: Path) -> None:
    from plaudit.models.bow.flat import write_flat
    from plaudit.models.bow.model import BowModel

    assert isinstance(model, BowModel)
    write_flat(model, path)


FORMATS = {
    "onnx": Exporter(kinds=tuple(_ONNX_KINDS), write=_write_onnx),
    "flat": Exporter(kinds=("bow",), write=_write_flat),
}
