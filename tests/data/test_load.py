"""What every dataset promises; a new entry in DATASETS is tested by being there."""

import pyarrow.compute as pc
import pytest

from plaudit.data.load import DATASETS, DataSettings, available, load_dataset
from plaudit.data.quality.report import inspect
from plaudit.data.splits import prepare
from plaudit.data.table import SCHEMA
from plaudit.errors import DataError, MissingExtraError, SettingsError


@pytest.fixture(params=DATASETS)
def name(request, make_archive, monkeypatch):
    monkeypatch.setenv("PLAUDIT_IMDB", str(make_archive()))
    where = available()[request.param]
    if not where.local:
        pytest.skip(f"{request.param} is not on this machine: {where.where}")
    return request.param


def test_dataset_keeps_the_contract_of_the_review_table(name):
    settings = DataSettings(name=name, validation_fraction=0.25)
    dataset = load_dataset(settings)
    assert dataset.name == name
    assert dataset.table.schema == SCHEMA
    assert dataset.table["text"].null_count == 0
    assert pc.count_distinct(dataset.table["id"]).as_py() == len(dataset.table)
    assert set(pc.unique(dataset.split("train")["label"]).to_pylist()) == set(range(len(dataset.labels)))
    assert set(pc.unique(dataset.table["split"]).to_pylist()) <= {"train", "validation", "test", "unsup"}
    assert len(bytes.fromhex(dataset.digest)) == 32
    assert load_dataset(settings) == dataset

    splits = prepare(dataset, settings)
    tables = (splits.train, splits.validation, splits.test)
    assert all(len(table) and table["label"].null_count == 0 for table in tables)
    groups = [set(pc.unique(table["group"]).to_pylist()) for table in tables]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert prepare(dataset, settings).train.equals(splits.train)
    assert prepare(dataset, settings.model_copy(update={"seed": 1})).validation != splits.validation

    report = inspect(dataset)
    assert report.num_rows == len(dataset.table)


def test_listing_describes_each_data_set():
    assert set(available()) == set(DATASETS)
    assert all(source.description for source in DATASETS.values())
    assert all(availability.where for availability in available().values())


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(DataError, match=r"imdb_train: no dataset of this name .*did you mean imdb-train\?"):
        load_dataset(DataSettings(name="imdb_train"))
    with pytest.raises(DataError, match=r"absent.csv: .*; datasets: imdb, imdb-train"):
        load_dataset(DataSettings(name="absent.csv"))


def test_column_of_a_named_dataset_is_refused(name):
    with pytest.raises(SettingsError, match=f"data.text_column has no effect on {name}"):
        load_dataset(DataSettings(name=name, text_column="review"))


def test_loading_that_cannot_work_is_an_error_a_user_can_fix(monkeypatch):
    monkeypatch.setenv("PLAUDIT_IMDB", "absent")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for source in DATASETS.values():
        with pytest.raises((DataError, MissingExtraError)) as caught:
            source.load(None)
        assert "\n" not in str(caught.value)


def test_columns_that_are_named_make_the_first_row_a_header(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("0,1\nfine film,1\ndull film,0\n")
    with pytest.raises(DataError, match="has no header, it seems"):
        load_dataset(DataSettings(name=str(path)))
    with pytest.raises(DataError, match="has no header, it seems"):
        load_dataset(DataSettings(name=str(path), text_column="2", label_column="1"))
    dataset = load_dataset(DataSettings(name=str(path), text_column="0", label_column="1"))
    assert dataset.table["text"].to_pylist() == ["fine film", "dull film"]
