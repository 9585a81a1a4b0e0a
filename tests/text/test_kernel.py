"""The compiled kernel says what the plain reference says, on any text and with any settings."""

import unicodedata
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plaudit.text import kernel, reference
from plaudit.text.cleaning import CleaningSettings

any_text = st.one_of(
    st.text(st.characters(), max_size=60),  # lone surrogates included
    st.text(st.sampled_from("eo\u0301\u0308\u0323\u1100\u1161か\u3099 <>\u0338\u212b\ud800"), max_size=30),  # accents
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


@given(st.lists(any_text, max_size=4), any_cleaning)
def test_tokens_do_not_depend_on_how_accents_are_written(texts: list[str], cleaning: CleaningSettings) -> None:
    decomposed = [unicodedata.normalize("NFD", text) for text in texts]
    expected = [reference.tokenize(text, cleaning) for text in texts]
    assert [reference.tokenize(text, cleaning) for text in decomposed] == expected
    assert encode_with_kernel(decomposed, cleaning) == encode_with_kernel(texts, cleaning)


@settings(max_examples=200)
@given(st.lists(any_text, max_size=4), any_cleaning, st.integers(1, 4), st.integers(0, 6))
def test_ngram_keys_equal_those_of_the_reference(
    texts: list[str], cleaning: CleaningSettings, max_order: int, characters: int
) -> None:
    data, offsets = kernel.join_utf8(texts)
    keys, ends = kernel.ngram_keys(data, offsets, kernel.cleaning_tables(cleaning), max_order, characters)
    for i, text in enumerate(texts):
        expected = sorted(h >> 32 for h in reference.ngram_hashes(text, cleaning, max_order, characters))
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


# N-grams of characters.


def spelt(text: str, characters: int, **cleaning: object) -> list[int]:
    """Return the hashes of a text's n-grams of characters alone."""
    resolved = CleaningSettings(**cleaning)
    return reference.ngram_hashes(text, resolved, 1, characters)[len(reference.tokenize(text, resolved)) :]


def test_characters_are_those_inside_words_with_their_edges() -> None:
    assert len(spelt("ab", 2)) == 3  # ^a ab b$
    assert len(spelt("ab", 4)) == len(set(spelt("ab", 4))) == 6  # and ^ab ab$ ^ab$
    assert spelt("ab", 8) == spelt("ab", 4)
    assert spelt("ab", 0) == spelt("ab", 1) == []
    assert set(spelt("cab", 2)) & set(spelt("tab", 2)) == set(spelt("ab", 2)[1:])  # not what a word begins with
    assert spelt("a <b>ab</b>!", 3, punctuation="keep") == spelt("a", 3) + spelt("ab", 3)
    assert spelt("AB", 3) == spelt("ab", 3) != spelt("AB", 3, lowercase=False)


def test_a_stop_word_is_no_token_but_has_characters() -> None:
    """Texts of a language without blanks are one word, so characters are taken as they stand there."""
    assert spelt("the ab", 3, stop_words=("the",)) == spelt("the ab", 3)


def test_no_ngram_of_characters_is_one_of_words() -> None:
    words = {h >> 32 for h in reference.ngram_hashes("a b ab a b", CleaningSettings(), 3)}
    assert not words & {h >> 32 for h in spelt("a b ab a b", 5)}


WIDE = ["日本語の文章です", "😀 😀😀", "日 本 語 é é"]
ADVERSARIAL = ["", "a", "a a a a a a a a", "a" * 300, *WIDE, "a!b!c", "!!!!", " " * 9]


@pytest.mark.parametrize("text", ADVERSARIAL)
@pytest.mark.parametrize(("max_order", "characters"), [(1, 2), (1, 8), (4, 5), (8, 8)])
def test_keys_fit_the_memory_that_is_set_aside_for_them(text: str, max_order: int, characters: int) -> None:
    cleaning = CleaningSettings(punctuation="keep")
    for texts in ([text], [text] * 7):
        data, offsets = kernel.join_utf8(texts)
        expected = [h >> 32 for t in texts for h in reference.ngram_hashes(t, cleaning, max_order, characters)]
        assert len(expected) <= kernel._most_keys(len(data), len(texts), max_order, characters)
        keys, _ = kernel.ngram_keys(data, offsets, kernel.cleaning_tables(cleaning), max_order, characters)
        assert sorted(keys.tolist()) == sorted(expected)


@pytest.mark.parametrize("text", ADVERSARIAL)
def test_characters_are_written_inside_their_arrays(text: str) -> None:
    """Compiled code checks no index, so what lies behind an array shows a write past its end."""
    data, offsets = kernel.join_utf8([text])
    expected = sorted(h >> 32 for h in spelt(text, 5))
    untouched = 7
    word, keys = np.full(len(data) + 66, untouched, np.uint64), np.full(len(expected) + 64, untouched, np.uint32)
    tables = kernel.cleaning_tables(CleaningSettings())
    total = kernel._write_character_keys(data, *offsets, tables, 5, word[:-64], keys[:-64])
    assert sorted(keys[:total].tolist()) == expected
    assert (word[-64:] == untouched).all() and (keys[-64:] == untouched).all()


def scores_by_reference(
    texts: list[str], cleaning: CleaningSettings, weights: dict[int, float], *, is_l2: bool, characters: int
) -> list[np.float32]:
    distinct = [{h >> 32 for h in reference.ngram_hashes(text, cleaning, 3, characters)} for text in texts]
    known = [[weights[key] for key in keys & weights.keys()] for keys in distinct]
    return [np.float32(sum(found)) / np.sqrt(np.float32(max(1, len(found)) if is_l2 else 1)) for found in known]


@settings(max_examples=200)
@given(
    st.lists(any_text, max_size=4),
    any_cleaning,
    st.integers(16, 20),
    st.booleans(),
    st.sampled_from([0, 2, 5]),
    st.data(),
)
def test_scores_are_sums_over_the_distinct_known_ngrams(texts, cleaning, slot_bits, is_l2, characters, data) -> None:
    keys = {h >> 32 for text in texts for h in reference.ngram_hashes(text, cleaning, 3, characters)}
    one_a_slot = {key >> (32 - slot_bits): key for key in sorted(keys)}
    known = data.draw(st.lists(st.sampled_from(sorted(one_a_slot.values())), unique=True) if keys else st.just([]))
    multiples_of_a_power_of_two = st.integers(-2047, 2047).map(lambda number: number / 512)  # sums are exact
    columns = [{key: data.draw(multiples_of_a_power_of_two) for key in known} for _ in range(2)]
    weights = np.array([[column[key] for column in columns] for key in known], np.float16).reshape(len(known), 2)
    table = kernel.ngram_table(np.array(known, np.uint32), weights, slot_bits)
    tables = kernel.cleaning_tables(cleaning)
    scores = kernel.ngram_scores(*kernel.join_utf8(texts), tables, 3, table, is_l2, characters)
    expected = [scores_by_reference(texts, cleaning, each, is_l2=is_l2, characters=characters) for each in columns]
    assert scores.T.tolist() == expected


def test_scores_count_each_ngram_of_a_text_once_in_any_number_of_texts() -> None:
    cleaning = CleaningSettings()
    key = reference.ngram_hashes("good", cleaning, 1)[0] >> 32
    table = kernel.ngram_table(np.array([key], np.uint32), np.array([[0.5, -2]], np.float16), 20)
    texts = ["good good", "bad", "Good, good"] * 300
    scores = kernel.ngram_scores(*kernel.join_utf8(texts), kernel.cleaning_tables(cleaning), 1, table, False, 0)
    assert scores.tolist() == [[0.5, -2], [0, 0], [0.5, -2]] * 300


def test_a_table_holds_every_float16_exactly() -> None:
    cleaning = CleaningSettings()
    key = np.array([reference.ngram_hashes("good", cleaning, 1)[0] >> 32], np.uint32)
    for weight in np.array([2**-24, 3e-6, -6.1e-5, 1 / 3, -65504, 0], np.float16):  # subnormal ones included
        table = kernel.ngram_table(key, weight.reshape(1, 1), 16)
        scores = kernel.ngram_scores(*kernel.join_utf8(["good"]), kernel.cleaning_tables(cleaning), 1, table, False, 0)
        assert scores.tolist() == [[float(weight)]]


def test_an_empty_slot_is_no_known_ngram_and_a_weight_of_0_is_one() -> None:
    cleaning = CleaningSettings()
    many = " ".join(f"w{i}" for i in range(500_000))
    keys, _ = kernel.ngram_keys(*kernel.join_utf8([many]), kernel.cleaning_tables(cleaning), 1, 0)
    first, second = np.flatnonzero((keys & np.uint32(0xFFFF)) == 0)[:2]  # an empty slot of 16 bits looks just so
    known, other = keys[[first]], keys[[second]]
    texts = [f"w{first}", f"w{first} w{second}", f"w{second}"]
    for weight, expected in ((2.0, [2, 2, 0]), (0.0, [0, 0, 0])):
        table = kernel.ngram_table(known, np.array([[weight]], np.float16), 16)
        scores = kernel.ngram_scores(*kernel.join_utf8(texts), kernel.cleaning_tables(cleaning), 1, table, True, 0)
        assert scores.ravel().tolist() == expected
    table = kernel.ngram_table(np.append(known, other), np.array([[2], [0]], np.float16), 16)
    scores = kernel.ngram_scores(*kernel.join_utf8(texts), kernel.cleaning_tables(cleaning), 1, table, True, 0)
    assert scores.ravel().tolist() == [2, np.sqrt(np.float32(2)), 0]


def plainly_joined(texts: list[str]) -> tuple[list[int], list[int]]:
    readable = [text.encode("utf-8", "replace").decode() for text in texts]
    encoded = [unicodedata.normalize("NFC", text).encode() for text in readable]
    return list(b"".join(encoded)), [0, *accumulate(map(len, encoded))]


@given(st.lists(any_text, max_size=4))
def test_joined_texts_are_their_composed_bytes_one_after_the_other(texts: list[str]) -> None:
    data, offsets = kernel.join_utf8(texts)
    assert (data.tolist(), offsets.tolist()) == plainly_joined(texts)


@pytest.mark.parametrize("texts", [[], [""], ["", ""], ["\ud83d"], ["é", "a\udc00b", ""]], ids=repr)
def test_odd_texts_are_joined_too(texts: list[str]) -> None:
    data, offsets = kernel.join_utf8(texts)
    assert (data.tolist(), offsets.tolist()) == plainly_joined(texts)
