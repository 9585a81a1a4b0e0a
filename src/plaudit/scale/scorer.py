"""Arrow strings in, verdicts and probabilities out, as columns: the predictor's own numbers, with no str between."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from plaudit.predictor import Predictor

_CHARACTERS_OF_PLAIN_CODE = 100_000


class Scorer:
    """Scores texts the same, to the last bit, wherever in a job they stand; several threads may share one."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.added = added_columns(predictor.labels)
        # Plain code, which rounds differently, would serve the first so many characters of a process.
        predictor.predict_proba(["a " * _CHARACTERS_OF_PLAIN_CODE])

    @property
    def schema(self) -> pa.Schema:
        """Of what `columns` returns."""
        predicted, *probabilities = self.added
        return pa.schema([(predicted, pa.string()), *((name, pa.float32()) for name in probabilities)])

    def columns(self, texts: pa.StringArray) -> list[pa.Array]:
        """Return the verdict on each text and the probability of each label.

        A text that is null, empty or blank has neither; where the predictor abstains, the verdict is null.
        """
        is_blank = pc.or_(pc.utf8_is_space(texts), pc.equal(pc.binary_length(texts), 0))
        has_text = pc.fill_null(pc.invert(is_blank), False)
        all_have_text = has_text.true_count == len(texts)
        probabilities = self._predictor.predict_proba_of_column(texts if all_have_text else texts.filter(has_text))
        by_label = np.ascontiguousarray(probabilities.T)  # [C, N]: numpy is quick along N, which is long
        unsure = by_label.max(axis=0, initial=0) < self._predictor.abstain_below
        labels = pa.array(self._predictor.labels, pa.string())
        predicted = labels.take(pa.array(by_label.argmax(axis=0), mask=unsure))
        columns = [predicted, *map(pa.array, by_label)]
        if all_have_text:
            return columns
        there: npt.NDArray[np.bool_] = has_text.to_numpy(zero_copy_only=False)
        places = pa.array(np.cumsum(there) - 1, mask=~there)
        return [column.take(places) for column in columns]


def added_columns(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns that scores have."""
    return ("predicted", *(f"probability_{label}" for label in labels))
