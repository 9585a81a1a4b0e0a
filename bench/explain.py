"""Measure the methods of explanation: time, unexplained log-odds, and agreement, on 50 validation reviews.

The reviews are drawn from IMDB's validation split, among those short enough for occlusion by token; the test split is
not read. Writes docs/results/bench_explain.json.
"""

import json
from itertools import combinations
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.console import Console
from scipy.stats import spearmanr

import plaudit
from plaudit.data.load import DataSettings, load_dataset
from plaudit.data.splits import prepare
from plaudit.evaluate.machine import code_version, cpu_name
from plaudit.explain.explanation import MAX_PIECES, Explanation, explain, methods_of, model_of
from plaudit.explain.gradients import integrated_gradients, trainable
from plaudit.explain.spans import words_of
from plaudit.predictor import Predictor
from plaudit.text.cleaning import CleaningSettings

OUT = Path(__file__).parent.parent / "docs" / "results" / "bench_explain.json"
NUM_REVIEWS = 50
LEFT_OUT = 5
STEPS = (16, 32, 64, 128)


def main() -> None:
    settings = DataSettings(name="imdb")
    table = prepare(load_dataset(settings, console=Console(stderr=True)), settings).validation
    keep_all = CleaningSettings(punctuation="keep")
    short = [text for text in table["text"].to_pylist() if len(words_of(text, keep_all)) <= MAX_PIECES]
    draw = np.random.default_rng(0)
    texts = [short[i] for i in draw.choice(len(short), NUM_REVIEWS, replace=False)]
    models = [measured(name, texts) for name in ("bow", "lstm")]
    content = {"commit": code_version(), "cpu": cpu_name(), "split": "validation", "reviews": NUM_REVIEWS}
    OUT.write_text(json.dumps({**content, "models": models, "integral": integral("lstm", texts)}, indent=1) + "\n")
    print(OUT.read_text())


def measured(name: str, texts: list[str]) -> dict[str, object]:
    predictor = plaudit.load(name)
    predictor.predict_proba(texts * 5)  # warm up
    found, rows = {}, []
    for method in methods_of(model_of(predictor)):
        explain(predictor, texts[:2], method=method)
        start = perf_counter()
        found[method] = explain(predictor, texts, method=method)
        seconds = perf_counter() - start
        gaps = np.abs([explanation.gap for explanation in found[method]])
        strongest = [without(e, np.argsort([-t.contribution for t in e.tokens])[:LEFT_OUT]) for e in found[method]]
        rows.append(
            {
                "method": method,
                "ms_a_review": round(1e3 * seconds / len(texts), 1),
                "gap_median": float(np.median(gaps)),
                "gap_max": float(gaps.max()),
                **fall(predictor, found[method], strongest),
            }
        )
    draw = np.random.default_rng(1)
    some = next(iter(found.values()))
    at_random = [without(e, draw.choice(len(e.tokens), LEFT_OUT, replace=False)) for e in some]
    rows.append({"method": "words at random", **fall(predictor, some, at_random)})
    pairs = [{"methods": pair, **agreement(*(found[method] for method in pair))} for pair in combinations(found, 2)]
    return {"model": name, "methods": rows, "agreement": pairs}


def without(explanation: Explanation, places: np.ndarray) -> str:
    text = explanation.text
    for token in sorted((explanation.tokens[i] for i in places), key=lambda token: -token.start):
        text = f"{text[: token.start]} {text[token.end :]}"
    return text


def fall(predictor: Predictor, explanations: list[Explanation], texts: list[str]) -> dict[str, float]:
    after = explain(predictor, texts, method="occlusion", label=predictor.labels[1])
    signs = [1 if e.label == predictor.labels[1] else -1 for e in explanations]
    log_odds = [sign * e.log_odds for sign, e in zip(signs, after, strict=True)]
    falls = [before.log_odds - now for before, now in zip(explanations, log_odds, strict=True)]
    return {"fall_mean": round(float(np.mean(falls)), 3), "overturned": round(float(np.mean(np.less(log_odds, 0))), 3)}


def agreement(first: list[Explanation], second: list[Explanation]) -> dict[str, float]:
    ranks, shared = [], []
    for pair in zip(first, second, strict=True):
        one, other = ([token.contribution for token in explanation.tokens] for explanation in pair)
        ranks.append(spearmanr(one, other).statistic)
        shared.append(len(set(np.argsort(one)[-LEFT_OUT:]) & set(np.argsort(other)[-LEFT_OUT:])))
    return {
        "spearman_mean": round(float(np.mean(ranks)), 3),
        "spearman_min": round(float(np.min(ranks)), 3),
        "top_shared_mean": round(float(np.mean(shared)), 2),
    }


def integral(name: str, texts: list[str]) -> list[dict[str, float]]:
    predictor = plaudit.load(name)
    model = trainable(model_of(predictor))
    rows = []
    for steps in STEPS:
        gaps, start = [], perf_counter()
        for text in texts:
            logits = model.logits([text])[0].astype(float)
            words = len(words_of(text, model.settings.cleaning))
            contributions, rest = integrated_gradients(model, text, 1, words, steps=steps)
            gaps.append(abs(logits[1] - logits[0] - rest - contributions.sum()))
        seconds = (perf_counter() - start) / len(texts)
        rows.append(
            {"steps": steps, "ms": round(1e3 * seconds, 1), "median": float(np.median(gaps)), "max": float(max(gaps))}
        )
    return rows


if __name__ == "__main__":
    main()
