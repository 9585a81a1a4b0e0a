"""The names under which several models are listed beside each other."""

import os
from collections.abc import Sequence
from pathlib import Path

from plaudit.errors import SettingsError


def distinct_names(models: Sequence[str]) -> list[str]:
    """Return the name of each shipped model or folder, with as much of its path as tells it from the others.

    SettingsError if one is given twice.
    """
    paths = [_parts(model) for model in models]
    names = []
    for i, path in enumerate(paths):
        others = paths[:i] + paths[i + 1 :]
        if path in others:
            raise SettingsError(f"{models[i]}: is given twice; leave one out")
        lengths = range(1, 1 + max(map(len, paths)))
        length = next(length for length in lengths if all(path[-length:] != other[-length:] for other in others))
        names.append(str(Path(*path[-length:])))
    return names


def _parts(model: str) -> tuple[str, ...]:
    """Return the parts of a folder's whole path, since `.` and `..` are no names, or of another name as it is."""
    whole = os.path.abspath(model)  # noqa: PTH100  # resolve() follows links, whose names are what was given
    return Path(whole if Path(model).is_dir() else model).parts
