"""Files of predictions: what a model predicted for each review of a split, one Parquet file per model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from plaudit.errors import DataError
from plaudit.evaluate.score import Evaluation
from plaudit.storage import replacing


@dataclass(frozen=True)
class Predictions:
    """`ids` [N], `labels` int64 [N], `probabilities` float32 [N, C] of one model on one split."""

    model: str
    split: str
    ids: list[str]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]

    @property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """Whether the most probable label is the true one, bool [N]."""
        right: npt.NDArray[np.bool_] = self.probabilities.argmax(axis=1) == self.labels
        return right


def write_predictions(path: Path, table: pa.Table, evaluation: Evaluation) -> None:
    """Write id, text, label, probabilities and split of each review; OutputError if it cannot be written."""
    probabilities = evaluation.probabilities
    offsets = np.arange(len(probabilities) + 1, dtype=np.int32) * probabilities.shape[1]
    columns = {
        "id": table["id"],
        "text": table["text"],
        "label": pa.array(evaluation.labels),
        "probabilities": pa.ListArray.from_arrays(offsets, probabilities.ravel()),
        "split": pa.repeat(evaluation.result.split, table.num_rows),
    }
    with replacing(path, hint="name a folder with room to write to") as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def read_predictions(path: Path) -> Predictions:
    """Read a file that `plaudit run` wrote, without its texts; DataError if it is another file."""
    try:
        table = pq.read_table(path, columns=["id", "label", "probabilities", "split"])
        return Predictions(
            path.stem,
            table["split"][0].as_py(),
            table["id"].to_pylist(),
            table["label"].to_numpy().astype(np.int64),
            np.stack(table["probabilities"].to_numpy()),
        )
    except (OSError, ValueError, IndexError, pa.ArrowException):
        raise DataError(f"{path}: not a file of predictions; give one that plaudit run wrote") from None


def read_texts(path: Path, rows: Sequence[int] | npt.NDArray[np.int64]) -> list[str]:
    """Return the texts of some rows of a file of predictions."""
    texts: list[str] = pq.read_table(path, columns=["text"])["text"].take(pa.array(rows)).to_pylist()
    return texts
