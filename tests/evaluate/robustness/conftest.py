import pytest

from plaudit.predictor import load

BEGINNING = "We saw the story about a dog and its people in a town by the sea, on day number"


def review(number, verdict):
    """A toy review: fourteen words that versions of one number share, and one that decides."""
    return f"{BEGINNING} {number} of week {number + 7}, and it was {verdict}"


def write_tsv(path, rows):
    path.write_text("\n".join(["text\tlabel", *(f"{text}\t{label}" for text, label in rows)]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def toy(toy_bow_folder):
    """A predictor that knows dull, awful … and lovely, superb …."""
    return load(toy_bow_folder)


@pytest.fixture
def sets(tmp_path):
    """A folder of two sets of six pairs: one in order, one whose edits are in reverse order."""
    folder = tmp_path / "sets"
    folder.mkdir()
    originals = [(review(i, "superb" if i % 2 else "awful"), i % 2) for i in range(6)]
    edits = [(review(i, "dull" if i % 2 else "lovely"), 1 - i % 2) for i in range(6)]
    write_tsv(folder / "contrast_imdb_test_original.tsv", originals)
    write_tsv(folder / "contrast_imdb_test_contrast.tsv", edits)
    write_tsv(folder / "cad_orig_test.tsv", originals)
    write_tsv(folder / "cad_new_test.tsv", edits[::-1])
    return folder
