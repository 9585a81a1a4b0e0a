import random
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.compress.transfer import _WAYS, MASK, TransferSettings, transfer_set
from plaudit.data.table import SCHEMA
from plaudit.errors import DataError, SettingsError
from plaudit.settings import parse
from plaudit.train.objectives import UNLABELLED

EVERY_WAY = {"mask": 2, "ngram": 1, "crop": 3}


def sourced(splits, *sources, seed=0, **variants):
    return transfer_set(splits, TransferSettings(sources=sources, variants=variants), seed=seed)


def texts_by_id(transfer):
    return dict(zip(transfer.ids, transfer.texts, strict=True))


def with_texts(splits, texts):
    at = SCHEMA.get_field_index("text")
    train = splits.train.slice(0, len(texts))
    return replace(splits, train=train.set_column(at, SCHEMA.field(at), [texts]))


def variant(way, text, seed=0):
    return _WAYS[way](text, random.Random(seed))


def words_of(text):
    return re.sub(r"<br\s*/?>", " ", text).split()


def test_without_variants_it_is_the_reviews_of_the_sources(splits):
    transfer = transfer_set(splits, TransferSettings(), seed=0)
    assert transfer.ids == splits.train["id"].to_pylist() + splits.unlabelled["id"].to_pylist()
    assert transfer.texts == splits.train["text"].to_pylist() + splits.unlabelled["text"].to_pylist()
    assert transfer.labels.dtype == np.int64
    assert transfer.labels.tolist() == splits.train["label"].to_pylist() + [UNLABELLED] * 60
    assert len(transfer) == 140


def test_variants_follow_under_unique_ids_and_have_no_label(splits):
    transfer = sourced(splits, "train", "unlabelled", **EVERY_WAY)
    assert len(transfer) == len(transfer.texts) == len(transfer.labels) == 140 * (1 + 6)
    assert len(set(transfer.ids)) == len(transfer)
    assert (transfer.labels[140:] == UNLABELLED).all()
    assert (transfer.labels[:80] == splits.train["label"].to_numpy()).all()
    endings = Counter(id.partition("~")[2] for id in transfer.ids)
    assert endings == dict.fromkeys(["", "mask1", "mask2", "ngram1", "crop1", "crop2", "crop3"], 140)


def test_a_variant_does_not_depend_on_what_else_is_asked_for(splits):
    everything = texts_by_id(sourced(splits, "train", "unlabelled", **EVERY_WAY))
    for sources, variants in (
        (("unlabelled", "train"), {"crop": 3, "ngram": 1, "mask": 2}),
        (("train",), {"mask": 1}),
        (("unlabelled",), {"crop": 2}),
        (("train",), {"ngram": 1, "mask": 0}),
    ):
        fewer = texts_by_id(sourced(splits, *sources, **variants))
        assert fewer.items() <= everything.items()


def test_a_variant_does_not_depend_on_the_order_of_reviews(splits):
    turned = replace(splits, train=splits.train.take(list(range(79, -1, -1))))
    assert texts_by_id(sourced(turned, "train", **EVERY_WAY)) == texts_by_id(sourced(splits, "train", **EVERY_WAY))


def test_variants_depend_on_seed_copy_and_id(splits):
    text = " ".join(f"word{i}" for i in range(200))
    splits = with_texts(splits, [text, text])
    transfer = texts_by_id(sourced(splits, "train", mask=2))
    other_seed = texts_by_id(sourced(splits, "train", mask=2, seed=1))
    masked = [text for id, text in [*transfer.items(), *other_seed.items()] if "~" in id]
    assert len(set(masked)) == len(masked) == 8


def test_variants_are_the_same_in_every_process_and_version(splits):
    splits = with_texts(splits, [" ".join(f"w{i}" for i in range(20))])
    # Soft labels are looked up by id: should this ever change, old ones must not be taken for those of the new texts.
    masked = "w0 maskedword w2 w3 w4 w5 w6 w7 maskedword w9 w10 w11 w12 w13 w14 w15 w16 w17 w18 w19"
    assert texts_by_id(sourced(splits, "train", mask=1))["train/0~mask1"] == masked


def test_a_source_named_twice_counts_once(splits):
    assert len(sourced(splits, "train", "train")) == 80


