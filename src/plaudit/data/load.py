"""Reviews in: a name or a file path becomes a `Dataset`, and a dataset becomes seeded, leak-free splits."""

import difflib
from pathlib import Path

from pydantic import Field
from rich.console import Console

from plaudit.data.labelled_file import Columns, read_own
from plaudit.data.sources import imdb, imdb_train
from plaudit.data.sources.base import Availability, Source
from plaudit.data.table import Dataset
from plaudit.errors import DataError, SettingsError
from plaudit.settings import Settings

DATASETS: dict[str, Source] = {
    "imdb": imdb.SOURCE,
    "imdb-train": imdb_train.SOURCE,
}


class DataSettings(Settings):
    """Which reviews, and how they are split."""

    name: str
    """A name in DATASETS, or the path of an own CSV, TSV, JSON-lines or Parquet file."""

    text_column: str | None = None
    """Column of an own file that holds the text; None takes the first usual name, such as text or review."""

    label_column: str | None = None
    """Column of an own file that holds the label; None takes the first usual name, such as label or
    sentiment.
    """

    split_column: str | None = None
    """Column of an own file that says train, validation, test or unsup; None takes `split` if it is there."""

    group_column: str | None = None
    """Column of an own file whose equal values must not be split apart; None takes `group` if it is there."""

    id_column: str | None = None
    """Column of an own file with a unique name for each row; None takes `id` if it is there and unique."""

    labels: tuple[str, ...] | None = None
    """Label names of an own file in their order, such as those of a model; None takes the values found,
    sorted.
    """

    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Part of train to hold out where the source has no validation split."""

    test_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Part of train to hold out first where the source has no test split."""

    seed: int = 0
    """Decides which groups are held out, and which rows `limit` keeps."""

    leave_out: str | None = None
    """A table of reviews, by their `id`, that nothing is to be trained or validated on, such as the sources of a
    test set of edited reviews.
    """

    limit: int | None = Field(default=None, ge=2)
    """Train on this many reviews, as many of each label, and shrink the other splits in proportion."""


def load_dataset(settings: DataSettings, *, console: Console | None = None) -> Dataset:
    """Load the reviews that `settings.name` means; `console` shows the progress of a download.

    DataError if they cannot be had or are not what was promised, SettingsError if a column setting has no
    effect.
    """
    columns = Columns(
        text=settings.text_column,
        label=settings.label_column,
        split=settings.split_column,
        group=settings.group_column,
        id=settings.id_column,
    )
    source = DATASETS.get(settings.name)
    if source is None:
        _check_is_file(settings.name)
        return read_own(Path(settings.name), columns, labels=settings.labels)
    for setting in ("text_column", "label_column", "split_column", "group_column", "id_column", "labels"):
        if getattr(settings, setting) is not None:
            raise SettingsError(f"data.{setting} has no effect on {settings.name}; leave it out")
    return source.load(console)


def available() -> dict[str, Availability]:
    """Say for each dataset where it would come from now; nothing is loaded."""
    return {name: source.locate() for name, source in DATASETS.items()}


def _check_is_file(name: str) -> None:
    if Path(name).is_file():
        return
    near = difflib.get_close_matches(name, DATASETS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"datasets: {', '.join(DATASETS)}"
    raise DataError(f"{name}: no dataset of this name and no such file; {hint}")
