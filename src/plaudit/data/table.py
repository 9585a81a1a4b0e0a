"""The review table: what every data set yields and every later stage takes."""

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # unique within the dataset, e.g. train/pos/0_9
        ("text", pa.string()),
        ("label", pa.int8()),  # 0 … C-1, null when unlabelled
        ("split", pa.string()),  # train | validation | test | unsup
        ("group", pa.string()),  # movie id where known, null otherwise
        ("rating", pa.int8()),  # stars where known, null otherwise
    ]
)


@dataclass(frozen=True)
class Dataset:
    """Reviews of one source as one Arrow table with SCHEMA's columns.

    `labels[i]` names label i. `digest` (sha256, hex) identifies the source's content. `dropped` counts the
    rows that loading left out, by reason. `group_column` is where the groups come from, if they are of a column.
    """

    name: str
    labels: tuple[str, ...]
    table: pa.Table
    digest: str
    dropped: dict[str, int] = field(default_factory=dict)
    group_column: str | None = None

    def split(self, name: str) -> pa.Table:
        """Return the rows of one split; an empty table if there are none."""
        return self.table.filter(pc.equal(self.table["split"], name))


def with_split(table: pa.Table, split: str) -> pa.Table:
    """Return a review table with all rows in this split."""
    column = SCHEMA.get_field_index("split")
    return table.set_column(column, SCHEMA.field(column), pa.array([split] * len(table), pa.string()))
