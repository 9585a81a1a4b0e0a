import importlib.util
import json
import sys
import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import plaudit
from plaudit.bundle.folder import save_bundle
from plaudit.bundle.trained import TrainedModel
from plaudit.errors import DataError, MissingExtraError, SettingsError
from plaudit.explain import explanation as module
from plaudit.explain.explanation import explain, methods_of
from plaudit.explain.gradients import integrated_gradients, trainable
from plaudit.explain.spans import pieces_of, words_of
from plaudit.models.bow.fit import fit_bow
from plaudit.models.bow.head_start import HeadStart, fit_with_head_start
from plaudit.models.bow.model import BowModel
from plaudit.models.bow.settings import BowSettings
from plaudit.models.calibration import Calibration
from plaudit.models.ensemble import EnsembleModel
from plaudit.models.lstm.network import LSTMModel
from plaudit.models.lstm.runtime import LSTMRuntime
from plaudit.models.lstm.settings import LSTMSettings
from plaudit.text.cleaning import CleaningSettings
from plaudit.text.reference import character_hashes, tokenize
from tests.conftest import toy_reviews

pytest.importorskip("captum")

REVIEW = "A <br />LOVELY film,\n  it was superb; not dull at all."
PARTS = [
    *["lovely", "superb", "dull", "awful", "film", "the", "was"],
    "<br />",
    "&amp;",
    "<",
    ">",
    "!",
    " ",
    "É",
    "日本",
    "\ud83d",
    "1",
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=25).map(" ".join) | st.text(max_size=60)


@pytest.fixture(scope="module")
def three_labels():
    """A bow model of three labels."""
    texts = [text for text, _ in toy_reviews(60)] + [f"so so middling film number {i}" for i in range(30)]
    label_ids = np.array([*[0, 1] * 30, *[2] * 30])
    labels = ("negative", "positive", "mixed")
    return fit_bow(BowSettings(min_count=2, slot_bits=16), texts, label_ids, labels, console=Console(quiet=True))


def lstm(**changes):
    """A small LSTM that has learned nothing, as a model that predicts."""
    settings = LSTMSettings(min_count=1, embedding_size=6, hidden_size=5, **changes)
    texts = [text for text, _ in toy_reviews(20)]
    model = LSTMModel.create(settings, ("negative", "positive", "mixed"), texts, seed=0)
    return LSTMRuntime.from_state(settings, model.labels, model.state())


def contributions(explanation):
    return np.array([token.contribution for token in explanation.tokens])


CLEANINGS = [
    CleaningSettings(),
    CleaningSettings(punctuation="keep", digits="drop", lowercase=False),
    CleaningSettings(strip_html=False, punctuation="keep", stop_words=("the", "was")),
]


@pytest.mark.parametrize("cleaning", CLEANINGS)
@given(text=TEXTS)
def test_words_are_those_that_the_tokenizer_finds_at_their_places(cleaning, text):
    words = words_of(text, cleaning)
    assert [word.token for word in words] == tokenize(text, cleaning)
    for word in words:
        assert tokenize(text[word.start : word.end], cleaning.model_copy(update={"strip_html": False})) == [word.token]
    assert all(a.end <= b.start for a, b in pairwise(words))


@pytest.mark.parametrize("cleaning", CLEANINGS)
@given(text=st.text(st.sampled_from("e\u0301\u0323\u0308o A!<b>&\u1100\u1161\u11a8\u0958\u212b\u00e9\ud800")))
def test_words_are_found_however_their_accents_are_written(cleaning, text):
    words = words_of(text, cleaning)
    assert [word.token for word in words] == tokenize(text, cleaning)
    assert all(a.start <= a.end <= b.start for a, b in pairwise(words))
    decomposed = unicodedata.normalize("NFD", "un très bon film")
    assert [decomposed[word.start : word.end] for word in words_of(decomposed, cleaning)] == decomposed.split()


@given(text=TEXTS)
def test_exact_contributions_and_bias_add_up_to_the_log_odds(toy_bow, text):
    (explanation,) = explain(toy_bow, [text], method="exact")
    z = toy_bow._kernel_scores([text])[0, 0] * toy_bow.scale[0] + toy_bow.bias[0]
    log_odds = z if explanation.label == "positive" else -z
    assert explanation.rest + contributions(explanation).sum() == pytest.approx(log_odds, abs=1e-4)
    assert explanation.gap == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("label", ["negative", "positive", "mixed"])
