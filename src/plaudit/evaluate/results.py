"""`results.json`: the figures of each model, with what it takes to reproduce them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from plaudit.errors import DataError
from plaudit.evaluate.record import Record, describe_problem, read_record, write_record

FORMAT: Literal[2] = 2

BASELINE = "baseline"
"""Kind of the results that only stand for comparison, such as the majority class: no model was saved."""

Share = Field(ge=0, le=1)


class Latency(Record):
    """Milliseconds that a single review takes."""

    p50: float = Field(ge=0)
    """The median."""
    p99: float = Field(ge=0)
    """The 99th percentile."""


class Hardware(Record):
    """The machine that scored the model."""

    cpu: str
    """Name of the processor."""
    cores: int
    """Cores available to the process."""
    cores_used: float
    """Processor time over elapsed time while scoring."""
    gpu: str | None
    """Name of the GPU, if any."""


class Result(Record):
    """One model on one split of one data set."""

    model: str
    """Its name in the run."""
    kind: str
    """Kind of the model, such as bow."""
    data: str
    """Name of the data set, or of the file."""
    split: str
    """The split that was scored."""
    n: int = Field(gt=0)
    """Number of reviews."""
    accuracy: float = Share
    """Share of reviews classified correctly."""
    accuracy_ci95: tuple[float, float]
    """Wilson's interval, as if reviews were independent; `ci95` resamples whole movies."""
    f1: float = Share
    """Macro average."""
    auc: float | None = Field(ge=0, le=1)
    """None if the data have only one class."""
    log_loss: float = Field(ge=0)
    """Nats."""
    brier: float = Field(ge=0, le=2)
    """Summed over the classes."""
    ece: float = Share
    """Mean gap between confidence and accuracy, 15 bins."""
    ci95: dict[str, tuple[float, float] | None]
    """The bootstrap interval over groups of each metric; None if a resample leaves it undefined."""
    calibration: str | None
    """How the probabilities were calibrated; None if they were not."""
    data_digest: str
    """sha256 of the reviews' ids and labels."""
    trained_on_rows: int | None = Field(default=None, ge=0)
    """How many of the reviews the model was trained on; None if its bundle does not record that."""
    model_digest: str | None
    """sha256 of the bundle; None if not recorded."""
    reviews_per_second: float = Field(gt=0)
    """From raw text, many reviews at once."""
    latency_ms: Latency
    """From raw text, a single review."""
    size_bytes: int
    """Size of all files of the bundle."""
    parameters: int
    """Number of learned values."""
    train_seconds: float | None
    """Duration of training; None if not recorded."""
    seed: int | None
    """Seed of training; None if not recorded."""
    recipe: dict[str, Any] | None
    """All settings of training; None if not recorded."""
    hardware: Hardware
    """The machine that scored it."""
    commit: str
    """Version of the code that scored it."""
    labels: tuple[str, ...] = Field(min_length=2)
    """Names of the classes, in the model's order."""
    confusion: tuple[tuple[int, ...], ...]
    """Counts of true labels (rows) by predicted labels (columns), in the order of `labels`."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Identifies a result within a file."""
        return self.data, self.split, self.model

    @model_validator(mode="after")
    def _confusion_counts_every_review(self) -> Self:
        if {len(self.confusion), *map(len, self.confusion)} != {len(self.labels)}:
            raise ValueError("confusion needs one row and one column per label")
        if sum(map(sum, self.confusion)) != self.n:
            raise ValueError("confusion does not add up to n")
        return self


class ResultsFile(Record):
    """The content of a `results.json`, sorted by data, split and model."""

    format: Literal[2] = FORMAT
    """Version of the format."""
    results: tuple[Result, ...]
    """One for each model, data set and split."""

    @model_validator(mode="after")
    def _names_of_data_are_unambiguous(self) -> Self:
        first: dict[tuple[str, str], Result] = {}
        for result in self.results:
            other = first.setdefault(result.key[:2], result)
            if result.data_digest != other.data_digest:
                raise ValueError(
                    f"{result.model} and {other.model} were scored on different reviews, "
                    f"both called {result.data}, {result.split} (data_digest)"
                )
        return self

    def with_results(self, added: Iterable[Result]) -> "ResultsFile":
        """Return a copy with `added`, each replacing an earlier result of the same model, data and split."""
        by_key = {result.key: result for result in (*self.results, *added)}
        return ResultsFile(results=tuple(by_key[key] for key in sorted(by_key)))


def read_results(path: Path) -> ResultsFile:
    """Read a results file; DataError if it is missing, damaged, of another kind or format, or contradicts itself."""
    return read_record(ResultsFile, path, name="results", writer="plaudit evaluate")


def write_results(path: Path, results: ResultsFile) -> None:
    """Write a results file completely or not at all; OutputError if it cannot be written."""
    write_record(path, results)


def add_results(path: Path, added: Iterable[Result]) -> ResultsFile:
    """Add results to a file, or create it, and return its new content; DataError if the two contradict each other."""
    before = read_results(path) if path.exists() else ResultsFile(results=())
    try:
        results = before.with_results(added)
    except ValidationError as error:
        raise DataError(f"{path}: {describe_problem(error)}; give another file") from None
    write_results(path, results)
    return results
