import copy
import pickle
import subprocess
import sys
import unicodedata

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data
from typer.testing import CliRunner

import plaudit
from plaudit import Classifier
from plaudit.bundle.folder import read_trained_on
from plaudit.bundle.locate import model_folder
from plaudit.bundle.trained import TrainedModel
from plaudit.cli.main import app
from plaudit.data.containers import as_texts
from plaudit.data.splits import text_digests
from plaudit.errors import BundleError, DataError, OutputError, SettingsError
from plaudit.publishing import copy_bundle
from tests.conftest import toy_reviews

TEXTS, LABELS = map(list, zip(*toy_reviews(60), strict=True))
NUMBERS = [int(label == "positive") for label in LABELS]
SMALL = {"min_count": 2, "slot_bits": 16}
SMALL_LSTM = {
    "embedding_size": 8,
    "hidden_size": 8,
    "min_count": 1,
    "train": {"epochs": 2, "max_learning_rate": 0.03, "batch_tokens": 200, "precision": "fp32"},
}

CONTAINERS = {
    "a list": list,
    "a tuple": tuple,
    "an array": np.array,
    "an array of objects": lambda texts: np.array(texts, object),
    "an array of one column": lambda texts: np.array(texts)[:, None],
    "a pandas series": pd.Series,
    "a pandas frame": lambda texts: pd.DataFrame({"text": texts}, index=range(7, 7 + len(texts))),
    "a pandas category": lambda texts: pd.Series(texts, dtype="category"),
    "a polars series": pl.Series,
    "a polars frame": lambda texts: pl.DataFrame({"text": texts}),
    "an Arrow array": pa.array,
    "a chunked Arrow array": lambda texts: pa.chunked_array([texts[:1], texts[1:]]),
    "an Arrow dictionary": lambda texts: pa.array(texts).dictionary_encode(),
    "an Arrow table": lambda texts: pa.table({"text": texts}),
    "a column of datasets": lambda texts: datasets.Dataset.from_dict({"text": texts, "n": [0] * len(texts)})["text"],
    "a dataset of one column": lambda texts: datasets.Dataset.from_dict({"text": texts}),
}


class OnNumbers(Classifier):
    """Reads a row of numbers as words, so that scikit-learn's checks, which give numbers, can be run."""

    def fit(self, X, y):  # noqa: N803
        return super().fit(as_words(validate_data(self, X)), y)

    def predict_proba(self, X):  # noqa: N803
        check_is_fitted(self)
        return super().predict_proba(as_words(validate_data(self, X, reset=False)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string, tags.input_tags.one_d_array = True, False, False
        return tags


def as_words(rows):
    return [" ".join(f"column{j}is{round(value)}".replace("-", "minus") for j, value in enumerate(row)) for row in rows]


@pytest.fixture(scope="module")
def fitted():
    return Classifier(**SMALL).fit(TEXTS, LABELS)


@pytest.fixture(scope="module")
def fitted_lstm():
    return Classifier("lstm", **SMALL_LSTM).fit(TEXTS, NUMBERS)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@parametrize_with_checks([OnNumbers(min_count=1, slot_bits=16)])
def test_scikit_learns_own_checks_hold(estimator, check):
    check(estimator)


def test_it_learns_what_it_is_shown(fitted):
    assert fitted.classes_.tolist() == ["negative", "positive"]
    assert fitted.score(TEXTS, LABELS) == 1
    probabilities = fitted.predict_proba(TEXTS)
    assert probabilities.dtype == np.float32
    assert (probabilities.argmax(axis=1) == NUMBERS).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")  # labels as a column
@pytest.mark.parametrize("container", CONTAINERS)
def test_texts_and_labels_come_in_any_container(fitted, container):
    made = Classifier(**SMALL).fit(CONTAINERS[container](TEXTS), CONTAINERS[container](LABELS))
    texts = CONTAINERS[container](TEXTS[:5])
    assert (made.predict_proba(texts) == fitted.predict_proba(TEXTS[:5])).all()
    assert fitted.predictor_.predict(texts) == LABELS[:5]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a film", "X is a single str"),
        (b"a film", "X is bytes; give a list, an array, a series or one column"),
        (None, "X is NoneType; give a list"),
        ({"text": ["a"]}, "X is dict; give one of its values: 'text'"),
        (["a", None], r"X\[1\] is NoneType, not str: a missing value; drop it or convert it"),
        (["a", 3], r"X\[1\] is int, not str; drop it or convert it"),
        (pd.Series(["a", "b", None], index=[5, 6, 7]), r"X\[2\] is float, not str: a missing value"),
        (pd.Series(["a", pd.NA], dtype="string"), r"X\[1\] is NAType, not str: a missing value"),
        (pl.Series(["a", None]), r"X\[1\] is NoneType, not str"),
        (pa.array([None, "a"]), r"X\[0\] is NoneType, not str"),
        (pd.DataFrame({"text": ["a"], "stars": [1]}), "X has 2 columns; give one of them: 'text', 'stars'"),
        (pl.DataFrame({"text": ["a"]}).lazy(), r"X is a LazyFrame, which holds no values yet; collect\(\) it first"),
        (np.array([["a", "b"]]), r"X has shape \(1, 2\); give a list"),
        (np.array("a"), "X is a single value; give a list"),
    ],
    ids=str,
)
def test_what_holds_no_texts_is_refused(fitted, given, message):
    with pytest.raises(DataError, match=message):
        fitted.predict(given)


