"""A bundle is a trained model as a folder: bundle.json, one safetensors file, and what else the kind needs.

    bundle.json           format, kind, labels, provenance, settings, and the size and sha256 of every other file
    weights.safetensors   tensors
    vocabulary.txt, …     files of the kind
    calibration.json      how its probabilities are corrected, if at all
    README.md             a model card for people, which loading does not read
    trained-on.bin        digests of the texts that it was trained on, for `plaudit evaluate`; may be deleted

Loading executes nothing that the folder holds, and refuses one that is not exactly what was saved.
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from plaudit.bundle.trained import Provenance, TrainedModel
from plaudit.errors import BundleError, OutputError, SettingsError
from plaudit.models.base import Model, ModelState
from plaudit.models.calibration import Calibration
from plaudit.models.kinds import model_class, runtime_class
from plaudit.settings import Settings, parse

FORMAT = "plaudit-bundle-1"
MANIFEST = "bundle.json"
WEIGHTS = "weights.safetensors"
CALIBRATION = "calibration.json"
CARD = "README.md"
TRAINED_ON = "trained-on.bin"
_DIGEST = np.dtype("<u8")


class FileDigest(Settings):
    """What a file of the bundle must be."""

    size_bytes: int
    sha256: str


class Manifest(Settings):
    """The content of bundle.json, less its own digest."""

    format: str
    """Name and version of the format; other versions are refused."""
    kind: str
    """Kind of the model, such as bow."""
    labels: tuple[str, ...]
    """Names of the classes, in the order of the model's logits."""
    provenance: Provenance
    settings: dict[str, Any]
    """Settings of the kind, every default spelt out."""
    files: dict[str, FileDigest]
    """Every other file of the folder by name, but for the model card and the digests of training texts."""

    @property
    def sha256(self) -> str:
        """Digest of all of the above, and so of every file."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def as_bytes(self) -> bytes:
        """Return the file's bytes, its own sha256 included: the only way in which this manifest may be written."""
        content = {**self.model_dump(mode="json"), "sha256": self.sha256}
        return json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"


@dataclass(frozen=True, kw_only=True)
class Bundle(TrainedModel):
    """A trained model as it was loaded."""

    manifest: Manifest
    size_bytes: int
    num_parameters: int

    @property
    def digest(self) -> str:
        """The sha256 in bundle.json, which covers every file of the model."""
        return self.manifest.sha256


def save_bundle(trained: TrainedModel, folder: Path) -> None:
    """Write a model as a new folder, whole or not at all; OutputError if it exists or cannot be written."""
    model = trained.model
    state = model.state()
    files = {WEIGHTS: save_tensors(state.tensors), **state.files}
    if trained.calibration is not None:
        files[CALIBRATION] = trained.calibration.model_dump_json(exclude_none=True).encode() + b"\n"
    manifest = Manifest(
        format=FORMAT,
        kind=model.settings.kind,
        labels=model.labels,
        provenance=trained.provenance,
        settings=model.settings.model_dump(mode="json"),
        files={
            name: FileDigest(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
            for name, content in files.items()
        },
    )
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
        temporary.chmod(0o755)
        if trained.trained_on is not None:
            files[TRAINED_ON] = trained.trained_on.astype(_DIGEST).tobytes()
        for name, content in {**files, MANIFEST: manifest.as_bytes()}.items():
            (temporary / name).write_bytes(content)
        temporary.rename(folder)
    except OSError as error:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        raise OutputError(
            f"{folder}: the model cannot be written ({error.strerror}); name a new folder where there is room"
        ) from None


def load_bundle(folder: Path) -> Bundle:
    """Read a model to predict with.

    BundleError if the folder is not a bundle, changed since it was saved, of a newer format, or holds a language model.
    """
    bundle = _load(folder, runtime_class)
    if bundle.is_language_model:
        raise BundleError(f"{folder}: a language model, which predicts no labels; train from it with pretrained = ...")
    return bundle


def load_trainable(folder: Path) -> Bundle:
    """Read a model to train on or to compress, as `load_bundle` does; torch kinds need the extra `train`."""
    return _load(folder, model_class)


def _load(folder: Path, class_of_kind: Callable[[str], type[Model]]) -> Bundle:
    manifest, files = read_files(folder)
    if WEIGHTS not in files:
        raise BundleError(f"{folder / MANIFEST}: lists no {WEIGHTS}; save the model again")
    try:
        tensors = load_tensors(files.pop(WEIGHTS))
    except SafetensorError as error:
        raise BundleError(f"{folder / WEIGHTS}: not a safetensors file ({error}); save the model again") from None
    calibration = _read_calibration(folder / CALIBRATION, files.pop(CALIBRATION, None))
    try:
        cls = class_of_kind(manifest.kind)
        settings = parse(cls.Settings, manifest.settings, source=str(folder / MANIFEST), prefix="settings")
    except SettingsError as error:
        raise BundleError(f"{error}; this needs a newer version of Plaudit") from None
    try:
        model = cls.from_state(settings, manifest.labels, ModelState(tensors, files))
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from None
    return Bundle(
        model=model,
        provenance=manifest.provenance,
        manifest=manifest,
        size_bytes=sum(digest.size_bytes for digest in manifest.files.values()) + (folder / MANIFEST).stat().st_size,
        num_parameters=_num_parameters(tensors),
        calibration=calibration,
        trained_on=read_trained_on(folder),
    )


def read_trained_on(folder: Path) -> npt.NDArray[np.uint64] | None:
    """Return the digests of the texts that a model was trained on, None without the file; BundleError if damaged."""
    path = folder / TRAINED_ON
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); delete it or copy it again") from None
    if len(content) % _DIGEST.itemsize:
        raise BundleError(f"{path}: damaged, not digests of {_DIGEST.itemsize} bytes; delete it or copy it again")
    return np.frombuffer(content, _DIGEST).astype(np.uint64)


