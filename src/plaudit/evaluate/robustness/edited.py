"""Counterfactual and contrast sets: reviews, and the same ones edited by hand so that their label is the opposite.

    cad            Kaushik, Hovy & Lipton (2020), "Learning the difference that makes a difference with
                   counterfactually-augmented data"
    contrast_imdb  Gardner et al. (2020), "Evaluating models' local decision boundaries via contrast sets"

Files hold a line for each review: text, a tab, 0 (negative) or 1 (positive). They are not CSV: a quote at the start
of a review is part of the review. Edits belong to originals by row or, where rows were shuffled, by their wording.
"""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from plaudit.errors import DataError
from plaudit.evaluate.robustness.templates import NEGATIVE, POSITIVE

FOLDER_VARIABLE = "PLAUDIT_ROBUSTNESS"
USUAL_FOLDER = Path("robustness")

SETS: dict[str, tuple[str, str]] = {
    "cad": ("cad_orig_{split}.tsv", "cad_new_{split}.tsv"),
    "contrast_imdb": ("contrast_imdb_{split}_original.tsv", "contrast_imdb_{split}_contrast.tsv"),
}
FOREIGN: dict[str, str] = {"kotzias_amazon_cells": "kotzias_amazon_cells.tsv"}
"""Reviews of other things than films: product reviews of one sentence (Kotzias et al. 2015)."""

_LABELS = {"0": NEGATIVE, "1": POSITIVE}


@dataclass(frozen=True)
class Labelled:
    """Texts and the names of their labels; `digest` is the sha256 of the file."""

    name: str
    texts: list[str]
    labels: list[str]
    digest: str


@dataclass(frozen=True)
class Pairs:
    """Originals and edits: text i of one belongs to text i of the other."""

    name: str
    originals: Labelled
    edits: Labelled
    paired_by: Literal["rows", "text"]

    @property
    def digest(self) -> str:
        """The sha256 of both files."""
        return hashlib.sha256(f"{self.originals.digest} {self.edits.digest}".encode()).hexdigest()

    @property
    def unflipped(self) -> int:
        """How many pairs have one label twice."""
        return sum(a == b for a, b in zip(self.originals.labels, self.edits.labels, strict=True))


def read_sets(folder: Path, split: Literal["dev", "test"]) -> tuple[list[Pairs], list[Labelled]]:
    """Read the pairs and the foreign reviews that a folder holds.

    DataError if it holds none, one file of a pair is missing or damaged, the two differ in length, or an edit
    cannot be told to belong to an original.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; --sets takes one that holds {_WANTED.format(split=split)}")
    pairs = []
    for name, files in SETS.items():
        original, edited = (folder / file.format(split=split) for file in files)
        if original.exists() or edited.exists():
            pairs.append(_paired(f"{name}, {split}", read_labelled(original), read_labelled(edited), edited))
    foreign = [read_labelled(folder / file) for file in FOREIGN.values() if (folder / file).exists()]
    if not pairs and not foreign:
        raise DataError(f"{folder}: holds none of {_WANTED.format(split=split)}")
    return pairs, foreign


def folder_of_sets(given: Path | None) -> Path | None:
    """Return the folder that is given, or that $PLAUDIT_ROBUSTNESS names, or ./robustness if sets are there."""
    if given is not None:
        return given
    if variable := os.environ.get(FOLDER_VARIABLE):
        return Path(variable)
    return USUAL_FOLDER if holds_sets(USUAL_FOLDER) else None


def holds_sets(folder: Path) -> bool:
    """Say whether a folder holds a file that `read_sets` reads for its test figures."""
    files = [*(file.format(split="test") for pair in SETS.values() for file in pair), *FOREIGN.values()]
    return any((folder / file).is_file() for file in files)


_WANTED = ", ".join(f"{a} with {b}" for a, b in SETS.values()) + ", " + ", ".join(FOREIGN.values())


def read_labelled(path: Path) -> Labelled:
    """Read such a file; DataError names the row that is not a text, a tab and 0 or 1."""
    try:
        content = path.read_bytes()
        # Not splitlines, for which a review may hold a line's end.
        header, *lines = content.decode("utf-8-sig").removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, though the other one of the pair is there; fetch both") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8; fetch it again") from None
    if header.strip() != "text\tlabel" or not lines:
        raise DataError(f"{path}: needs a first line of text, a tab and label, and rows below it; fetch it again")
    rows = [line.removesuffix("\r").split("\t") for line in lines]
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or not row[0].strip() or row[1] not in _LABELS:
            raise DataError(f"{path}: row {number} is not a text, a tab and 0 or 1; fetch the file again")
    labels = [_LABELS[label] for _, label in rows]
    return Labelled(path.stem, [text for text, _ in rows], labels, hashlib.sha256(content).hexdigest())


def _paired(name: str, originals: Labelled, edits: Labelled, path: Path) -> Pairs:
    if len(originals.texts) != len(edits.texts):
        raise DataError(
            f"{path}: has {len(edits.texts)} rows, {originals.name}.tsv has {len(originals.texts)}; fetch both again"
        )
    order = partners(originals.texts, edits.texts)
    for row, partner in enumerate(order, start=1):
        if partner is None:
            raise DataError(
                f"{path}: no row is an edited version of row {row} of {originals.name}.tsv alone; fetch both again"
            )
    places = [place for place in order if place is not None]
    by_row = places == list(range(len(places)))
    texts, labels = ([column[i] for i in places] for column in (edits.texts, edits.labels))
    return Pairs(name, originals, Labelled(edits.name, texts, labels, edits.digest), "rows" if by_row else "text")


def partners(originals: Sequence[str], edits: Sequence[str]) -> list[int | None]:
    """Return for each original the edit that it resembles most and that resembles no other more, else None.

    Two texts are as alike as the share of their word bigrams and trigrams that they have in common.
    """
    shingles, others = ([_shingles(text) for text in texts] for texts in (originals, edits))
    holders = defaultdict(list)
    for i, members in enumerate(shingles):
        for shingle in members:
            holders[shingle].append(i)
    best_edit: dict[int, tuple[float, int]] = {}
    best_original: dict[int, tuple[float, int]] = {}
    for j, members in enumerate(others):
        common = Counter(i for shingle in members for i in holders.get(shingle, ()))
        for i, count in common.items():
            alike = count / (len(shingles[i]) + len(members) - count)
            best_edit[i] = max(best_edit.get(i, (0.0, -1)), (alike, j))
            best_original[j] = max(best_original.get(j, (0.0, -1)), (alike, i))
    found: list[int | None] = []
    for i in range(len(originals)):
        edit = best_edit.get(i, (0.0, -1))[1]
        found.append(edit if edit >= 0 and best_original[edit][1] == i else None)
    return found


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {*pairwise(words), *zip(words, words[1:], words[2:], strict=False)}