@settings(max_examples=30)
@given(text=TEXTS)
def test_exact_contributions_of_three_labels_add_up_to_the_labels_own_problem(three_labels, label, text):
    (explanation,) = explain(three_labels, [text], label=label)
    k = three_labels.labels.index(label)
    z = three_labels._kernel_scores([text])[0, k] * three_labels.scale[k] + three_labels.bias[k]
    assert explanation.rest + contributions(explanation).sum() == pytest.approx(z, abs=1e-4)
    assert explanation.gap == pytest.approx(0, abs=1e-4)


CHARACTERS = [
    {"characters": 4},
    {"characters": 3, "cleaning": CleaningSettings(stop_words=("the", "was")), "scale": "idf", "norm": "none"},
    {"characters": 5, "probabilities": "softmax", "temperature": 2.0},
    {"probabilities": "softmax"},
]


@pytest.fixture(scope="module", params=CHARACTERS, ids=str)
def with_characters(request):
    """Models of two and of three labels, most of them with n-grams of characters."""
    reviews = [*toy_reviews(60), *((f"so so middling film number {i}", "mixed") for i in range(30))]
    texts, label_ids = [text for text, _ in reviews], np.array([*[0, 1] * 30, *[2] * 30])
    chosen, quiet = BowSettings(min_count=2, slot_bits=16, **request.param), Console(quiet=True)
    two = fit_bow(chosen, texts[:60], label_ids[:60], ("negative", "positive"), console=quiet)
    return two, fit_bow(chosen, texts, label_ids, ("negative", "positive", "mixed"), console=quiet)


@settings(max_examples=30)
@given(text=TEXTS)
def test_exact_contributions_count_ngrams_of_characters(with_characters, text):
    for model in with_characters:
        for k, label in enumerate(model.labels):
            (explanation,) = explain(model, [text], label=label)
            score = model._kernel_scores([text])[0] * model.scale + model.bias
            own = score[k] if len(model.labels) > 2 else (2 * k - 1) * score[0]
            assert explanation.rest + contributions(explanation).sum() == pytest.approx(own, abs=1e-3)
            assert explanation.gap == pytest.approx(0, abs=1e-3)


def test_ngrams_of_characters_count_for_their_word_and_stop_words_have_them():
    cleaning = CleaningSettings(stop_words=("the",))
    of_the = [value >> 32 for value in character_hashes("the", cleaning, 3)]
    keys = np.array(sorted({*of_the, next(character_hashes("film", cleaning, 3)) >> 32}), np.uint32)
    model = BowModel(
        BowSettings(cleaning=cleaning, characters=3, norm="none"),
        ("negative", "positive"),
        keys=keys,
        weights=np.ones((len(keys), 1), np.float16),
        bias=np.zeros(1, np.float32),
    )
    (explanation,) = explain(model, ["The film"])
    assert [(token.text, token.contribution) for token in explanation.tokens] == [("The", len(of_the)), ("film", 1)]


def test_a_weight_is_shared_over_the_tokens_and_occurrences_of_its_ngram():
    from plaudit.text.reference import ngram_hashes

    bigram = ngram_hashes("very good", CleaningSettings(), 2)[-1] >> 32
    model = BowModel(
        BowSettings(cleaning=CleaningSettings(), max_order=2),
        ("negative", "positive"),
        keys=np.array([bigram], np.uint32),
        weights=np.array([[4]], np.float16),
        bias=np.zeros(1, np.float32),
    )
    (once,) = explain(model, ["a Very good film"])
    (twice,) = explain(model, ["very good, very good"])
    assert contributions(once).tolist() == [0, 2, 2, 0]
    assert contributions(twice).tolist() == [1, 1, 1, 1]


def test_a_model_without_ngrams_explains_nothing():
    empty = np.zeros((0, 1), np.float16)
    model = BowModel(
        BowSettings(), ("a", "b"), keys=np.zeros(0, np.uint32), weights=empty, bias=np.array([0.5], np.float32)
    )
    (explanation,) = explain(model, ["good film"])
    assert (explanation.label, explanation.rest, contributions(explanation).tolist()) == ("b", 0.5, [0, 0])


def test_spans_keep_the_spelling_of_the_text(toy_bow):
    (explanation,) = explain(toy_bow, [REVIEW])
    assert [token.text for token in explanation.tokens][:5] == ["A", "LOVELY", "film", ",", "it"]
    assert all(REVIEW[token.start : token.end] == token.text for token in explanation.tokens)


