"""`robustness.json`: how models do on edited, foreign, made-up and spoilt reviews, with what the figures rest on.

It never quotes a review of a data set: example failures are our own sentences.
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
    """`count` of `n`, and Wilson's 95 % interval of that share."""

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
    """One set of reviews and their edited versions, whose labels are the opposite."""

    data: str
    data_digest: str
    """sha256 of the two files."""
    paired_by: Literal["rows", "text"]
    """Whether rows of one number belong together, or had to be brought together by their wording."""
    unflipped: int = Field(ge=0)
    """Pairs whose two labels are the same."""
    original: Proportion
    edited: Proportion
    both: Proportion
    """Consistency (Gardner et al. 2020): both reviews of a pair are judged rightly."""


class Foreign(Record):
    """Accuracy on reviews of another kind than those that the model learned from."""

    data: str
    data_digest: str
    accuracy: Proportion


class Example(Record):
    """A failure: one of our sentences, or two to compare, and their probabilities of `positive`."""

    texts: tuple[str, ...] = Field(min_length=1, max_length=2)
    positive: tuple[float, ...]
    expected: str


class Capability(Record):
    """What a model should be able to do, and how often it fails to."""

    name: str
    kind: Literal["minimum functionality", "invariance", "direction"]
    failed: Proportion
    examples: tuple[Example, ...] = Field(max_length=3)


class Behaviour(Record):
    """All capabilities; `data_digest` is of the sentences."""

    data: Literal["behaviour"] = "behaviour"
    data_digest: str
    capabilities: tuple[Capability, ...]


class Level(Record):
    """Accuracy on reviews changed in one way."""

    change: str
    accuracy: Proportion


class Perturbed(Record):
    """Accuracy on the same reviews at each level of each change."""

    data: str
    data_digest: str
    """sha256 of the reviews before they were changed, their labels and the seed."""
    seed: int
    levels: tuple[Level, ...]


class ModelRobustness(Record):
    """One model; what was not asked for, or does not suit its labels, is empty or None."""

    model: str
    kind: str
    model_digest: str
    calibration: str | None
    sources_left_out: bool
    """Its recipe left reviews out of training (data.leave_out); if not, it may have learned the originals of pairs."""
    commit: str
    pairs: tuple[EditedPairs, ...]
    foreign: tuple[Foreign, ...]
    behaviour: Behaviour | None
    perturbed: Perturbed | None

    def sections(self) -> Iterator[EditedPairs | Foreign | Behaviour | Perturbed]:
        """Yield everything that was measured on some data."""
        yield from self.pairs
        yield from self.foreign
        if self.behaviour is not None:
            yield self.behaviour
        if self.perturbed is not None:
            yield self.perturbed


class Robustness(Record):
    """The content of a `robustness.json`: one entry for each model, sorted by name."""

    format: Literal[1] = FORMAT
    models: tuple[ModelRobustness, ...]

    @model_validator(mode="after")
    def _one_name_is_one_thing(self) -> Self:
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
        """Return a copy with `added`, each in place of an earlier entry of its name."""
        by_name = {entry.model: entry for entry in (*self.models, *added)}
        return Robustness(models=tuple(by_name[name] for name in sorted(by_name)))


def read_robustness(path: Path) -> Robustness:
    """Read such a file; DataError if it is missing, damaged, foreign, of another format or contradicts itself."""
    return read_record(Robustness, path, name="robustness", writer="plaudit robustness --out")


def add_robustness(path: Path, added: Robustness) -> Robustness:
    """Add models to a file, or start it, and return what it now holds.

    DataError if the two contradict each other, OutputError if it cannot be written.
    """
    before = read_robustness(path) if path.exists() else Robustness(models=())
    try:
        merged = before.with_models(added.models)
    except ValidationError as error:
        raise DataError(f"{path}: {describe_problem(error)}; give another file") from None
    write_record(path, merged)
    return merged
