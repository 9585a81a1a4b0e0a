"""How a file is written, as far as its owner says so; the rest is found out from its beginning."""

import codecs
from typing import Literal

from pydantic import field_validator

from plaudit.settings import Settings

Quoting = Literal["double", "backslash", "none"]


class ReadOptions(Settings):
    """How your own file is written. What is None is found out from the first 256 KiB."""

    separator: str | None = None
    """One character between the cells of a text file, such as `;`, or `tab`."""

    encoding: str | None = None
    """Encoding of a text file, such as `cp1252` or `utf-16`."""

    quoting: Quoting | None = None
    r"""Quotes within a quoted cell: written twice (`double`) or as `\"` (`backslash`); `none` if no cell is quoted."""

    header: bool | None = None
    """Whether the first row names the columns; without a header they are named 1, 2, …"""

    table: str | None = None
    """Sheet of a spreadsheet, or file in a zip archive, where there are several."""

    @field_validator("separator")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value in ("tab", "\\t"):
            return "\t"
        if value is not None and (len(value) != 1 or not value.isascii() or value in '"\\\r\n\0'):
            raise ValueError("give one ASCII character, such as ';' or '|', or tab")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            "a".encode(value)
            return codecs.lookup(value).name
        except (LookupError, UnicodeError, ValueError):
            raise ValueError("no encoding that Python knows; give one such as utf-8, cp1252 or utf-16") from None

    def read_options(self) -> "ReadOptions":
        """Return these options alone, where a class adds others."""
        return ReadOptions(**{name: getattr(self, name) for name in ReadOptions.model_fields})

    def given(self) -> tuple[str, ...]:
        """Return the names of what is not left to be found out."""
        return tuple(name for name in ReadOptions.model_fields if getattr(self, name) is not None)


def naming(option: str) -> str:
    """Return the words that name an option on the command line, there as a setting, and in a recipe."""
    return f"--{option}, --set {option}=… or, in a recipe, data.{option}"
