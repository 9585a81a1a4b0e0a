"""Recipes that ship with the package: their names, what each says of itself, and where a recipe that is named lies."""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from plaudit.errors import OutputError, SettingsError
from plaudit.storage import write_text

SHIPPED = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True)
class ShippedRecipe:
    """What the first lines of a shipped recipe say: what it does, how long that takes, which extras it needs."""

    name: str
    what: str
    time: str
    extras: str


def shipped_recipes() -> list[str]:
    """Return the names of the recipes that ship with the package, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def find_recipe(recipe: str | os.PathLike[str]) -> Path:
    """Return the path of a recipe, given as a path or as a shipped recipe's name; SettingsError if there is none.

    A file goes before a shipped recipe of the same name.
    """
    path = Path(recipe)
    if path.exists() and not path.is_dir():
        return path
    if str(recipe) in shipped_recipes():
        return SHIPPED / f"{recipe}.toml"
    what = "a folder, not a recipe" if path.is_dir() else "no such recipe"
    raise SettingsError(f"{recipe}: {what}; {_hint(path.stem)} Or give the path of a .toml file")


def _hint(given: str) -> str:
    near = difflib.get_close_matches(given, shipped_recipes(), n=1)
    return f"did you mean {near[0]}?" if near else f"those that ship are {', '.join(shipped_recipes())}."


def read_text(name: str) -> str:
    """Return the text of a shipped recipe; SettingsError if none has this name."""
    if name not in shipped_recipes():
        raise SettingsError(f"{name}: not a recipe that ships; {_hint(name)}")
    return (SHIPPED / f"{name}.toml").read_text(encoding="utf-8")


def describe(name: str) -> ShippedRecipe:
    """Return what a shipped recipe says of itself: its first line, and those that begin with `Time` and `Extras`."""
    first, *rest = (line.removeprefix("# ") for line in read_text(name).splitlines())
    said = dict(line.split(": ", 1) for line in rest[:2])
    return ShippedRecipe(name, first, said["Time"], said["Extras"])


def copy_recipe(name: str, out: Path) -> None:
    """Write a shipped recipe as a new file; OutputError if it exists or cannot be written."""
    text = read_text(name)
    if out.exists():
        raise OutputError(f"{out}: exists already; give another name as --out")
    write_text(out, text, hint="give a file where there is room")
