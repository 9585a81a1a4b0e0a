import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.data.accents import _may_change, composed, composed_column

MARKS = "\u0301\u0308\u0327\u0323\u0345\u3099\u11a8\u1161\u093c\u0e38\u0e48\u0653\u05b4"
BASES = "eEa oω\u1100\u304b\u0928\u0e01\u0627\u05d9\u212b\u00c5\u00c7d\u0307語😀"
texts = st.lists(st.text(st.sampled_from(BASES + MARKS)) | st.text(), max_size=5)


@given(texts)
def test_a_column_is_composed_as_its_texts_are(each):
    whole = [text.encode("utf-8", "replace").decode() for text in each]
    expected = [unicodedata.normalize("NFC", text) for text in whole]
    assert composed_column(pa.array(whole, pa.large_string())).to_pylist() == expected
    assert list(map(composed, whole)) == expected
    part = pa.array(["e\u0301", *whole, "e\u0301"], pa.large_string()).slice(1, len(whole))
    assert composed_column(part).to_pylist() == expected


def test_every_character_that_may_change_is_looked_at():
    table = _may_change()
    for code in range(0x300, 0x30000):
        character = chr(code)
        if 0xD800 <= code < 0xE000:
            continue
        is_special = unicodedata.combining(character) or not unicodedata.is_normalized("NFC", character)
        assert table[code] or not is_special, hex(code)
        decomposed = unicodedata.normalize("NFD", character)
        assert all(table[ord(part)] for part in decomposed[1:]), hex(code)


@pytest.mark.parametrize("text", ["plain", "déjà vu", "“quoted” — and…", "хороший", "很好", "좋은", "とても", "😀"])
def test_composed_texts_are_not_copied(text):
    column = pa.array([text] * 3, pa.large_string())
    assert composed_column(column) is column
