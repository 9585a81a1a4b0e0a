"""Score Arrow columns of texts into Arrow columns of labels and probabilities, without a Python str for each text."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from plaudit.data.missing import without_missing
from plaudit.predictor import Predictor

_CHARACTERS_OF_PLAIN_CODE = 100_000


class ArrowScorer:
    """Gives a text the same score, to the last bit, wherever in a job it is; several threads may share one scorer."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        predicted, *probabilities = added_columns(predictor.labels)
        self.schema = pa.schema([(predicted, pa.string()), *((name, pa.float32()) for name in probabilities)])
        """The schema of what `columns` returns."""
        # The first characters in a process go through code that is not compiled, which rounds differently.
        predictor.predict_proba(["a " * _CHARACTERS_OF_PLAIN_CODE])

    def columns(self, texts: pa.StringArray) -> list[pa.Array]:
        """Return the predicted label of each text and the probability of each label.

        All are null for a text that is missing, empty or blank; where the predictor abstains, the label is null.
        """
        texts = without_missing(texts)
        is_blank = pc.or_(pc.utf8_is_space(texts), pc.equal(pc.binary_length(texts), 0))
        has_text = pc.fill_null(pc.invert(is_blank), False)
        all_have_text = has_text.true_count == len(texts)
        probabilities = self._predictor.predict_proba_of_column(texts if all_have_text else texts.filter(has_text))
        by_label = np.ascontiguousarray(probabilities.T)  # [C, N]: numpy is fast along N, which is long
        unsure = by_label.max(axis=0, initial=0) < self._predictor.abstain_below
        labels = pa.array(self._predictor.labels, pa.string())
        predicted = labels.take(pa.array(by_label.argmax(axis=0), mask=unsure))
        columns = [predicted, *map(pa.array, by_label)]
        if all_have_text:
            return columns
        is_scored: npt.NDArray[np.bool_] = has_text.to_numpy(zero_copy_only=False)
        positions = pa.array(np.cumsum(is_scored) - 1, mask=~is_scored)
        return [column.take(positions) for column in columns]


def added_columns(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns that scoring adds."""
    return ("predicted", *(f"probability_{label}" for label in labels))