def test_the_named_label_is_explained_in_place_of_the_verdict(toy_bow):
    predicted, named = (explain(toy_bow, ["a lovely film"], label=label)[0] for label in (None, "negative"))
    assert (predicted.label, named.label, named.predicted) == ("positive", "negative", "positive")
    np.testing.assert_allclose(contributions(named), -contributions(predicted))
    assert named.probability == pytest.approx(1 - predicted.probability, abs=1e-6)


GRADIENTS = [
    {},
    {"num_layers": 2, "pooling": ("mean", "last")},
    {"bidirectional": False, "storage": "int8"},
    {"bidirectional": False, "backward": True},
]


@pytest.mark.parametrize("changes", GRADIENTS)
def test_integrated_gradients_add_up_to_the_log_odds_less_the_baseline(changes):
    model = lstm(**changes)
    for explanation in explain(model, [REVIEW, "lovely", ""], label="mixed"):
        assert explanation.method == "gradients"
        assert abs(explanation.gap) < 1e-3
    unknown = "zzz " * len(words_of(REVIEW, model.settings.cleaning))
    wide = model.logits([unknown])[0].astype(float)
    assert explain(model, [REVIEW], label="mixed")[0].rest == pytest.approx(
        wide[2] - np.logaddexp(wide[0], wide[1]), abs=1e-4
    )


def test_more_steps_of_the_integral_close_the_gap():
    model = trainable(lstm(pooling=("max",)))
    wide = model.logits([REVIEW])[0].astype(float)
    log_odds = wide[0] - np.logaddexp(wide[1], wide[2])
    words = len(words_of(REVIEW, model.settings.cleaning))
    gaps = []
    for steps in (2, 256):
        found, rest = integrated_gradients(model, REVIEW, 0, words, steps=steps)
        gaps.append(abs(log_odds - rest - found.sum()))
    assert gaps[1] < gaps[0]
    assert gaps[1] < 1e-4


def test_gradients_leave_the_networks_mode_as_it_was():
    model = trainable(lstm())
    model.network.train()
    explain(model, ["a lovely film"])
    assert model.network.training


def test_words_that_an_lstm_does_not_know_or_read_contribute_nothing():
    model = lstm(max_tokens=4, truncation="head+tail")
    (explanation,) = explain(model, ["lovely qwertz film dull boring superb tedious"])
    assert (contributions(explanation) != 0).tolist() == [True, False, False, False, False, True, True]


@pytest.mark.parametrize("text", ["the lovely film was superb", "the <br /> film! dull"])
def test_occlusion_is_what_the_log_odds_fall_by_without_a_token(toy_bow, text):
    (explanation,) = explain(toy_bow, [text], method="occlusion", label="positive")
    for token in explanation.tokens:
        without, whole = toy_bow.logits([f"{text[: token.start]} {text[token.end :]}", text]).astype(float)
        expected = (whole[1] - whole[0]) - (without[1] - without[0])
        assert token.contribution == pytest.approx(expected, abs=1e-5)
    nothing = toy_bow.logits([""]).astype(float)[0]
    assert explanation.rest == pytest.approx(nothing[1] - nothing[0], abs=1e-5)


def test_occlusion_of_single_words_is_exact_where_all_that_a_model_does_is_add_up_words():
    settings = BowSettings(min_count=2, slot_bits=16, max_order=1, norm="none")
    texts, labels = zip(*toy_reviews(60), strict=True)
    ids = np.array([label == "positive" for label in labels], np.int64)
    model = fit_bow(settings, texts, ids, ("negative", "positive"), console=Console(quiet=True))
    (left_out,) = explain(model, ["the lovely film was superb"], method="occlusion")
    (exact,) = explain(model, ["the lovely film was superb"], method="exact")
    np.testing.assert_allclose(contributions(left_out), contributions(exact), atol=1e-5)


def test_an_ensemble_is_explained_by_occlusion(toy_bow):
    model = EnsembleModel.of({"a": toy_bow, "b": toy_bow}, [0.5, 0.5])
    (explanation,) = explain(model, ["a lovely, superb film"])
    (alone,) = explain(toy_bow, ["a lovely, superb film"], method="occlusion")
    assert explanation.method == "occlusion"
    np.testing.assert_allclose(contributions(explanation), contributions(alone), atol=1e-5)