def test_half_a_surrogate_pair_is_no_text_to_train_on():
    with pytest.raises(DataError, match=r"X\[1\] contains half a surrogate pair; write both halves"):
        Classifier(**SMALL).fit(["fine", "bad \ud800", *TEXTS[2:]], LABELS)


def test_a_list_is_passed_on_as_it_is():
    assert as_texts(TEXTS) is TEXTS


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (NUMBERS, np.array([0, 1])),
        (np.array(NUMBERS, np.int8), np.array([0, 1], np.int8)),
        ([bool(number) for number in NUMBERS], np.array([False, True])),
        ([float(number) for number in NUMBERS], np.array([0.0, 1.0])),
        (np.array(LABELS, object), np.array(["negative", "positive"], object)),
        ([10 * number + 2 for number in NUMBERS], np.array([2, 12])),
        ([i % 3 - 1 for i in range(60)], np.array([-1, 0, 1])),
    ],
    ids=["int", "int8", "bool", "float", "object", "numbers of two digits", "three"],
)
def test_labels_come_back_as_they_were_given(labels, expected, tmp_path):
    made = Classifier(**SMALL).fit(TEXTS, labels)
    loaded = Classifier.load(made.save(tmp_path / "model"))
    for classifier in (made, loaded):
        assert classifier.classes_.dtype == expected.dtype
        assert classifier.classes_.tolist() == expected.tolist()
        assert classifier.predict(TEXTS[:4]).dtype == expected.dtype


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:-1], "X has 60 texts, but y has 59 labels; give one for each text"),
        ([*LABELS[:-1], None], r"y\[59\] is None, which is not a label"),
        (pd.Series([*NUMBERS[:-1], None]), r"y\[59\] is nan, which is not a label"),
        ([*LABELS[:-1], 1], "y mixes str with other types"),
        (["good"] * 60, r"y has one class only, good; a classifier takes 2 … 127"),
        (None, "requires y to be passed"),
        ([*[0.5] * 30, *[float("inf")] * 30], r"y\[30\] is inf, which is not a label"),
    ],
    ids=["too few", "none", "nan", "mixed", "one class", "no labels", "infinite"],
)
def test_labels_that_cannot_be_learned_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        Classifier(**SMALL).fit(TEXTS, labels)


def test_parameters_are_arguments_and_given_settings():
    classifier = Classifier("lstm", hidden_size=8, train__epochs=2, seed=3)
    defaults = {"start": "auto", "budget_seconds": 40.0, "validation_fraction": 0.1, "verbose": False}
    expected = {**defaults, "kind": "lstm", "seed": 3}
    assert classifier.get_params() == {**expected, "hidden_size": 8, "train__epochs": 2}
    copied = clone(classifier).set_params(hidden_size=16, kind="bow")
    assert (copied.get_params()["hidden_size"], copied.kind) == (16, "bow")
    assert classifier.get_params()["hidden_size"] == 8