@pytest.mark.parametrize("source", ["train", "unlabelled"])
def test_an_empty_source_is_refused_in_one_line(splits, source):
    splits = replace(splits, **{source: SCHEMA.empty_table()})
    message = f"tiny: has no {source} reviews to distill from; leave them out of sources"
    with pytest.raises(DataError, match=message):
        transfer_set(splits, TransferSettings(), seed=0)


@pytest.mark.parametrize(
    "values", [{"sources": []}, {"sources": ["test"]}, {"variants": {"mask": -1}}, {"variants": {"shuffle": 1}}]
)
def test_settings_of_no_use_are_refused_in_one_line(values):
    with pytest.raises(SettingsError, match=rf"recipe: transfer\.{next(iter(values))}") as caught:
        parse(TransferSettings, values, source="recipe", prefix="transfer")
    assert len(str(caught.value).splitlines()) == 1


def test_mask_hides_fifteen_percent_of_the_words_in_place():
    words = [f"w{i}" for i in range(20_000)]
    masked = variant("mask", " ".join(words)).split(" ")
    assert len(masked) == len(words)
    assert all(after in (before, MASK) for before, after in zip(words, masked, strict=True))
    assert masked.count(MASK) / len(masked) == pytest.approx(0.15, abs=0.01)


@pytest.mark.parametrize("seed", range(20))
def test_ngram_cuts_out_16_to_64_words_in_a_row(seed):
    words = [f"w{i}" for i in range(500)]
    cut = variant("ngram", "  ".join(words), seed).split(" ")
    start = words.index(cut[0])
    assert 16 <= len(cut) <= 64
    assert cut == words[start : start + len(cut)]


def test_ngrams_of_every_length_start_anywhere():
    words = [f"w{i}" for i in range(70)]
    cuts = [variant("ngram", " ".join(words), seed).split() for seed in range(2_000)]
    assert {len(cut) for cut in cuts} == set(range(16, 65))
    assert {cut[0] for cut in cuts} >= set(words[:30])
    assert {cut[-1] for cut in cuts} >= set(words[-30:])


@pytest.mark.parametrize("num_sentences", [1, 2, 5, 8])
def test_crop_takes_half_of_the_sentences_in_a_row(num_sentences):
    sentences = [f"This is number {i}{'.!?'[i % 3]}" for i in range(num_sentences)]
    starts = set()
    for seed in range(100):
        cropped = re.findall(r"This is number \d[.!?]", variant("crop", " ".join(sentences), seed))
        start = sentences.index(cropped[0])
        assert cropped == sentences[start : start + (num_sentences + 1) // 2]
        starts.add(start)
    assert starts == set(range(num_sentences // 2 + 1))


@pytest.mark.parametrize(
    "text", ["One.<br /><br />Two.<br><br/>Three. <br /> <br />Four", "<br />One<br />Two<br />Three. Four"]
)
def test_crop_counts_lines_as_sentences_but_not_what_is_between_them(text):
    for seed in range(30):
        cropped = re.findall("One|Two|Three|Four", variant("crop", text, seed))
        assert len(cropped) == 2, "half of them, never an empty line"


@pytest.mark.parametrize("way", _WAYS)
def test_a_text_without_words_stays_without(way):
    for text in ("", " ", "\n\t"):
        assert variant(way, text).strip() == ""


@pytest.mark.parametrize("way", _WAYS)
def test_a_text_of_one_word_stays_one_word(way):
    found = {variant(way, "superb", seed) for seed in range(100)}
    assert found == ({"superb", MASK} if way == "mask" else {"superb"})


@pytest.mark.parametrize("way", ["ngram", "crop"])
@given(text=st.text(), seed=st.integers(0, 2**64))
def test_what_is_cut_out_has_only_words_of_the_text_in_their_order(way, text, seed):
    following = iter(words_of(text))
    assert all(word in following for word in words_of(variant(way, text, seed)))


@given(text=st.text(alphabet="ab .!?<br/>\n"), seed=st.integers(0, 2**64))
def test_crop_keeps_a_word_of_a_text_that_has_one(text, seed):
    assert bool(words_of(variant("crop", text, seed))) == bool(words_of(text))