def test_a_head_start_that_stays_a_member_is_explained_with_it(toy_bow):
    """Its words are found though no text that the new model learned from has them."""
    start = HeadStart("films", EnsembleModel.of({"a": toy_bow, "b": toy_bow}, [0.5, 0.5]), 1.0)
    texts, ids = ["a lovely jug", "a dull jug"] * 10, np.array([1, 0] * 10)
    chosen, quiet = BowSettings(min_count=1, slot_bits=16), Console(quiet=True)
    model = fit_with_head_start(chosen, start, texts, ids, ("bad", "good"), console=quiet)
    (explanation,) = explain(model, ["a superb, tedious jug"], label="good")
    by_word = {token.text: token.contribution for token in explanation.tokens}
    assert explanation.method == "occlusion"
    assert by_word["superb"] > 0.05 and by_word["tedious"] < -0.05


def test_a_long_text_has_its_sentences_left_out(toy_bow, monkeypatch):
    monkeypatch.setattr(module, "MAX_PIECES", 6)
    text = "It was dull. So boring... A superb, lovely film! "
    (explanation,) = explain(toy_bow, [text], method="occlusion", label="positive")
    assert [token.text for token in explanation.tokens] == ["It was dull.", "So boring...", "A superb, lovely film!"]
    assert np.sign(contributions(explanation)).tolist() == [-1, -1, 1]


@pytest.mark.parametrize("text", ["word " * 1000, "One. Two! " * 400, "a"])
def test_there_are_never_more_pieces_than_asked_for_and_every_word_is_in_one(text):
    words = words_of(text, CleaningSettings())
    pieces = pieces_of(text, words, at_most=30)
    assert 1 <= len(pieces) <= 30
    assert sum(len(words_of(text[piece.start : piece.end], CleaningSettings())) for piece in pieces) == len(words)


@pytest.mark.parametrize("method", ["exact", "occlusion"])
def test_an_empty_text_has_no_words_but_a_verdict(toy_bow, method):
    (explanation,) = explain(toy_bow, [""], method=method)
    assert explanation.tokens == ()
    assert explanation.rest == pytest.approx(explanation.log_odds)


def test_predictor_and_model_have_the_same_explanation(toy_bow, toy_bow_folder):
    assert explain(plaudit.load(toy_bow_folder), [REVIEW]) == explain(toy_bow, [REVIEW])


def test_the_probability_is_the_calibrated_one(toy_bow, tmp_path):
    calibration = Calibration(method="temperature", temperature=3.0)
    save_bundle(TrainedModel(model=toy_bow, calibration=calibration), tmp_path / "calm")
    predictor = plaudit.load(tmp_path / "calm")
    (calm,), (own,) = explain(predictor, [REVIEW]), explain(toy_bow, [REVIEW])
    assert calm.probability == pytest.approx(float(predictor.predict_proba([REVIEW]).max()))
    assert calm.probability < own.probability
    assert calm.tokens == own.tokens


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "gradients"}, "method gradients: not for a bow model; give exact or occlusion"),
        ({"method": "occlusoin"}, "method occlusoin is unknown; did you mean occlusion?"),
        ({"label": "postive"}, "label postive is unknown; did you mean positive?"),
    ],
)
def test_what_the_kind_lacks_is_refused_in_one_line(toy_bow, options, message):
    with pytest.raises(SettingsError) as refusal:
        explain(toy_bow, ["a"], **options)
    assert str(refusal.value) == message


def test_what_is_no_list_of_texts_is_refused(toy_bow):
    with pytest.raises(DataError, match="give a list of them"):
        explain(toy_bow, "a lovely film")
    with pytest.raises(DataError, match=r"texts\[1\] is int, not str"):
        explain(toy_bow, ["a", 3])


def test_without_captum_an_lstm_is_explained_by_occlusion_unless_gradients_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    model = lstm()
    assert methods_of(model) == ("gradients", "occlusion")
    assert explain(model, ["a lovely film"])[0].method == "occlusion"
    with pytest.raises(MissingExtraError, match=r"plaudit\[explain\]"):
        explain(model, ["a"], method="gradients")


def test_json_holds_what_it_takes_to_highlight(toy_bow):
    content = json.loads(json.dumps(explain(toy_bow, ["Lovely film"])[0].as_json()))
    assert list(content) == ["text", "label", "predicted", "probability", "method", "tokens", "rest", "log_odds", "gap"]
    assert content["tokens"][0].keys() == {"start", "end", "text", "contribution"}
    total = content["rest"] + sum(token["contribution"] for token in content["tokens"])
    assert total == pytest.approx(content["log_odds"], abs=1e-5)
