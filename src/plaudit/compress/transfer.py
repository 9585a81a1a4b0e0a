"""The transfer set: the texts for which a student learns what its teachers predict.

How many there are matters most (Tang et al. 2019, "Distilling Task-Specific Knowledge from BERT").
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plaudit.compress.settings import TransferSettings
from plaudit.data.splits import Splits
from plaudit.errors import DataError
from plaudit.train.labels import labels_of


@dataclass(frozen=True)
class TransferSet:
    """N texts with unique ids; `labels` int64 [N], UNLABELLED where a review has none."""

    ids: list[str]
    texts: list[str]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


def transfer_set(splits: Splits, settings: TransferSettings) -> TransferSet:
    """Return the reviews of the sources; DataError if a source is empty."""
    ids: list[str] = []
    texts: list[str] = []
    labels = []
    for source in dict.fromkeys(settings.sources):
        table = splits.train if source == "train" else splits.unlabelled
        if not table.num_rows:
            raise DataError(f"{splits.name}: has no {source} reviews to distill from; leave them out of sources")
        ids += table["id"].to_pylist()
        texts += table["text"].to_pylist()
        labels.append(labels_of(table))
    return TransferSet(ids, texts, np.concatenate(labels))
