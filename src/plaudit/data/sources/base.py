"""What every named data set provides: a description, how to load it, and where it comes from."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from plaudit.data.table import Dataset


@dataclass(frozen=True)
class Availability:
    """Whether a data set can be loaded without the network, and where it would come from, for people to read."""

    local: bool
    where: str


@dataclass(frozen=True)
class Source:
    """A named data set; `load` may take seconds the first time, `locate` is always fast."""

    description: str
    load: Callable[[Console | None], Dataset]
    locate: Callable[[], Availability]
