"""The compiled kernel says what the plain reference says, on any text and with any settings."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertone.text import kernel, reference
from undertone.text.cleaning import CleaningSettings

any_text = st.one_of(
    st.text(st.characters(), max_size=60),  # lone surrogates included
    st.text(st.sampled_from("aAzZ019 .,!?'<>/&;#\n\tbréİKß中\u0301\u200b😀𝒜\U00020000"), max_size=80),
    st.lists(
        st.sampled_from(
            [
                "<br />",
                "<b",
                "</i>",
                "a < b",
                "&amp;",
                "&#39;",
                "&x",
                "don't",
                "the",
                "THE",
                "10/10",
                "…",
                " ",
            ]
        )
    ).map("".join),
)
any_cleaning = st.builds(
    CleaningSettings,
    strip_html=st.booleans(),
    lowercase=st.booleans(),
    digits=st.sampled_from(["keep", "drop"]),
    punctuation=st.sampled_from(["keep", "drop"]),
    stop_words=st.sampled_from([(), ("the", "don't", "Ünter")]),
)


def encode_with_kernel(texts: list[str], cleaning: CleaningSettings) -> list[list[int]]:
    """Return each text's token hashes by giving every hash an id of its own."""
    distinct = sorted({reference.token_hash(t) for text in texts for t in reference.tokenize(text, cleaning)})
    slots, ids = kernel.hash_table(np.array(distinct, np.uint64))
    data, offsets = kernel.join_utf8(texts)
    found, ends = kernel.token_ids(data, offsets, kernel.cleaning_tables(cleaning), slots, ids, -1)
    return [[distinct[i] if i >= 0 else -1 for i in found[a:b]] for a, b in pairwise(ends)]


@settings(max_examples=400)
@given(st.lists(any_text, max_size=4), any_cleaning)
def test_tokens_equal_those_of_the_reference(texts: list[str], cleaning: CleaningSettings) -> None:
    expected = [[reference.token_hash(t) for t in reference.tokenize(text, cleaning)] for text in texts]
    assert encode_with_kernel(texts, cleaning) == expected


@settings(max_examples=200)
@given(st.lists(any_text, max_size=4), any_cleaning, st.integers(1, 4))
def test_ngram_keys_equal_those_of_the_reference(texts: list[str], cleaning: CleaningSettings, max_order: int) -> None:
    data, offsets = kernel.join_utf8(texts)
    keys, ends = kernel.ngram_keys(data, offsets, kernel.cleaning_tables(cleaning), max_order)
    for i, text in enumerate(texts):
        expected = sorted(h >> 32 for h in reference.ngram_hashes(text, cleaning, max_order))
        assert sorted(keys[ends[i] : ends[i + 1]].tolist()) == expected


@settings(max_examples=200)
@given(st.lists(any_text, max_size=4), any_cleaning)
def test_spans_hold_the_bytes_of_their_tokens(texts: list[str], cleaning: CleaningSettings) -> None:
    cleaning = cleaning.model_copy(update={"stop_words": ()})
    data, offsets = kernel.join_utf8(texts)
    hashes, spans = kernel.token_spans(data, offsets, kernel.cleaning_tables(cleaning))
    for value, (start, end) in zip(hashes.tolist(), spans, strict=True):
        tokens = reference.tokenize(data[start:end].tobytes().decode(), cleaning)
        assert [reference.token_hash(token) for token in tokens] == [value]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        pytest.param("a" * 10_000_000, marks=pytest.mark.slow, id="10 MB without a space"),
        "<" * 100_000,
        "&" * 100_000,
        "é" * 100_000,
    ],
)
def test_extreme_texts_equal_the_reference(text: str) -> None:
    cleaning = CleaningSettings(punctuation="keep")
    data, offsets = kernel.join_utf8([text])
    hashes, _ = kernel.token_spans(data, offsets, kernel.cleaning_tables(cleaning))
    assert hashes.tolist() == [reference.token_hash(token) for token in reference.tokenize(text, cleaning)]


def test_tokens_are_what_the_settings_say() -> None:
    text = "I <b>DON'T</b> like 2001's ending&hellip; Café!"
    plain = reference.tokenize(text, CleaningSettings())
    assert plain == ["i", "don", "t", "like", "2001", "s", "ending", "café"]
    letters_only = CleaningSettings(digits="drop", stop_words=("i", "s", "don't"))
    assert reference.tokenize(text, letters_only) == ["like", "ending", "café"]
    everything = CleaningSettings(strip_html=False, lowercase=False, punctuation="keep")
    assert reference.tokenize(text, everything)[:8] == ["I", "<", "b", ">", "DON", "'", "T", "<"]


def test_scores_count_each_ngram_of_a_text_once_over_any_number_of_texts() -> None:
    cleaning = CleaningSettings()
    tables = kernel.cleaning_tables(cleaning)
    key = reference.ngram_hashes("good", cleaning, 1)[0] >> 32
    bits = 20
    tags, weights = np.zeros(1 << bits, np.uint16), np.zeros((1 << bits, 2), np.float32)
    tags[key >> (32 - bits)] = key & ((1 << (32 - bits)) - 1)
    weights[key >> (32 - bits)] = (0.5, -2)
    texts = ["good good", "bad", "Good, good"] * 300  # more texts than the stamp has values
    scores = kernel.ngram_scores(*kernel.join_utf8(texts), tables, 1, tags, weights)
    assert scores.tolist() == [[0.5, -2], [0, 0], [0.5, -2]] * 300
