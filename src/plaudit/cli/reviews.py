"""Load the reviews that a command evaluates: a split of a data set, as in the model's training, or your own file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console

from plaudit.cli.base import remark
from plaudit.errors import DataError, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

    from plaudit.data.load import DataSettings
    from plaudit.data.table import Dataset
    from plaudit.predictor import Predictor


def reviews_for(
    predictor: "Predictor", data: str, split: str | None, assignments: Sequence[str], *, console: Console
) -> "tuple[Dataset, str, pa.Table]":
    """Return a dataset with the model's labels, and the name and rows of the split that was asked for.

    A data set that the model was trained on is split as it was then. SettingsError if the settings list values for
    labels that the model does not have.
    """
    from plaudit.data.label_values import for_model
    from plaudit.data.load import DATASETS, DataSettings, load_dataset
    from plaudit.settings import override, parse

    values: dict[str, Any] = {"name": data}
    if data in DATASETS:
        trained_on = predictor.provenance.data
        values = dict(trained_on) if trained_on.get("name") == data else values
    else:
        values["labels"] = predictor.labels
    settings = parse(DataSettings, override(values, assignments), source="--set")
    if isinstance(settings.labels, Mapping):
        classes = for_model(settings.labels, predictor.labels, source="--labels")
        settings = settings.model_copy(update={"labels": classes})
    dataset = load_dataset(settings, console=console)
    for reason, count in dataset.dropped.items():
        remark(console, f"{data}: left out {count:,} rows, {reason}")
    return dataset, *_choose_split(dataset, settings, split)


def _choose_split(dataset: "Dataset", settings: "DataSettings", split: str | None) -> "tuple[str, pa.Table]":
    from plaudit.data.load import DATASETS
    from plaudit.data.splits import prepare

    test = dataset.split("test")
    if split is None and dataset.name not in DATASETS and not len(test):
        return "all", dataset.table
    name = split or "test"
    if name not in ("train", "validation", "test"):
        raise SettingsError(f"--split {name}: give train, validation or test")
    # A test split of the source is taken as it is; all else is split as in training.
    return name, test if name == "test" and len(test) else getattr(prepare(dataset, settings), name)


@dataclass
class Unseen:
    """Leaves out the rows that any of some models was trained on, so that all are compared on what none has seen.

    With `keep` it only says how many there are.
    """

    predictors: "Mapping[str, Predictor]"
    keep: bool
    console: Console
    _said: set[str] = field(default_factory=set)

    def rows(self, data: str, split: str, table: "pa.Table") -> "tuple[str, pa.Table]":
        """Return the rows to score and what to call them; DataError if none is left."""
        import numpy as np
        import pyarrow as pa

        from plaudit.data.splits import text_digests

        recorded = {name: known for name, each in self.predictors.items() if (known := each.trained_on) is not None}
        if not recorded:
            return split, table
        digests = text_digests(table["text"])
        seen_by = {name: seen for name, known in recorded.items() if (seen := np.isin(digests, known)).any()}
        if not seen_by:
            return split, table
        seen = np.logical_or.reduce(list(seen_by.values()))
        rows = f"{seen.sum():,} of {len(table):,} rows that {' or '.join(seen_by)} was trained on"
        if self.keep:
            self._say(f"{data}: scores include {rows}")
            return split, table
        if seen.all():
            raise DataError(
                f"{data}: no rows are left without the {rows}; give others, or score them with --include-trained-on"
            )
        self._say(f"{data}: left out {rows} (--include-trained-on scores them too)")
        return "unseen" if split == "all" else f"{split}, unseen", table.filter(pa.array(~seen))

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            remark(self.console, text)
