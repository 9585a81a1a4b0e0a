import shutil

import numpy as np
import pandas as pd
import pytest

import plaudit
from plaudit import Classifier
from plaudit.errors import BundleError
from tests.conftest import toy_reviews

pytest.importorskip("mlflow")
# MLflow's own: importing mlflow.pyfunc warns, and so does its database.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType"),
    pytest.mark.filterwarnings("ignore:.*noload"),
]

TEXTS, LABELS = map(list, zip(*toy_reviews(60), strict=True))
SMALL = {"min_count": 2, "slot_bits": 16}
SMALL_LSTM = {"embedding_size": 8, "hidden_size": 8, "min_count": 1, "train__epochs": 2, "train__batch_tokens": 200}


@pytest.fixture(scope="module")
def fitted():
    return Classifier(**SMALL).fit(TEXTS, LABELS)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A database without runs; MLflow takes seconds to make one."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    mlflow.set_tracking_uri(f"sqlite:///{path}")
    mlflow.search_experiments()
    return path


@pytest.fixture
def mlflow(empty_store, tmp_path, monkeypatch):
    """MLflow with an empty store of its own."""
    import mlflow

    monkeypatch.chdir(tmp_path)
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("reviews", (tmp_path / "artifacts").as_uri()))
    yield mlflow
    mlflow.set_tracking_uri(None)


@pytest.fixture
def autologged(mlflow):
    import plaudit.mlflow

    plaudit.mlflow.autolog(silent=True)
    yield mlflow
    plaudit.mlflow.autolog(disable=True)


@pytest.fixture
def flavor(mlflow):
    import plaudit.mlflow

    return plaudit.mlflow


def runs(mlflow):
    return mlflow.search_runs(output_format="list", order_by=["attributes.start_time"])


def test_a_saved_model_is_a_bundle_and_no_pickle(flavor, fitted, tmp_path):
    flavor.save_model(fitted, tmp_path / "saved")
    names = {
        path.relative_to(tmp_path / "saved").as_posix() for path in (tmp_path / "saved").rglob("*") if path.is_file()
    }
    bundle = {"bundle/bundle.json", "bundle/weights.safetensors"}
    assert names == {"MLmodel", "python_env.yaml", "requirements.txt"} | bundle
    assert plaudit.load(tmp_path / "saved" / "bundle").digest == fitted.predictor_.digest


@pytest.mark.parametrize("container", [list, pd.Series, lambda texts: pd.DataFrame({"text": texts})])
def test_the_generic_interface_takes_lists_and_pandas(flavor, mlflow, fitted, tmp_path, container):
    flavor.save_model(fitted, tmp_path / "saved")
    loaded = mlflow.pyfunc.load_model(tmp_path / "saved")
    assert loaded.predict(container(TEXTS[:4])) == LABELS[:4]


def test_the_generic_interface_gives_probabilities(flavor, mlflow, fitted, tmp_path):
    flavor.save_model(fitted, tmp_path / "saved")
    probabilities = mlflow.pyfunc.load_model(tmp_path / "saved").predict(TEXTS, params={"probabilities": True})
    assert list(probabilities.columns) == ["negative", "positive"]
    assert np.array_equal(probabilities.to_numpy(), fitted.predict_proba(TEXTS))


def test_a_logged_model_loads_as_the_classifier_it_was(flavor, mlflow, fitted):
    with mlflow.start_run():
        info = flavor.log_model(fitted, "reviews", metadata={"team": "ours"})
    loaded = flavor.load_model(info.model_uri)
    assert np.array_equal(loaded.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert info.metadata == {"team": "ours"}
    assert set(info.flavors) == {"plaudit", "python_function"}


def test_a_shipped_model_can_be_logged_and_an_unknown_one_cannot(flavor, mlflow):
    with mlflow.start_run():
        info = flavor.log_model("bow")
    assert mlflow.pyfunc.load_model(info.model_uri).predict(["Dull, dull, dull."]) == ["negative"]
    with mlflow.start_run(), pytest.raises(BundleError, match="or give a model folder"):
        flavor.log_model("bwo")


def test_a_folder_that_holds_something_is_not_written_to(flavor, mlflow, fitted, tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "mine.txt").touch()
    with pytest.raises(mlflow.exceptions.MlflowException, match="already exists and is not empty"):
        flavor.save_model(fitted, tmp_path / "saved")


def test_a_fit_is_logged_with_its_settings_and_its_model(autologged):
    fitted = Classifier(seed=3, **SMALL).fit(TEXTS, LABELS)
    (run,) = runs(autologged)
    expected = {"kind": "bow", "min_count": "2", "seed": "3", "cleaning.punctuation": "keep", "max_order": "3"}
    assert expected.items() <= run.data.params.items()
    assert run.data.metrics["num_parameters"] == fitted.predictor_.num_parameters
    (logged,) = autologged.search_logged_models(output_format="list")
    assert autologged.pyfunc.load_model(logged.model_uri).predict(TEXTS[:2]) == LABELS[:2]


def test_each_epoch_of_a_network_is_logged(autologged):
    fitted = Classifier("lstm", **SMALL_LSTM).fit(TEXTS, LABELS)
    (run,) = runs(autologged)
    history = autologged.MlflowClient().get_metric_history(run.info.run_id, "validation_loss")
    assert [metric.step for metric in history] == [1, 2]
    assert [metric.value for metric in history] == [event["validation_loss"] for event in fitted.history_]
    assert run.data.metrics["final_validation_accuracy"] == fitted.validation_accuracy_
    assert run.data.params["train.epochs"] == "2"


def test_the_active_run_takes_the_first_fit_and_nested_runs_the_others(autologged):
    with autologged.start_run() as parent:
        for order in (1, 2, 3):
            Classifier(max_order=order, **SMALL).fit(TEXTS, LABELS)
    first, *others = runs(autologged)
    assert (first.info.run_id, first.data.params["max_order"]) == (parent.info.run_id, "1")
    assert [run.data.params["max_order"] for run in others] == ["2", "3"]
    assert {run.data.tags["mlflow.parentRunId"] for run in others} == {parent.info.run_id}


def test_a_failed_fit_is_a_failed_run_with_its_usual_error(autologged):
    with pytest.raises(plaudit.errors.SettingsError, match="did you mean max_order"):
        Classifier(max_oder=1).fit(TEXTS, LABELS)
    assert [run.info.status for run in runs(autologged)] == ["FAILED"]


def test_what_fails_in_logging_does_not_stop_a_training(autologged, monkeypatch):
    monkeypatch.setattr("plaudit.mlflow._log_fit", lambda *_: 1 / 0)
    assert Classifier(**SMALL).fit(TEXTS, LABELS).score(TEXTS, LABELS) == 1


def test_models_are_left_out_and_logging_ends_on_request(autologged):
    plaudit.mlflow.autolog(log_models=False, silent=True)
    Classifier(**SMALL).fit(TEXTS, LABELS)
    assert autologged.search_logged_models(output_format="list") == []
    plaudit.mlflow.autolog(disable=True)
    Classifier(**SMALL).fit(TEXTS, LABELS)
    assert len(runs(autologged)) == 1
