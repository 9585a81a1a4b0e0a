"""`robustness.json`: accuracy on edited and perturbed reviews and on other kinds of review, and failed test sentences.

It never quotes a review of a data set: examples of failures are our own sentences.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from plaudit.errors import DataError
from plaudit.evaluate.metrics import wilson_interval
from plaudit.evaluate.record import Record, describe_problem, read_record, write_record

FORMAT: Literal[1] = 1


class Proportion(Record):
    """A share, `count` of `n`, with Wilson's 95 % interval."""

    count: int = Field(ge=0)
    n: int = Field(gt=0)
    share: float = Field(ge=0, le=1)
    ci95: tuple[float, float]

    @classmethod
    def of(cls, count: int, n: int) -> Self:
        """Return the share of `count` in `n`."""
        return cls(count=count, n=n, share=count / n, ci95=wilson_interval(count / n, n))

    @model_validator(mode="after")
    def _share_is_count_of_n(self) -> Self:
        if abs(self.share - self.count / self.n) > 1e-9:
            raise ValueError("share is not count / n")
        return self


class EditedPairs(Record):
    """Accuracy on one set of reviews and on their edited versions, which have the opposite label."""

    data: str
    data_digest: str
    """sha256 of the two files."""
    paired_by: Literal["rows", "text"]
    """Whether the rows of the two files match, or pairs had to be found by their wording."""
    unflipped: int = Field(ge=0)
    """Pairs with the same label twice."""
    original: Proportion
    edited: Proportion
    both: Proportion
    """Consistency (Gardner et al. 2020): both reviews of a pair are classified correctly."""


class Foreign(Record):
    """Accuracy on reviews of another kind than the training reviews."""

    data: str
    data_digest: str
    accuracy: Proportion


class Example(Record):
    """A failure: one of our sentences, or two compared, with their probabilities of positive."""

    texts: tuple[str, ...] = Field(min_length=1, max_length=2)
    positive: tuple[float, ...]
    expected: str


class Capability(Record):
    """What a model should be able to do, and how often it fails."""

    name: str
    kind: Literal["minimum functionality", "invariance", "direction"]
    failed: Proportion
    examples: tuple[Example, ...] = Field(max_length=3)


class Behaviour(Record):
    """Failures by capability; `data_digest` is of the sentences."""

    data: Literal["behaviour"] = "behaviour"
    data_digest: str
    capabilities: tuple[Capability, ...]


class Level(Record):
    """Accuracy on reviews with one change."""

    change: str
    accuracy: Proportion


class Perturbed(Record):
    """Accuracy on the same reviews with each change."""

    data: str
    data_digest: str
    """sha256 of the unchanged reviews, their labels and the seed."""
    seed: int
    levels: tuple[Level, ...]


class ModelRobustness(Record):
    """One model; parts that were not requested, or do not fit its labels, are empty or None."""

    model: str
    kind: str
    model_digest: str
    calibration: str | None
    sources_left_out: bool
    """Whether its recipe left reviews out of training (data.leave_out); if not, it may have learned the originals."""
    commit: str
    pairs: tuple[EditedPairs, ...]
    foreign: tuple[Foreign, ...]
    behaviour: Behaviour | None
    perturbed: Perturbed | None

    def sections(self) -> Iterator[EditedPairs | Foreign | Behaviour | Perturbed]:
        """Yield the parts that were measured."""
        yield from self.pairs
        yield from self.foreign
        if self.behaviour is not None:
            yield self.behaviour
        if self.perturbed is not None:
            yield self.perturbed


class Robustness(Record):
    """The content of a `robustness.json`, sorted by model name."""

    format: Literal[1] = FORMAT
    models: tuple[ModelRobustness, ...]

    @model_validator(mode="after")
    def _names_are_unambiguous(self) -> Self:
        names = [entry.model for entry in self.models]
        if len(set(names)) < len(names):
            raise ValueError("a model occurs twice")
        first: dict[tuple[type, str], tuple[str, str]] = {}
        for entry in self.models:
            for section in entry.sections():
                digest, other = first.setdefault((type(section), section.data), (section.data_digest, entry.model))
                if digest != section.data_digest:
                    raise ValueError(
                        f"{entry.model} and {other} were scored on different reviews, both called {section.data}"
                    )
        return self

    def with_models(self, added: Iterable[ModelRobustness]) -> "Robustness":
        """Return a copy with `added`, each replacing an earlier entry of the same name."""
        by_name = {entry.model: entry for entry in (*self.models, *added)}
        return Robustness(models=tuple(by_name[name] for name in sorted(by_name)))


def read_robustness(path: Path) -> Robustness:
    """Read a file; DataError if it is missing, damaged, of another kind or format, or contradicts itself."""
    return read_record(Robustness, path, name="robustness", writer="plaudit robustness --out")


def add_robustness(path: Path, added: Robustness) -> Robustness:
    """Add models to a file, or create it, and return its new content.

    DataError if the two contradict each other, OutputError if it cannot be written.
    """
    before = read_robustness(path) if path.exists() else Robustness(models=())
    try:
        merged = before.with_models(added.models)
    except ValidationError as error:
        raise DataError(f"{path}: {describe_problem(error)}; give another file") from None
    write_record(path, merged)
    return merged
