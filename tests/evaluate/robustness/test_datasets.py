import os
from pathlib import Path

import pytest

from plaudit.errors import DataError
from plaudit.evaluate.robustness.datasets import holds_sets, partners, read_sets, read_tsv
from tests.evaluate.robustness.conftest import review, write_tsv


def test_rows_that_belong_together_are_paired_by_their_numbers(sets):
    _, contrast = read_sets(sets)[0]
    assert (contrast.name, contrast.paired_by, contrast.unflipped) == ("contrast_imdb, test", "rows", 0)
    assert contrast.originals.labels == ["negative", "positive"] * 3


def test_shuffled_edits_are_brought_back_to_their_originals(sets):
    cad, contrast = read_sets(sets)[0]
    assert cad.paired_by == "text"
    assert cad.edits.texts == contrast.edits.texts
    assert cad.edits.labels == contrast.edits.labels
    assert cad.unflipped == 0


def test_labels_that_do_not_flip_are_counted(sets):
    path = sets / "contrast_imdb_test_contrast.tsv"
    path.write_text(path.read_text().replace("dull\t0", "dull\t1"))
    assert read_sets(sets)[0][1].unflipped == 3


def test_a_text_that_resembles_nothing_has_no_partner():
    first, second = review(1, "dull"), review(2, "lovely")
    assert partners([first, second], [second + " indeed", "Something else altogether, it seems"]) == [None, 0]


def test_an_edit_is_not_given_away_twice():
    assert partners([review(1, "dull"), review(1, "dull and slow")], [review(1, "dull and slow")]) == [None, 0]


def test_an_edit_of_no_original_is_a_data_error_that_names_the_row(sets):
    edits = [(review(i, "lovely"), 1) for i in range(5)] + [("Something else altogether, it seems", 0)]
    write_tsv(sets / "cad_new_test.tsv", edits)
    with pytest.raises(DataError, match=r"cad_new_test\.tsv: no row is an edited version of row 6 of cad_orig_test"):
        read_sets(sets)


def test_sets_of_different_length_are_a_data_error(sets):
    write_tsv(sets / "cad_new_test.tsv", [(review(0, "lovely"), 1)])
    with pytest.raises(DataError, match=r"has 1 rows, cad_orig_test\.tsv has 6"):
        read_sets(sets)


def test_half_a_set_is_a_data_error(sets):
    (sets / "cad_new_test.tsv").unlink()
    with pytest.raises(DataError, match=r"cad_new_test\.tsv: no such file, although the other file"):
        read_sets(sets)


def test_a_quote_at_the_start_of_a_review_belongs_to_it(tmp_path):
    path = write_tsv(tmp_path / "a.tsv", [('"Dogs" is dull', 0), ('"Cats is lovely', 1)])
    assert read_tsv(path).texts == ['"Dogs" is dull', '"Cats is lovely']


def test_a_line_separator_inside_a_review_ends_no_row(tmp_path):
    path = write_tsv(tmp_path / "a.tsv", [("dull\u2028and\x85slow", 0)])
    assert read_tsv(path).texts == ["dull\u2028and\x85slow"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "needs a first line"),
        (b"text\tlabel\n", "needs a first line"),
        (b"review,label\nlovely,1\n", "needs a first line"),
        (b"text\tlabel\nlovely\t1\ndull\t-1\n", "row 2 is not a text"),
        (b"text\tlabel\nlovely\tindeed\t1\n", "row 1 is not a text"),
        (b"text\tlabel\n\t1\n", "row 1 is not a text"),
        (b"text\tlabel\n\xff\t1\n", "not UTF-8"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path, content, complaint):
    (tmp_path / "cad_orig_test.tsv").write_bytes(content)
    with pytest.raises(DataError, match=complaint) as refusal:
        read_tsv(tmp_path / "cad_orig_test.tsv")
    assert "\n" not in str(refusal.value)


def test_a_folder_without_sets_says_what_it_should_hold(tmp_path):
    assert not holds_sets(tmp_path)
    with pytest.raises(DataError, match=r"holds none of cad_orig_test\.tsv with cad_new_test\.tsv"):
        read_sets(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        read_sets(tmp_path / "gone")


@pytest.mark.slow
@pytest.mark.skipif("PLAUDIT_ROBUSTNESS" not in os.environ, reason="needs the published sets")
def test_every_published_pair_is_found_and_flips():
    pairs, foreign = read_sets(Path(os.environ["PLAUDIT_ROBUSTNESS"]))
    assert [(each.name, len(each.originals.texts), each.unflipped) for each in pairs] == [
        ("cad, test", 488, 0),
        ("contrast_imdb, test", 488, 0),
    ]
    assert [len(each.texts) for each in foreign] == [1_000]