def _read_calibration(path: Path, content: bytes | None) -> Calibration | None:
    try:
        return None if content is None else Calibration.model_validate_json(content)
    except ValidationError:
        raise BundleError(f"{path}: not a calibration this version of Plaudit knows; upgrade plaudit") from None


def read_files(folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """Read a model folder's manifest and other files; BundleError as `load_bundle`, whatever the folder holds."""
    manifest = _read_manifest(folder)
    listed = {MANIFEST, CARD, TRAINED_ON, *manifest.files}
    for path in sorted(folder.iterdir()):
        if path.name not in listed and not path.name.startswith("."):
            raise BundleError(f"{path}: not part of this bundle; take it out of the folder")
    return manifest, {name: _read_file(folder / name, digest) for name, digest in manifest.files.items()}


def _num_parameters(tensors: Mapping[str, npt.NDArray[np.generic]]) -> int:
    """Count weights, however they are stored, but not their scales and bit masks, nor the keys of n-grams."""
    return sum(
        tensor.size
        for name, tensor in tensors.items()
        if name.endswith(".bf16")
        or ((tensor.dtype.kind == "f" or tensor.dtype == np.int8) and not name.endswith("scale"))
    )


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        raw = path.read_bytes()
    except OSError:
        raise BundleError(f"{folder}: not a model folder, it has no readable {MANIFEST}") from None
    try:
        content = json.loads(raw)
        found_format = content["format"]
        del content["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BundleError(f"{path}: not written by Plaudit; save the model again") from None
    if found_format != FORMAT and re.fullmatch(r"plaudit-bundle-\d+", str(found_format)):
        raise BundleError(f"{path}: format {found_format}, but this version of Plaudit reads {FORMAT}; upgrade plaudit")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError:
        raise BundleError(f"{path}: not written by Plaudit; save the model again") from None
    if manifest.format != FORMAT:
        raise BundleError(f"{path}: not written by Plaudit; save the model again")
    if manifest.as_bytes() != raw:
        raise BundleError(f"{path}: changed since it was saved; save or copy the model again")
    for name in manifest.files:
        if name == MANIFEST or not re.fullmatch(r"\w[\w.-]*", name):
            raise BundleError(f"{path}: {name} is not a file name inside the folder")
    return manifest


def _read_file(path: Path, expected: FileDigest) -> bytes:
    try:
        if path.stat().st_size == expected.size_bytes:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == expected.sha256:
                return content
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); copy the model again") from None
    raise BundleError(f"{path}: changed since it was saved; save or copy the model again")
