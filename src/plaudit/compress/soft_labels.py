"""Soft labels: a teacher's logits by review id, in one small file that replaces the teacher.

It is a Parquet file with the columns `id` and `logits` (fp16, one for each label, centred), and with metadata: format,
label names, provenance, and the sha256 of ids, logits and these.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from plaudit.errors import DataError
from plaudit.models.base import Float32Array
from plaudit.storage import replacing

FORMAT = 1
_KEY = b"plaudit soft labels"


@dataclass(frozen=True)
class SoftLabels:
    """`logits` float16 [N, C] of the texts `ids`; `provenance` holds the teachers' weights and the reviews' digest."""

    ids: list[str]
    logits: npt.NDArray[np.float16]
    labels: tuple[str, ...]
    provenance: Mapping[str, Any]

    def of(self, ids: Sequence[str], *, source: str) -> Float32Array:
        """Return the logits of these texts, float32 [n, C]; DataError names the first that has none."""
        place = {id: i for i, id in enumerate(self.ids)}
        try:
            return self.logits[[place[id] for id in ids]].astype(np.float32)
        except KeyError as error:
            raise DataError(f"{source}: no soft label for review {error.args[0]}; label the same reviews") from None


def write_soft_labels(soft: SoftLabels, path: Path) -> None:
    """Write the file, whole or not at all; OutputError if it cannot be written."""
    described = {"format": FORMAT, "labels": list(soft.labels), "provenance": dict(soft.provenance)}
    metadata = json.dumps({**described, "sha256": _digest(soft.ids, soft.logits, described)})
    logits = pa.FixedSizeListArray.from_arrays(pa.array(soft.logits.ravel(), pa.float16()), soft.logits.shape[1])
    table = pa.table({"id": soft.ids, "logits": logits}).replace_schema_metadata({_KEY: metadata})
    with replacing(path, hint="name a folder with room to write to") as temporary:
        pq.write_table(table, temporary, compression="zstd", compression_level=19)


def read_soft_labels(path: Path) -> SoftLabels:
    """Read the file; DataError if it is something else, of a newer format, or changed since it was written."""
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
        described = json.loads(table.schema.metadata[_KEY])
        if described["format"] != FORMAT:
            raise DataError(f"{path}: format {described['format']}, but this version reads {FORMAT}; upgrade plaudit")
        digest = described.pop("sha256")
        ids = table["id"].to_pylist()
        flat = table["logits"].combine_chunks().flatten()
        logits = np.asarray(flat, np.float16).reshape(len(ids), -1)
        labels = tuple(described["labels"])
        is_unchanged = _digest(ids, logits, described) == digest
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; write one with plaudit label") from None
    except (OSError, pa.ArrowException, AttributeError, ValueError, KeyError, TypeError):
        raise DataError(f"{path}: not a file of soft labels; write one with plaudit label") from None
    if not is_unchanged:
        raise DataError(f"{path}: changed since it was written; copy it again")
    return SoftLabels(ids, logits, labels, described["provenance"])


def _digest(ids: Sequence[str], logits: npt.NDArray[np.float16], described: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    digest.update("\n".join(ids).encode())
    digest.update(np.ascontiguousarray(logits).data)
    return digest.hexdigest()
