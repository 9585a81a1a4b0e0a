import pytest

from plaudit.bundle.folder import load_bundle, save_bundle
from plaudit.bundle.trained import CalibratedOn, TrainedModel
from plaudit.data.labelled_file import read_labelled_file
from plaudit.errors import DataError, SettingsError
from plaudit.evaluate.calibrate import calibrate
from tests.conftest import toy_provenance


@pytest.fixture
def reviews(toy_file):
    return read_labelled_file(toy_file)


def fit(model, out, reviews, *, data="elsewhere.csv", split="all", **changes):
    options = {"method": "temperature", "label_names": reviews.labels, "data": data, "split": split}
    return calibrate(model, out, reviews.table, **(options | changes))


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_a_calibrated_copy_says_what_it_was_fitted_to(toy_bow_folder, tmp_path, reviews, method):
    done = fit(toy_bow_folder, tmp_path / "out", reviews, method=method)
    assert done.reviews == reviews.table.num_rows
    assert done.log_loss[1] <= done.log_loss[0]
    bundle = load_bundle(tmp_path / "out")
    assert bundle.calibration.method == method
    assert bundle.provenance.calibrated_on == CalibratedOn(data="elsewhere.csv", split="all")
    assert load_bundle(toy_bow_folder).calibration is None


def test_an_earlier_calibration_is_replaced_and_not_built_upon(toy_bow_folder, tmp_path, reviews):
    fit(toy_bow_folder, tmp_path / "once", reviews)
    fit(tmp_path / "once", tmp_path / "twice", reviews)
    assert load_bundle(tmp_path / "twice").calibration == load_bundle(tmp_path / "once").calibration


@pytest.mark.parametrize("split", ["train", "all"])
def test_reviews_that_a_model_learned_from_are_refused(toy_bow, tmp_path, reviews, split):
    provenance = toy_provenance(name="somewhere/reviews.csv")
    save_bundle(TrainedModel(model=toy_bow, provenance=provenance), tmp_path / "model")
    with pytest.raises(SettingsError, match="was trained on these reviews"):
        fit(tmp_path / "model", tmp_path / "out", reviews, data="reviews.csv", split=split)
    fit(tmp_path / "model", tmp_path / "out", reviews, data="others.csv", split=split)


def test_a_model_refitted_with_validation_is_refused_there(toy_bow, tmp_path, reviews):
    trained = TrainedModel(model=toy_bow, provenance=toy_provenance(name="imdb"))
    save_bundle(trained.with_provenance(learned_validation=True), tmp_path / "model")
    with pytest.raises(SettingsError, match="refit = false"):
        fit(tmp_path / "model", tmp_path / "out", reviews, data="imdb", split="validation")


def test_nothing_is_chosen_on_test(toy_bow_folder, tmp_path, reviews):
    with pytest.raises(SettingsError, match="--split test: calibrate on validation"):
        fit(toy_bow_folder, tmp_path / "out", reviews, split="test")


def test_labels_that_the_model_does_not_know_are_refused(toy_bow_folder, tmp_path, reviews):
    with pytest.raises(DataError, match="its labels are no, yes"):
        fit(toy_bow_folder, tmp_path / "out", reviews, label_names=("no", "yes"))
