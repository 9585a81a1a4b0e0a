"""Load reviews by the name of a data set or the path of a file."""

import difflib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator
from rich.console import Console

from plaudit.data.columns import ROLES
from plaudit.data.formats.open import options_for
from plaudit.data.formats.pipe import is_pipe
from plaudit.data.formats.read_options import ReadOptions
from plaudit.data.further_files import with_test_file, with_unlabelled_file
from plaudit.data.label_values import ClassValues, checked_classes
from plaudit.data.labelled_file import read_labelled_file
from plaudit.data.source_files import find_source
from plaudit.data.sources import imdb, imdb_train
from plaudit.data.sources.base import Availability, Source
from plaudit.data.table import Dataset
from plaudit.errors import DataError, SettingsError

DATASETS: dict[str, Source] = {
    "imdb": imdb.SOURCE,
    "imdb-train": imdb_train.SOURCE,
}


def _as_str(value: object) -> object:
    """Return the name that TOML reads as a number or a date, as `--set text_column=0` does."""
    return str(value) if isinstance(value, int | float | date) and not isinstance(value, bool) else value


Name = Annotated[str, BeforeValidator(_as_str)]


class DataSettings(ReadOptions):
    """Which reviews, and how they are split."""

    name: str
    """A name in DATASETS, or the path of your own file."""

    text_column: Name | None = None
    """Column of your file that holds the text; None takes the first usual name, such as text or review."""

    label_column: Name | None = None
    """Column of your file that holds the label; None takes the first usual name, such as label or sentiment."""

    split_column: Name | None = None
    """Column of your file that holds train, validation, test or unsup; None takes `split` if there is one, and none
    or "" takes no column.
    """

    group_column: Name | None = None
    """Column of your file whose equal values must stay in one split; None takes the first usual name, such as group or
    movie_id, and none or "" takes no column.
    """

    id_column: Name | None = None
    """Column of your file with a unique name for each row; None takes `id` if there is one and it is unique, none or ""
    takes no column.
    """

    test_file: str | None = None
    """Another file with the same columns, all of whose rows are the test split."""

    unlabelled_file: str | None = None
    """Another file of texts, whose labels are not read, for what learns from unlabelled texts."""

    labels: tuple[Name, ...] | dict[Name, tuple[Name, ...]] | None = None
    """Names of your file's labels in order, such as those of a model, or a table of the values that each one stands
    for, such as { negative = [1, 2], positive = ["4-5"] }, which leaves out rows with other values; None takes the
    values in the file, sorted.
    """

    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Part of train to hold out where the source has no validation split."""

    test_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Part of train to hold out first where the source has no test split."""

    seed: int = 0
    """Decides which groups are held out, and which rows `limit` keeps."""

    leave_out: str | None = None
    """Table that lists, by `id`, reviews never to be trained or validated on, such as the originals of a test set of
    edited reviews.
    """

    limit: int | None = Field(default=None, ge=2)
    """Train on this many reviews, equally many of each label, and shrink the other splits in proportion."""

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: tuple[str, ...] | ClassValues | None) -> tuple[str, ...] | ClassValues | None:
        if isinstance(labels, Mapping):
            try:
                return checked_classes(labels)
            except SettingsError as error:
                raise ValueError(str(error)) from None
        return labels


def load_dataset(settings: DataSettings, *, console: Console | None = None) -> Dataset:
    """Load the reviews that `settings.name` names; `console` shows the progress of a download.

    DataError if they cannot be found or read, SettingsError if a column setting has no effect.
    """
    chosen = {role: getattr(settings, f"{role}_column") for role in ROLES}
    columns = {role: column for role, column in chosen.items() if column is not None}
    read_options = settings.read_options()
    source = DATASETS.get(settings.name)
    if source is None:
        path = Path(settings.name)
        _check_is_file(settings.name)
        read_options = options_for(path, read_options, text=settings.text_column, label=settings.label_column)
        if console is not None and not is_pipe(settings.name):
            with find_source(path) as files:
                description = files.describe(read_options)
            if description is not None:
                console.print(f"{path}: {description}", highlight=False, markup=False, soft_wrap=True)
        dataset = read_labelled_file(path, columns, labels=settings.labels, read_options=read_options)
        if settings.test_file is not None:
            _check_is_file(settings.test_file)
            labels = settings.labels if isinstance(settings.labels, Mapping) else dataset.labels
            dataset = with_test_file(dataset, Path(settings.test_file), columns, labels, read_options)
        if settings.unlabelled_file is not None:
            _check_is_file(settings.unlabelled_file)
            dataset = with_unlabelled_file(dataset, Path(settings.unlabelled_file), settings.text_column, read_options)
        return dataset
    without_effect = [f"{role}_column" for role in columns] + list(read_options.given())
    for_files = ("labels", "test_file", "unlabelled_file")
    without_effect += [name for name in for_files if getattr(settings, name) is not None]
    if without_effect:
        raise SettingsError(f"data.{without_effect[0]} has no effect on {settings.name}; leave it out")
    return source.load(console)


def available() -> dict[str, Availability]:
    """Return where each dataset would come from now, without loading it."""
    return {name: source.locate() for name, source in DATASETS.items()}


def _check_is_file(name: str) -> None:
    if is_pipe(name) or Path(name).exists():
        return
    near = difflib.get_close_matches(name, DATASETS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"datasets: {', '.join(DATASETS)}"
    raise DataError(f"{name}: no dataset of this name and no such file; {hint}")
