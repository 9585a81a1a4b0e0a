"""A vocabulary holds the most frequent words and encodes any text with them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.errors import BundleError
from plaudit.text.cleaning import CleaningSettings
from plaudit.text.encoded import UNKNOWN_ID
from plaudit.text.vocabulary import Vocabulary

TEXTS = ["Good good film", "a bad FILM", "a film, good<br />film!", "Überraschung überraschung 😀"]
WORDS = ["good", "film", "a", "bad", "unheard", "FILM!", "<br />", "Überraschung", "😀", "&amp;"]


def test_words_go_by_falling_frequency_then_first_use() -> None:
    vocabulary = Vocabulary.build(TEXTS, CleaningSettings(), max_words=100)
    assert vocabulary.words == ("film", "good", "a", "überraschung")
    assert vocabulary.num_tokens == 6


def test_stop_words_and_the_limit_leave_words_out() -> None:
    vocabulary = Vocabulary.build(TEXTS, CleaningSettings(stop_words=("Film",)), max_words=2)
    assert vocabulary.words == ("good", "a")


def test_encoding_gives_ids_by_rank_and_one_to_unknown_words() -> None:
    vocabulary = Vocabulary.build(TEXTS, CleaningSettings(), max_words=2)
    encoded = vocabulary.encode(["good film", "", "what a film"])
    assert encoded.ids.tolist() == [3, 2, UNKNOWN_ID, UNKNOWN_ID, 2]
    assert encoded.offsets.tolist() == [0, 2, 2, 5]


@given(st.lists(st.one_of(st.text(), st.lists(st.sampled_from(WORDS)).map(" ".join)), max_size=5))
def test_plain_python_encodes_a_few_texts_as_the_kernel_does(texts: list[str]) -> None:
    for cleaning in (CleaningSettings(stop_words=("a",)), CleaningSettings(punctuation="keep")):
        vocabulary = Vocabulary.build(TEXTS, cleaning, max_words=100, min_count=1)
        few, many = vocabulary.encode_few(texts), vocabulary.encode(texts)
        assert few.ids.dtype == many.ids.dtype
        assert few.ids.tolist() == many.ids.tolist()
        assert few.offsets.tolist() == many.offsets.tolist()


def test_encoding_many_texts_equals_encoding_each() -> None:
    vocabulary = Vocabulary.build(TEXTS, CleaningSettings(), max_words=10)
    texts = TEXTS * 700
    together = vocabulary.encode(texts)
    alone = [vocabulary.encode([text]).ids.tolist() for text in TEXTS] * 700
    assert [together.ids[a:b].tolist() for a, b in pairwise(together.offsets)] == alone
    assert len(vocabulary.encode([])) == 0


def test_files_rebuild_the_same_vocabulary() -> None:
    vocabulary = Vocabulary.build(TEXTS, CleaningSettings(punctuation="keep"), max_words=10, min_count=1)
    rebuilt = Vocabulary.from_files(vocabulary.files(), vocabulary.cleaning)
    assert rebuilt.words == vocabulary.words
    with pytest.raises(BundleError, match=r"no vocabulary\.txt"):
        Vocabulary.from_files({}, CleaningSettings())
    with pytest.raises(BundleError, match="not UTF-8"):
        Vocabulary.from_files({"vocabulary.txt": b"\xff"}, CleaningSettings())


@pytest.mark.parametrize(("keep", "expected"), [("head", [0, 1, 2]), ("tail", [4, 5, 6]), ("head+tail", [0, 1, 6])])
def test_truncation_keeps_what_it_says(keep: str, expected: list[int]) -> None:
    import numpy as np

    from plaudit.text.encoded import EncodedTexts

    encoded = EncodedTexts(np.array([9, 8, *range(7)], np.int32), np.array([0, 2, 9], np.int64))
    cut = encoded.truncated(3, keep)  # type: ignore[arg-type]
    assert cut.ids.tolist() == [9, 8, *expected]
    assert cut.offsets.tolist() == [0, 2, 5]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_shares_of_ranks_hold_every_text_once(size: int) -> None:
    import numpy as np

    from plaudit.text.encoded import EncodedTexts

    texts = [[9, 8], [], [7], [6, 5, 4]]
    encoded = EncodedTexts(np.array([9, 8, 7, 6, 5, 4], np.int32), np.array([0, 2, 2, 3, 6], np.int64))
    for rank in range(size):
        share = encoded.share(rank, size)
        parts = [share.ids[share.offsets[i] : share.offsets[i + 1]].tolist() for i in range(len(share))]
        assert parts == texts[rank::size]
