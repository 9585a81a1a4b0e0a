"""`robustness.json`: how models do on edited, foreign, made-up and spoilt reviews, with what the figures rest on.

It never quotes a review of a data set: example failures are our own sentences.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from undertone.data.atomic import replacing
from undertone.errors import DataError
from undertone.evaluate.metrics import wilson_interval

FORMAT: Literal[1] = 1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Proportion(_Record):
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


class EditedPairs(_Record):
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


class Foreign(_Record):
    """Accuracy on reviews of another kind than those that the model learned from."""

    data: str
    data_digest: str
    accuracy: Proportion


class Example(_Record):
    """A failure: one of our sentences, or two to compare, and their probabilities of `positive`."""

    texts: tuple[str, ...] = Field(min_length=1, max_length=2)
    positive: tuple[float, ...]
    expected: str


class Capability(_Record):
    """What a model should be able to do, and how often it fails to."""

    name: str
    kind: Literal["minimum functionality", "invariance", "direction"]
    failed: Proportion
    examples: tuple[Example, ...] = Field(max_length=3)


class Behaviour(_Record):
    """All capabilities; `data_digest` is of the sentences."""

    data: Literal["behaviour"] = "behaviour"
    data_digest: str
    capabilities: tuple[Capability, ...]


class Level(_Record):
    """Accuracy on reviews changed in one way."""

    change: str
    accuracy: Proportion


class Perturbed(_Record):
    """Accuracy on the same reviews at each level of each change."""

    data: str
    data_digest: str
    """sha256 of the reviews before they were changed, their labels and the seed."""
    seed: int
    levels: tuple[Level, ...]


class ModelRobustness(_Record):
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


class Robustness(_Record):
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
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; `undertone robustness --out` writes one") from None
    except OSError as error:
        raise DataError(f"{path}: not readable: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a robustness file: it is not JSON ({error})") from None
    if not isinstance(content, dict) or not {"format", "models"} <= content.keys():
        raise DataError(f"{path}: not a robustness file: it needs format and models; give the one that --out wrote")
    if content["format"] != FORMAT:
        raise DataError(
            f"{path}: robustness of format {content['format']!r}, but this version of Undertone reads {FORMAT}; "
            "upgrade undertone or test the models again"
        )
    try:
        return Robustness.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        raise DataError(f"{path}: damaged robustness file: {where + ': ' if where else ''}{message}") from None


def add_robustness(path: Path, added: Robustness) -> Robustness:
    """Add models to a file, or start it, and return what it now holds.

    DataError if the two contradict each other, OutputError if it cannot be written.
    """
    before = read_robustness(path) if path.exists() else Robustness(models=())
    try:
        merged = before.with_models(added.models)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise DataError(f"{path}: {message}; give another file") from None
    with replacing(path, hint="name a folder with room to write to") as temporary:
        temporary.write_text(merged.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return merged