@pytest.mark.parametrize(
    ("classifier", "message"),
    [
        (Classifier(max_oder=2), r"models\.bow\.max_oder is unknown; did you mean max_order\?"),
        (Classifier(max_order=0), r"models\.bow\.max_order = 0: input should be greater than or equal to 1"),
        (Classifier("bwo"), "model kind bwo is unknown; did you mean bow"),
        (Classifier("lstm", train__epoch=2), r"models\.lstm\.train\.epoch is unknown; did you mean epochs\?"),
        (Classifier("lstm", train=3), "train = 3: this is the name of a table of settings, not a value"),
        (Classifier(max_order__x=3, max_order=2), "max_order__x = 2: this is the name of a table"),
        (Classifier(train={"epochs": 1, "max_learning_rate": 1}), 'kind = "bow" has no use for a train table'),
        (Classifier("lstm", validation_fraction=0), r"validation_fraction = 0: input should be greater than 0"),
        (Classifier("ensemble", members=["bow", "lstm"]), "cannot be trained on labels alone"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value.get_params()),
)
def test_settings_that_are_wrong_are_refused_when_it_is_fitted(classifier, message):
    with pytest.raises(SettingsError, match=message):
        classifier.fit(TEXTS, LABELS)


def test_a_failed_fit_leaves_the_model_of_the_one_before():
    classifier = Classifier(**SMALL).fit(TEXTS, LABELS)
    with pytest.raises(SettingsError):
        classifier.set_params(max_order=0).fit(TEXTS, NUMBERS)
    assert classifier.predict(TEXTS[:2]).tolist() == LABELS[:2]


def test_grid_search_tunes_settings_and_tables_of_settings():
    grid = {"max_order": [1, 2], "cleaning__punctuation": ["keep", "drop"]}
    search = GridSearchCV(Classifier(**SMALL), grid, cv=2, error_score="raise").fit(TEXTS, LABELS)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_score_ > 0.9
    assert set(search.best_params_) == {"max_order", "cleaning__punctuation"}
    manifest = search.best_estimator_.bundle_.manifest
    assert manifest.settings["max_order"] == search.best_params_["max_order"]
    assert manifest.settings["cleaning"]["punctuation"] == search.best_params_["cleaning__punctuation"]


@pytest.mark.slow
def test_cross_validation_in_two_processes_scores_as_in_one():
    texts = pd.Series(TEXTS)
    one, two = (
        cross_val_score(Classifier(**SMALL), texts, LABELS, cv=3, n_jobs=n, error_score="raise") for n in (1, 2)
    )
    assert one.tolist() == two.tolist()


@pytest.mark.parametrize(
    "container", ["an array", "a pandas series", "a pandas frame", "a polars frame", "a column of datasets"]
)
def test_cross_validation_takes_rows_of_containers(container):
    texts = CONTAINERS[container](TEXTS)
    scores = cross_val_score(Classifier(**SMALL), texts, LABELS, cv=2, scoring="roc_auc", error_score="raise")
    assert scores.min() > 0.9


def test_it_ends_a_pipeline_and_stands_beside_scikit_learns_features():
    shout = FunctionTransformer(lambda texts: [text.upper() for text in texts])
    pipeline = make_pipeline(shout, Classifier(**SMALL))
    pipeline.set_params(classifier__max_order=1).fit(TEXTS, LABELS)
    assert pipeline.score(TEXTS, LABELS) == 1
    assert pipeline[-1].bundle_.manifest.settings["max_order"] == 1
    peer = make_pipeline(FeatureUnion([("words", TfidfVectorizer())]), LogisticRegression())
    for estimator in (pipeline, peer):
        assert (cross_val_predict(estimator, TEXTS, LABELS, cv=2) == LABELS).mean() > 0.9


def test_a_network_is_validated_on_reviews_held_out(fitted_lstm):
    assert [event["epoch"] for event in fitted_lstm.history_] == [1, 2]
    assert fitted_lstm.validation_accuracy_ == max(event["validation_accuracy"] for event in fitted_lstm.history_)
    assert fitted_lstm.predict(TEXTS).dtype == np.array(NUMBERS).dtype


def test_a_fitted_classifier_shows_what_it_is(fitted_lstm):
    new = clone(fitted_lstm)
    assert repr(new).startswith("Classifier(")
    assert repr(fitted_lstm) == f"<{new!r}: {fitted_lstm.predictor_.summary}>"
    assert f"; {100 * fitted_lstm.validation_accuracy_:.2f} % accuracy on validation; " in repr(fitted_lstm)


def test_its_bundle_knows_its_texts_again_but_a_copy_to_publish_does_not(fitted, fitted_lstm, tmp_path):
    digests = np.unique(text_digests(pa.chunked_array([TEXTS])))
    fitted.save(tmp_path / "saved")
    assert np.array_equal(read_trained_on(tmp_path / "saved"), digests)
    learned = fitted_lstm.bundle_.trained_on
    assert len(learned) < len(digests) and np.isin(learned, digests).all()
    for name, model in (("of classifier", fitted), ("of folder", tmp_path / "saved")):
        copy_bundle(model, tmp_path / name)
        assert read_trained_on(tmp_path / name) is None


def test_the_same_seed_gives_the_same_network_and_another_one_another(fitted_lstm):
    again = clone(fitted_lstm).fit(TEXTS, NUMBERS)
    other = clone(fitted_lstm).set_params(seed=1).fit(TEXTS, NUMBERS)
    assert (again.predict_proba(TEXTS) == fitted_lstm.predict_proba(TEXTS)).all()
    assert (other.predict_proba(TEXTS) != fitted_lstm.predict_proba(TEXTS)).any()


def test_a_bag_of_ngrams_that_is_not_refitted_is_judged_on_validation(fitted):
    judged = Classifier(refit=False, validation_fraction=0.2, **SMALL).fit(TEXTS, LABELS)
    assert judged.validation_accuracy_ > 0.7
    assert fitted.validation_accuracy_ is None


def test_groups_are_not_split_apart():
    by_two = [f"film {number // 2}" for number in range(60)]
    assert Classifier(refit=False, **SMALL).fit(TEXTS, LABELS, groups=by_two).validation_accuracy_ > 0.7
    with pytest.raises(DataError, match="60 rows in 1 groups are too few to hold out"):
        Classifier(refit=False, **SMALL).fit(TEXTS, LABELS, groups=["one film"] * 60)
    with pytest.raises(DataError, match="X has 60 texts, but groups has 2 values"):
        Classifier(refit=False, **SMALL).fit(TEXTS, LABELS, groups=["a", "b"])


def test_probabilities_are_calibrated_on_what_is_held_out(fitted):
    made = Classifier(refit=False, calibrate="temperature", validation_fraction=0.3, **SMALL).fit(TEXTS, LABELS)
    assert made.predictor_.calibration == "temperature"


def test_a_student_learns_from_a_teacher(tmp_path):
    teacher = str(Classifier(refit=False, **SMALL).fit(TEXTS, LABELS).save(tmp_path / "teacher"))
    distill = {"teachers": [teacher], "transfer": {"sources": ["train"]}}
    student = Classifier(max_order=1, distill=distill, **SMALL).fit(TEXTS, LABELS)
    assert student.score(TEXTS, LABELS) > 0.9
    assert student.bundle_.provenance.compression[0].method == "distill"


def test_a_student_reads_texts_without_labels(tmp_path):
    teacher = str(Classifier(refit=False, **SMALL).fit(TEXTS, LABELS).save(tmp_path / "teacher"))
    student = Classifier(distill={"teachers": [teacher]}, **SMALL)
    student.fit(TEXTS, LABELS, unlabelled=pd.Series(TEXTS[:20]))
    validated = 6
    assert student.bundle_.provenance.compression[0].figures["num_transfer_texts"] == 60 - validated + 20


@pytest.mark.parametrize("classifier", [Classifier(**SMALL), Classifier("lstm", **SMALL_LSTM)], ids=["bow", "lstm"])
def test_texts_without_labels_that_nothing_reads_are_refused(classifier):
    with pytest.raises(SettingsError, match="reviews in unlabelled are of no use to these settings"):
        classifier.fit(TEXTS, LABELS, unlabelled=TEXTS)


@pytest.mark.parametrize("name", ["fitted", "fitted_lstm"])
def test_copies_predict_the_same(name, request):
    classifier = request.getfixturevalue(name)
    for copied in (pickle.loads(pickle.dumps(classifier)), copy.deepcopy(classifier)):
        assert (copied.predict_proba(TEXTS) == classifier.predict_proba(TEXTS)).all()
    with pytest.raises(Exception, match="not fitted yet"):
        clone(classifier).predict(TEXTS)


def test_a_saved_classifier_is_a_bundle_for_all_that_takes_one(fitted, tmp_path):
    folder = fitted.save(tmp_path / "model")
    assert plaudit.load(folder).digest == fitted.predictor_.digest
    done = CliRunner().invoke(app, ["predict", "--model", str(folder), TEXTS[0]])
    assert done.exit_code == 0
    assert LABELS[0] in done.stdout
    with pytest.raises(OutputError, match="name a new folder"):
        fitted.save(folder)


def test_a_loaded_classifier_predicts_and_trains_as_the_one_that_was_saved(fitted_lstm, tmp_path):
    loaded = Classifier.load(fitted_lstm.save(tmp_path / "model"))
    assert (loaded.predict_proba(TEXTS) == fitted_lstm.predict_proba(TEXTS)).all()
    again = clone(loaded).fit(TEXTS, NUMBERS)
    assert (again.predict_proba(TEXTS) == fitted_lstm.predict_proba(TEXTS)).all()


@pytest.mark.parametrize("name", plaudit.bundle.locate.shipped_models())
def test_a_shipped_model_loads_and_saves_as_it_is(name, tmp_path):
    loaded = Classifier.load(name)
    assert loaded.predict(["Dull, dull, dull."]).tolist() == ["negative"]
    # Settings that came after the model shipped are spelt out once it is saved again; all else is the same.
    saved = loaded.save(tmp_path / "model")
    assert (saved / "weights.safetensors").read_bytes() == (model_folder(name) / "weights.safetensors").read_bytes()
    again = Classifier.load(saved).save(tmp_path / "again")
    assert plaudit.load(again).digest == plaudit.load(saved).digest


def test_labels_in_another_order_than_sorted_keep_their_columns(toy_bow, tmp_path):
    from plaudit.bundle.folder import save_bundle
    from plaudit.models.bow.model import BowModel

    other = BowModel(
        toy_bow.settings, ("worse", "better"), keys=toy_bow.keys, weights=toy_bow.weights, bias=toy_bow.bias
    )
    save_bundle(TrainedModel(model=other), tmp_path / "model")
    loaded = Classifier.load(tmp_path / "model")
    assert loaded.classes_.tolist() == ["better", "worse"]
    assert loaded.predict(TEXTS[:2]).tolist() == ["worse", "better"]
    assert loaded.score(TEXTS, ["worse", "better"] * 30) == 1


def test_an_unknown_model_is_refused():
    with pytest.raises(BundleError, match="or give a model folder"):
        Classifier.load("bwo")


def test_loading_a_model_imports_neither_scikit_learn_nor_torch():
    program = (
        "import sys, plaudit\n"
        "plaudit.load('bow').predict(['fine'])\n"
        "print([name for name in ('sklearn', 'torch', 'pandas', 'mlflow', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_bag_of_ngrams_is_fitted_without_torch():
    program = "import sys, plaudit\nplaudit.Classifier(min_count=1).fit(['good'] * 2 + ['bad'] * 2, [1, 1, 0, 0])\n"
    done = subprocess.run(
        [sys.executable, "-c", program + "print('torch' in sys.modules)"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_folds_by_group_and_groups_for_validation_go_together():
    groups = np.repeat(np.arange(10), 6)
    folds = StratifiedGroupKFold(n_splits=3)
    scores = cross_val_score(Classifier(**SMALL), TEXTS, LABELS, groups=groups, cv=folds, error_score="raise")
    assert scores.min() > 0.9


def test_accents_are_the_same_however_they_are_written():
    words = {"positif": ["génial", "réussi"], "négatif": ["raté", "ennuyé"]}
    labels = [list(words)[i % 2] for i in range(80)]
    texts = [f"un film {words[label][i % 4 // 2]} {i}" for i, label in enumerate(labels)]
    decomposed = [[unicodedata.normalize("NFD", each) for each in column] for column in (texts, labels)]
    mixed = [label if i % 3 else unicodedata.normalize("NFD", label) for i, label in enumerate(labels)]
    model = Classifier("bow", min_count=1).fit(texts, mixed)
    assert model.classes_.tolist() == ["négatif", "positif"]
    assert model.predict_proba(decomposed[0]).tolist() == model.predict_proba(texts).tolist()
    assert model.score(*decomposed) == model.score(texts, labels) == 1
    consistent = Classifier("bow", min_count=1).fit(*decomposed)
    assert consistent.classes_.tolist() == sorted(set(decomposed[1]))
    assert consistent.score(texts, labels) == 1
