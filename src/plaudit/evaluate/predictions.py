"""Predictions that a run left behind, a Parquet file for each model: how every review was judged."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from plaudit.errors import DataError


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


def read_predictions(path: Path) -> Predictions:
    """Read a file that `plaudit run` wrote; DataError if it is another."""
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
