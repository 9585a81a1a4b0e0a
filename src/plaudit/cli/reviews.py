"""Which reviews a verb judges: a data set's split as a model was trained with it, or the rows of an own file."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from plaudit.errors import SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

    from plaudit.data.table import Dataset
    from plaudit.predictor import Predictor


def reviews_for(
    predictor: "Predictor", data: str, split: str | None, assignments: Sequence[str], *, console: Console
) -> "tuple[Dataset, str, pa.Table]":
    """Load reviews, labelled with the model's names and split as when it was trained; the split's name and rows too."""
    from plaudit.data.load import DATASETS, DataSettings, load_dataset
    from plaudit.settings import override, parse

    values: dict[str, Any] = {"name": data}
    if data in DATASETS:
        trained_on = predictor.provenance.get("recipe", {}).get("data", {})
        values = dict(trained_on) if trained_on.get("name") == data else values
    else:
        values["labels"] = predictor.labels
    settings = parse(DataSettings, override(values, assignments), source="--set")
    dataset = load_dataset(settings, console=console)
    return dataset, *_choose_split(dataset, settings, split)


def _choose_split(dataset: "Dataset", settings: Any, split: str | None) -> "tuple[str, pa.Table]":  # noqa: ANN401
    from plaudit.data.load import DATASETS
    from plaudit.data.splits import prepare

    if split is None and dataset.name not in DATASETS and not len(dataset.split("test")):
        return "all", dataset.table
    name = split or "test"
    if name not in ("train", "validation", "test"):
        raise SettingsError(f"--split {name}: give train, validation or test")
    # Rows that the source itself calls by that name are taken as they are; else the training run's own split.
    own = dataset.split(name)
    table: pa.Table = own if len(own) and name == "test" else getattr(prepare(dataset, settings), name)
    return name, table
