"""Settings of the ways in which ranks exchange what they learned: the `[models.NAME.train.exchange]` table of a recipe.

Free of torch, so that reading a recipe stays fast.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from plaudit.settings import Settings

Precision: TypeAlias = Literal["fp32", "bf16"]


class PlainSettings(Settings):
    """Every number of every gradient, in fp32: what DistributedDataParallel does by itself."""

    kind: Literal["plain"] = "plain"


class BF16Settings(Settings):
    """Every number of every gradient, in 16 bits."""

    kind: Literal["bf16"] = "bf16"


class RowsSettings(Settings):
    """Of embeddings, only the rows of words that a batch holds; all other gradients whole."""

    kind: Literal["rows"] = "rows"
    precision: Precision = "bf16"
    """Of the numbers that are sent."""


class PowerSGDSettings(Settings):
    """Each matrix as the product of two narrow ones; the error is added to the next step's gradient."""

    kind: Literal["powersgd"] = "powersgd"
    rank: int = Field(2, ge=1)
    """Columns of the narrow matrices."""


class TopKSettings(Settings):
    """The largest numbers of each gradient; the others are kept back until they have grown large enough."""

    kind: Literal["top-k"] = "top-k"
    density: float = Field(0.001, gt=0, le=1)
    """Share of the numbers that are sent."""
    warmup_steps: int = Field(100, ge=0)
    """Steps in which the share falls from all to `density`, by the same factor each."""


class LocalSettings(Settings):
    """Each rank trains by itself; every few steps all take the average of their weight changes (DiLoCo).

    Multiply the learning rate by the root of the number of ranks: each takes Adam's steps on a part of a batch.
    """

    kind: Literal["local"] = "local"
    period: int = Field(16, ge=1)
    """Steps between two exchanges."""
    precision: Literal["fp32", "bf16", "int8", "int4"] = "int4"
    """Of the numbers that are sent; the rounding error is added to the next change."""


ExchangeSettings: TypeAlias = Annotated[
    PlainSettings | BF16Settings | RowsSettings | PowerSGDSettings | TopKSettings | LocalSettings,
    Field(discriminator="kind"),
]
