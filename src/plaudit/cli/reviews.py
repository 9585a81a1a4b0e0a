"""Load the reviews that a command evaluates: a split of a data set, as in the model's training, or your own file."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from plaudit.cli.base import remark
from plaudit.errors import SettingsError

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
