"""`results.json`: every figure this project quotes, with what it takes to make it again."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from plaudit.errors import DataError
from plaudit.evaluate.record import Record, describe_problem, read_record, write_record

FORMAT: Literal[2] = 2

Share = Field(ge=0, le=1)


class Latency(Record):
    """Milliseconds that one review alone takes: the median, and what 99 of 100 stay below."""

    p50: float = Field(ge=0)
    """The median."""
    p99: float = Field(ge=0)
    """What 99 of 100 stay below."""


class Hardware(Record):
    """The machine of the evaluation; `cores_used` is processor time over elapsed time while scoring."""

    cpu: str
    """Name of the processor."""
    cores: int
    """Cores that the process may use."""
    cores_used: float
    """Those that it kept busy."""
    gpu: str | None
    """Name of the GPU, None without one."""


class Result(Record):
    """One model on one split of one data set."""

    model: str
    """Its name in the run."""
    kind: str
    """Kind of the model, such as bow."""
    data: str
    """Name of the data set, or of the file."""
    split: str
    """Which part of it was scored."""
    n: int = Field(gt=0)
    """Reviews that were scored."""
    accuracy: float = Share
    """Share of reviews judged rightly."""
    accuracy_ci95: tuple[float, float]
    """Wilson's, as if reviews were independent; `ci95` draws whole movies."""
    f1: float = Share
    """Macro average."""
    auc: float | None = Field(ge=0, le=1)
    """None where the data hold one class only."""
    log_loss: float = Field(ge=0)
    """Nats."""
    brier: float = Field(ge=0, le=2)
    """Summed over the classes."""
    ece: float = Share
    """Mean gap between confidence and accuracy, 15 bins."""
    ci95: dict[str, tuple[float, float] | None]
    """For each metric, accuracy too, its bootstrap interval over groups; None where a draw leaves it undefined."""
    calibration: str | None
    """How the probabilities were corrected before they were scored; None if they are the model's own."""
    data_digest: str
    """Of the reviews that were scored: sha256 of their ids and labels."""
    model_digest: str | None
    """What the bundle says of itself: sha256; None if what was scored is no bundle."""
    reviews_per_second: float = Field(gt=0)
    """From raw text, many at once."""
    latency_ms: Latency
    """From raw text, one alone."""
    size_bytes: int
    """Of all files of the bundle."""
    parameters: int
    """Numbers that were learned."""
    train_seconds: float | None
    """What training took."""
    seed: int | None
    """Seed of the training."""
    recipe: dict[str, Any] | None
    """The settings it was trained with; like `seed` and `train_seconds`, None if the model does not tell."""
    hardware: Hardware
    """Where it was scored."""
    commit: str
    """Version of the code that scored it."""
    labels: tuple[str, ...] = Field(min_length=2)
    """Names of the classes, in the model's order."""
    confusion: tuple[tuple[int, ...], ...]
    """Counts; rows are true labels, columns predicted ones, both in the order of `labels`."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What a result is of; a file holds one result for each."""
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
    def _one_data_set_is_the_same_reviews(self) -> Self:
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
        """Return a copy with `added`, each in place of an earlier result of the same model, data, split."""
        by_key = {result.key: result for result in (*self.results, *added)}
        return ResultsFile(results=tuple(by_key[key] for key in sorted(by_key)))


def read_results(path: Path) -> ResultsFile:
    """Read a results file; DataError if it is missing, damaged, foreign, of another format or contradicts itself."""
    return read_record(ResultsFile, path, name="results", writer="plaudit evaluate")


def write_results(path: Path, results: ResultsFile) -> None:
    """Write a results file whole or not at all; OutputError if it cannot be written."""
    write_record(path, results)


def add_results(path: Path, added: Iterable[Result]) -> ResultsFile:
    """Add results to a file, or start it, and return what it now holds; DataError if the two contradict each other."""
    before = read_results(path) if path.exists() else ResultsFile(results=())
    try:
        results = before.with_results(added)
    except ValidationError as error:
        raise DataError(f"{path}: {describe_problem(error)}; give another file") from None
    write_results(path, results)
    return results
