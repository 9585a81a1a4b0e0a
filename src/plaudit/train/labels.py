"""Labels of a review table as numbers, and a model's accuracy on the validation split."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from plaudit.data.splits import Splits
from plaudit.models.base import Model
from plaudit.train.targets import UNLABELLED


def labels_of(table: pa.Table) -> npt.NDArray[np.int64]:
    """Return the labels of a review table, int64 [N], UNLABELLED where a row has none."""
    return np.asarray(pc.fill_null(table["label"], UNLABELLED).to_numpy(), np.int64)


def accuracy_on_validation(model: Model, splits: Splits) -> float:
    """Return the share of validation reviews that a model gets right."""
    predicted = model.logits(splits.validation["text"].to_pylist()).argmax(axis=1)
    return float((predicted == labels_of(splits.validation)).mean())
