from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from plaudit.automl.candidates import Candidate, Material
from plaudit.automl.choose import Trial, choose, first_candidate
from plaudit.models.bow.fit import fit_bow
from plaudit.models.bow.head_start import HeadStart, fit_with_head_start
from plaudit.models.bow.settings import BowSettings
from tests.automl.conftest import invented

QUIET = Console(quiet=True)
LABELS = ("neg", "pos")
FIRST = first_candidate(240, LABELS)


def chosen(reviews, **options):
    texts, ids = reviews
    return choose(texts, ids, LABELS, np.arange(len(texts)), **{"console": QUIET, **options})


def test_the_best_of_the_trials_is_chosen_and_all_saw_the_same_texts(reviews):
    choice = chosen(reviews, starts=("bow",))
    assert len({len(trial.is_right) for trial in choice.trials}) == 1
    assert not any(trial.beats(choice.best) and choice.best.beats(trial) for trial in choice.trials)
    assert choice.best.accuracy > 0.9
    assert len({trial.candidate for trial in choice.trials}) == len(choice.trials)
    assert not choice.stopped


def test_no_budget_still_chooses_the_first_candidate(reviews):
    choice = chosen(reviews, budget_seconds=0)
    assert len(choice.trials) == 1
    assert choice.stopped


def test_the_same_seed_chooses_the_same(reviews):
    first, second = (chosen(reviews, starts=(), budget_seconds=1000) for _ in range(2))
    assert [trial.candidate for trial in first.trials] == [trial.candidate for trial in second.trials]
    assert first.best.candidate == second.best.candidate


def test_rows_of_one_unit_are_never_split():
    # Each text stands there ten times under one random label: only who learns by heart could be right about them.
    rng = np.random.default_rng(0)
    texts, ids = [], []
    for i in range(40):
        text, label = " ".join(rng.choice(list("abcdefgh"), 6)) + f" w{i}", int(rng.integers(2))
        texts += [text] * 10
        ids += [label] * 10
    unit = np.repeat(np.arange(40), 10)
    honest = choose(texts, np.array(ids), LABELS, unit, starts=(), budget_seconds=0, console=QUIET)
    by_heart = choose(texts, np.array(ids), LABELS, np.arange(400), starts=(), budget_seconds=0, console=QUIET)
    assert by_heart.best.accuracy > 0.95
    assert honest.best.accuracy < 0.8


def test_a_head_start_that_knows_the_answer_is_taken_and_one_that_knows_nothing_is_not():
    # Words that the shipped models know, each in one text only, so that nothing can be learned about them here.
    good = ["wonderful", "superb", "delightful", "excellent", "masterpiece", "charming", "brilliant", "perfect"]
    bad = ["awful", "terrible", "boring", "worst", "waste", "horrible", "dreadful", "pathetic"]
    texts, ids = [*good, *bad], np.repeat([1, 0], 8)
    helped = choose(texts, ids, LABELS, np.arange(16), starts=("bow",), console=QUIET)
    assert helped.best.candidate.start == "bow"
    weekdays, colours = ["monday", "tuesday", "wednesday"], ["red", "green", "blue"]
    texts = [f"{(weekdays, colours)[i % 2][i % 3]} {i}" for i in range(300)]
    other = choose(texts, np.arange(300) % 2, LABELS, np.arange(300), starts=("bow",), console=QUIET)
    assert other.best.accuracy == 1


def test_unlabelled_texts_are_used_where_they_help(reviews):
    texts, ids = invented(60, seed=1)
    more, _ = invented(2_000, seed=2)
    choice = choose(texts, ids, LABELS, np.arange(60), unlabelled=more, starts=(), console=QUIET)
    tried = [trial for trial in choice.trials if trial.candidate.self_training]
    assert {trial.candidate.self_training for trial in tried} == {0.3, 1.0}
    without = max(trial.accuracy for trial in choice.trials if not trial.candidate.self_training)
    assert max(trial.accuracy for trial in tried) >= without


def test_a_class_of_one_text_does_not_stop_the_choice(reviews):
    texts, ids = reviews
    choice = choose(
        [*texts, "odd one"], np.append(ids, 2), (*LABELS, "rare"), np.arange(len(texts) + 1), starts=(), console=QUIET
    )
    assert choice.best.accuracy > 0.9
    assert choice.best.candidate.settings.probabilities == "softmax"


@pytest.mark.parametrize("start", ["bow", "ensemble"])
def test_a_chosen_head_start_can_be_fitted_and_scores_the_same(reviews, start):
    texts, ids = reviews
    material = Material(texts, ids, LABELS)
    candidate = material.as_fitted(replace(FIRST, start=start))
    train, test = np.arange(200), np.arange(200, 240)
    scores = material.scores(candidate, train, test)
    head_start = HeadStart(start, material.start(start), candidate.strength)
    model = fit_with_head_start(candidate.settings, head_start, texts[:200], ids[:200], LABELS, console=QUIET)
    logits = model.logits(texts[200:])
    np.testing.assert_allclose(scores[:, 0], logits[:, 1] - logits[:, 0], atol=0.02)


def trial(is_right, log_loss):
    return Trial(Candidate(BowSettings()), np.array(is_right, bool), log_loss, 1.0, 0.0)


def test_log_loss_decides_where_accuracy_cannot():
    much = trial([1] * 90 + [0] * 10, 0.9), trial([1] * 60 + [0] * 40, 0.1)
    assert much[0].beats(much[1])
    assert not much[1].beats(much[0])
    close = trial([1] * 50 + [0] * 50, 0.9), trial([0] * 50 + [1] * 50, 0.1)
    assert close[1].beats(close[0])


@pytest.mark.parametrize("candidate", [FIRST, FIRST.with_settings(scale="idf", characters=4)])
def test_scores_are_those_of_the_model_that_would_be_saved(reviews, candidate):
    texts, ids = reviews
    train, test = np.arange(200), np.arange(200, 240)
    scores = Material(texts, ids, LABELS).scores(candidate, train, test)
    model = fit_bow(candidate.settings, texts[:200], ids[:200], LABELS, console=QUIET)
    logits = model.logits(texts[200:])
    np.testing.assert_allclose(scores[:, 0], logits[:, 1] - logits[:, 0], atol=0.02)
