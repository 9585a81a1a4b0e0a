"""Run folders as small as a report can be made from."""

import json

import numpy as np
import pyarrow as pa
import pytest

from plaudit.data.quality.report import inspect
from plaudit.data.table import SCHEMA, Dataset
from plaudit.evaluate.analysis import analyze, write_analysis
from plaudit.evaluate.predictions import read_predictions, write_predictions
from plaudit.evaluate.results import add_results
from plaudit.evaluate.robustness.results import (
    Behaviour,
    Capability,
    EditedPairs,
    Example,
    Foreign,
    Level,
    ModelRobustness,
    Perturbed,
    Proportion,
    Robustness,
    add_robustness,
)
from plaudit.evaluate.score import Evaluation
from plaudit.evaluate.words import DecidingWord, Words, write_words

HOSTILE = '<script>alert("x")</script><br /><br />It is "fine" & **`<img src=x onerror=alert(1)>`**'


def make_table():
    texts = [f"review {n}" for n in range(8)] + [HOSTILE, "mild mistake"]
    rows = [
        {"id": f"r/{n}", "text": text, "label": n // 5, "split": "test", "group": f"movie {n // 2}", "rating": n + 1}
        for n, text in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def robustness_of(model, *, sources_left_out):
    pairs = EditedPairs(
        data="edits",
        data_digest="d",
        paired_by="rows",
        unflipped=0,
        original=Proportion.of(9, 10),
        edited=Proportion.of(7, 10),
        both=Proportion.of(6, 10),
    )
    failure = Example(texts=("It is not <b>bad</b>.",), positive=(0.125,), expected="positive")
    negation = Capability(
        name="blame negated", kind="minimum functionality", failed=Proportion.of(3, 4), examples=(failure,)
    )
    return ModelRobustness(
        model=model,
        kind="bow",
        model_digest="m",
        calibration=None,
        sources_left_out=sources_left_out,
        commit="abc",
        pairs=(pairs,),
        foreign=(Foreign(data="toasters", data_digest="f", accuracy=Proportion.of(11, 20)),),
        behaviour=Behaviour(data_digest="b", capabilities=(negation,)),
        perturbed=Perturbed(
            data="tiny",
            data_digest="p",
            seed=0,
            levels=(
                Level(change="as they are", accuracy=Proportion.of(18, 20)),
                Level(change="typos in 5 % of words", accuracy=Proportion.of(13, 20)),
            ),
        ),
    )


@pytest.fixture
def run_dir(tmp_path, make_result):
    """A whole run folder: one model with a log, two with predictions, and what was found out about them."""
    folder = tmp_path / "tiny-run"
    table = make_table()
    labels = table["label"].to_numpy()
    sure_mistake = np.array([[0.9, 0.1]] * 5 + [[0.2, 0.8]] * 3 + [[0.99, 0.01], [0.6, 0.4]], dtype=np.float32)
    mild_mistake = np.array([[0.8, 0.2]] * 5 + [[0.3, 0.7]] * 4 + [[0.7, 0.3]], dtype=np.float32)
    lstm = make_result(
        model="lstm",
        kind="lstm",
        accuracy=0.8,
        accuracy_ci95=(0.49, 0.94),
        confusion=((5, 0), (2, 3)),
        reviews_per_second=1e3,
    )
    bow = make_result()
    add_results(folder / "results.json", [lstm, bow])
    for result, probabilities in ((lstm, mild_mistake), (bow, sure_mistake)):
        path = folder / "predictions" / f"{result.model}.parquet"
        write_predictions(path, table, Evaluation(result, labels, probabilities))
    predictions = [read_predictions(path) for path in sorted((folder / "predictions").iterdir())]
    write_analysis(folder / "analysis.json", analyze(predictions, table, data="imdb", split="test"))
    tested = (robustness_of("bow", sources_left_out=True), robustness_of("lstm", sources_left_out=False))
    add_robustness(folder / "robustness.json", Robustness(models=tested))
    log = folder / "training" / "lstm" / "metrics.jsonl"
    log.parent.mkdir(parents=True)
    events = [
        {"event": "step", "step": 1, "epoch": 0, "train_loss": 0.7, "train_accuracy": 0.5},
        {
            "event": "epoch",
            "step": 1,
            "epoch": 1,
            "validation_loss": 0.6,
            "validation_accuracy": 0.7,
            "tokens_per_second": 1234.0,
            "seconds": 61.0,
        },
    ]
    log.write_text("".join(json.dumps(event) + "\n" for event in events))
    dataset = Dataset("tiny", ("neg", "pos"), table, "0123456789abcdef", {"empty text": 3})
    (folder / "data.json").write_text(inspect(dataset).to_json())
    words = (
        DecidingWord(word="<b>dull</b>", label="neg", count=4, mean_contribution=1.5),
        DecidingWord(word="superb", label="pos", count=3, mean_contribution=1.25),
    )
    write_words(folder / "words.json", Words(model="bow", data="tiny", n=8, words=words))
    candidate = {"candidate": "pairs of words", "chosen": True, "accuracy": 0.9, "log_loss": 0.3, "seconds": 1.5}
    choice = {"num_texts": 8, "num_folds": 2, "stopped_by_budget": False, "candidates": [candidate]}
    (folder / "choice.json").write_text(json.dumps(choice))
    (folder / "recipe.json").write_text('{"data": {"name": "tiny"}, "seed": 7}')
    return folder
