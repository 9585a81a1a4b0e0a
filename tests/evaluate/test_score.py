import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from plaudit.bundle.trained import Provenance, RecipeExcerpt
from plaudit.data.table import SCHEMA
from plaudit.errors import BundleError, DataError, OutputError
from plaudit.evaluate.predictions import write_predictions
from plaudit.evaluate.score import evaluate
from plaudit.evaluate.view import print_results

LABELS = ("neg", "pos")


class CountsWords:
    """A tiny real predictor: the more "good" over "bad", the more positive."""

    labels = LABELS
    kind = "toy"
    trained_on = None
    size_bytes = 12
    num_parameters = 2
    calibration = None
    digest = "t" * 64
    provenance = Provenance(train_seconds=0.5, recipe=RecipeExcerpt(name="toy", seed=3, data={}, models={}))

    def predict_proba(self, texts):
        score = np.array([text.count("good") - text.count("bad") for text in texts], dtype=np.float32)
        positive = 1 / (1 + np.exp(-score))
        return np.stack([1 - positive, positive], axis=1).astype(np.float32)


def make_table(texts, labels):
    rows = [
        {"id": str(number), "text": text, "label": label, "split": "test", "group": None, "rating": None}
        for number, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def run(table, *, predictor=None, label_names=LABELS, console=None):
    return evaluate(
        predictor or CountsWords(),
        table,
        label_names=label_names,
        model_name="toy",
        data_name="tiny",
        split="test",
        console=console or Console(file=io.StringIO()),
        speed_seconds=0.01,
    )


TABLE = make_table(["good good", "bad", "bad good good", "bad bad"], [1, 0, 0, 0])


def test_result_holds_what_was_measured_and_how_the_model_was_made():
    result = run(TABLE).result
    assert (result.model, result.kind, result.data, result.split, result.n) == (
        "toy",
        "toy",
        "tiny",
        "test",
        4,
    )
    assert result.accuracy == 0.75
    assert result.accuracy_ci95[0] < 0.75 < result.accuracy_ci95[1]
    assert result.confusion == ((2, 1), (0, 1))
    assert result.auc == 1.0
    assert (result.seed, result.train_seconds, result.recipe) == (3, 0.5, CountsWords.provenance.recipe.model_dump())
    assert (result.size_bytes, result.parameters) == (12, 2)
    assert result.reviews_per_second > 0
    assert result.commit and result.hardware.cpu


def test_reviews_are_scored_once_each_and_in_order_across_chunks():
    count = 2_500
    table = make_table([f"{'good ' * (number % 7)}bad" for number in range(count)], [1] * count)
    expected = CountsWords().predict_proba(table["text"].to_pylist())
    assert np.array_equal(run(table).probabilities, expected)


def test_label_order_of_the_data_does_not_matter():
    swapped = make_table(TABLE["text"].to_pylist(), [0, 1, 1, 1])
    evaluation = run(swapped, label_names=("pos", "neg"))
    assert evaluation.result.accuracy == 0.75
    assert evaluation.labels.tolist() == [1, 0, 0, 0]


def test_data_of_one_class_has_no_auc():
    assert run(make_table(["good", "bad"], [1, 1])).result.auc is None


def test_labels_the_model_does_not_know_are_refused_naming_both():
    with pytest.raises(DataError, match=r"one, two, but toy knows neg, pos"):
        run(TABLE, label_names=("one", "two"))


def test_unlabelled_reviews_are_refused():
    with pytest.raises(DataError, match="1 of 2 reviews have no label"):
        run(make_table(["good", "bad"], [1, None]))


def test_no_reviews_are_refused():
    with pytest.raises(DataError, match="no reviews"):
        run(TABLE.slice(0, 0))


def test_a_diverged_model_is_refused():
    class Diverged(CountsWords):
        def predict_proba(self, texts):
            return np.full((len(texts), 2), np.nan, dtype=np.float32)

    with pytest.raises(BundleError, match="not finite"):
        run(TABLE, predictor=Diverged())


def test_nothing_is_drawn_where_nobody_watches():
    output = io.StringIO()
    run(TABLE, console=Console(file=output))
    assert output.getvalue().strip() == ""


def test_predictions_survive_the_file(tmp_path):
    evaluation = run(TABLE)
    path = tmp_path / "predictions" / "toy.parquet"
    write_predictions(path, TABLE, evaluation)
    predictions = pq.read_table(path)
    assert predictions.column_names == ["id", "text", "label", "probabilities", "split"]
    assert predictions["text"].equals(TABLE["text"])
    assert predictions["label"].to_pylist() == [1, 0, 0, 0]
    assert predictions.schema.field("probabilities").type == pa.list_(pa.float32())
    assert np.array_equal(np.array(predictions["probabilities"].to_pylist(), np.float32), evaluation.probabilities)


def test_predictions_in_an_unwritable_place_are_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_predictions(tmp_path / "file" / "toy.parquet", TABLE, run(TABLE))


def test_terminal_table_shows_accuracy_with_its_interval_and_speed():
    output = io.StringIO()
    result = run(TABLE).result
    print_results([result], Console(file=output, width=140))
    text = output.getvalue()
    assert "tiny, test: 4 reviews" in text
    assert "75.00 (" in text
    assert f"{result.reviews_per_second:,.0f}" in text
