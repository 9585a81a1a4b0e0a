"""The reviews that robustness is tested on: published sets in a folder, and your own files.

Counterfactual and contrast sets are reviews together with versions edited by hand so that their label is the opposite:

    cad            Kaushik, Hovy & Lipton (2020), "Learning the difference that makes a difference with
                   counterfactually-augmented data"
    contrast_imdb  Gardner et al. (2020), "Evaluating models' local decision boundaries via contrast sets"

Each line of a file is a review: text, a tab, 0 (negative) or 1 (positive). The files are not CSV: a quote at the start
of a review is part of it. Edits are paired with originals by row or, where rows were shuffled, by wording.
"""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from plaudit.data.labelled_file import read_labelled_file
from plaudit.data.table import Dataset
from plaudit.errors import DataError
from plaudit.evaluate.robustness.templates import NEGATIVE, POSITIVE

FOLDER_VARIABLE = "PLAUDIT_ROBUSTNESS"
DEFAULT_FOLDER = Path("robustness")

EDITED_SETS: dict[str, tuple[str, str]] = {
    "cad, test": ("cad_orig_test.tsv", "cad_new_test.tsv"),
    "contrast_imdb, test": ("contrast_imdb_test_original.tsv", "contrast_imdb_test_contrast.tsv"),
}
OTHER_SETS = ("kotzias_amazon_cells.tsv",)
"""Product reviews of one sentence (Kotzias et al. 2015)."""

_FILES = ", ".join(f"{a} with {b}" for a, b in EDITED_SETS.values()) + ", " + ", ".join(OTHER_SETS)
_LABELS = {"0": NEGATIVE, "1": POSITIVE}


class Reviews(NamedTuple):
    """Texts and the names of their labels; `name` is what results call them, `digest` the sha256 of their file."""

    texts: Sequence[str]
    labels: Sequence[str]
    name: str
    digest: str = ""


class EditedReviews(NamedTuple):
    """Originals and edits: text i of one belongs to text i of the other."""

    name: str
    originals: Reviews
    edits: Reviews
    paired_by: Literal["rows", "text"]

    @property
    def digest(self) -> str:
        """The sha256 of both files."""
        return hashlib.sha256(f"{self.originals.digest} {self.edits.digest}".encode()).hexdigest()

    @property
    def unflipped(self) -> int:
        """How many pairs have the same label twice."""
        return sum(a == b for a, b in zip(self.originals.labels, self.edits.labels, strict=True))


def find_sets_folder(folder: Path | None) -> Path | None:
    """Return `folder`, else the one that $PLAUDIT_ROBUSTNESS names, else ./robustness if it holds sets."""
    if folder is not None:
        return folder
    if variable := os.environ.get(FOLDER_VARIABLE):
        return Path(variable)
    return DEFAULT_FOLDER if holds_sets(DEFAULT_FOLDER) else None


def holds_sets(folder: Path) -> bool:
    """Say whether a folder holds a file that `read_sets` reads."""
    files = [*(file for pair in EDITED_SETS.values() for file in pair), *OTHER_SETS]
    return any((folder / file).is_file() for file in files)


def read_sets(folder: Path) -> tuple[list[EditedReviews], list[Reviews]]:
    """Read the edited reviews and the reviews of other kinds in a folder.

    DataError if it holds none, one file of a pair is missing or damaged, the two differ in length, or an edit
    cannot be matched with an original.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; --sets takes one with {_FILES}")
    edited = [
        _read_pairs(name, folder / original, folder / edit)
        for name, (original, edit) in EDITED_SETS.items()
        if (folder / original).exists() or (folder / edit).exists()
    ]
    others = [read_tsv(folder / file) for file in OTHER_SETS if (folder / file).exists()]
    if not edited and not others:
        raise DataError(f"{folder}: holds none of {_FILES}")
    return edited, others


def read_files(paths: Sequence[Path]) -> dict[Path, Dataset]:
    """Read your own files; DataError if two have the same name."""
    for i, path in enumerate(paths):
        if path.name in {other.name for other in paths[:i]}:
            raise DataError(f"{path}: a second file of this name; rename it, because results are listed by name")
    return {path: read_labelled_file(path) for path in paths}


def read_tsv(path: Path) -> Reviews:
    """Read a file of a published set; DataError names the row that is not a text, a tab and 0 or 1."""
    try:
        content = path.read_bytes()
        # Not splitlines, which would also split inside reviews, for example at U+2028.
        header, *lines = content.decode("utf-8-sig").removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, although the other file of the pair exists; fetch both") from None
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
    return Reviews([text for text, _ in rows], labels, path.stem, hashlib.sha256(content).hexdigest())


def _read_pairs(name: str, original_path: Path, edit_path: Path) -> EditedReviews:
    originals, edits = read_tsv(original_path), read_tsv(edit_path)
    if len(originals.texts) != len(edits.texts):
        raise DataError(
            f"{edit_path}: has {len(edits.texts)} rows, {original_path.name} has {len(originals.texts)}; fetch both"
        )
    order = []
    for row, partner in enumerate(partners(originals.texts, edits.texts), start=1):
        if partner is None:
            raise DataError(
                f"{edit_path}: no row is an edited version of row {row} of {original_path.name} alone; fetch both again"
            )
        order.append(partner)
    in_order = edits._replace(texts=[edits.texts[i] for i in order], labels=[edits.labels[i] for i in order])
    return EditedReviews(name, originals, in_order, "rows" if order == list(range(len(order))) else "text")


def partners(originals: Sequence[str], edits: Sequence[str]) -> list[int | None]:
    """Return for each original the edit most similar to it, if no other original is more similar to that edit.

    Similarity is the Jaccard index of word bigrams and trigrams.
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
            similarity = count / (len(shingles[i]) + len(members) - count)
            best_edit[i] = max(best_edit.get(i, (0.0, -1)), (similarity, j))
            best_original[j] = max(best_original.get(j, (0.0, -1)), (similarity, i))
    matches: list[int | None] = []
    for i in range(len(originals)):
        edit = best_edit.get(i, (0.0, -1))[1]
        matches.append(edit if edit >= 0 and best_original[edit][1] == i else None)
    return matches


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {*pairwise(words), *zip(words, words[1:], words[2:], strict=False)}
