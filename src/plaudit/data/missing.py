"""Which texts and labels of a file are missing: null, and what programs write for it."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MISSING = ("NaN", "nan", "<NA>", "#N/A")
"""What numpy, pandas and spreadsheets write for a missing value; no person writes a review or a label like that."""
_LONGEST = max(map(len, MISSING))


def without_missing(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return strings with null for each that stands for a missing value, white space around it or not."""
    # Few texts are so short, and to compare all of them would read every byte.
    candidates = pc.indices_nonzero(pc.fill_null(pc.less_equal(pc.binary_length(values), 4 * _LONGEST), False))
    if not len(candidates):
        return values
    written = pc.utf8_trim_whitespace(values.take(candidates))
    found = candidates.filter(pc.is_in(written, pa.array(MISSING)))
    if not len(found):
        return values
    is_missing = np.zeros(len(values), np.bool_)
    is_missing[found] = True
    return pc.if_else(pa.array(is_missing), pa.scalar(None, values.type), values)
