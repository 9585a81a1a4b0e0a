"""What a dataset with a name must be able to say and do."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from plaudit.data.table import Dataset


@dataclass(frozen=True)
class Availability:
    """Whether a dataset can be loaded without the network, and where it would come from, in words."""

    local: bool
    where: str


@dataclass(frozen=True)
class Source:
    """A dataset with a name; `load` may take seconds the first time, `locate` never does."""

    description: str
    load: Callable[[Console | None], Dataset]
    locate: Callable[[], Availability]
