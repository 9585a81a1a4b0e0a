import pyarrow as pa
import pytest
import torch
from rich.console import Console

from plaudit.compress.base import Context, Subject
from plaudit.data.splits import Splits
from plaudit.data.table import SCHEMA
from plaudit.models.bow.model import BowModel
from plaudit.models.bow.settings import BowSettings
from plaudit.models.lstm.settings import LSTMSettings
from plaudit.train.bow import train_bow
from plaudit.train.context import TrainingContext
from plaudit.train.fit import fit_network
from plaudit.train.settings import TrainSettings
from tests.train.conftest import one_thread, table  # noqa: F401  # the fixture serves here too

QUIET = Console(quiet=True)
BOW = BowSettings(min_count=1, slot_bits=16, refit=False)
LSTM = LSTMSettings(
    embedding_size=12, hidden_size=10, min_count=1, embedding_dropout=0.1, output_dropout=0.1, vocabulary_size=60
)
TRAIN = TrainSettings(epochs=6, max_learning_rate=0.03, batch_tokens=200, precision="fp32")


@pytest.fixture(scope="session")
def splits() -> Splits:
    """Reviews told apart by their words, and as many unlabelled ones."""
    unlabelled = table(60, "unsup", 3)
    at = SCHEMA.get_field_index("label")
    return Splits(
        train=table(80, "train", 1),
        validation=table(40, "validation", 2),
        test=SCHEMA.empty_table(),
        unlabelled=unlabelled.set_column(at, SCHEMA.field(at), pa.nulls(60, pa.int8())),
        labels=("negative", "positive"),
        dropped={},
        name="tiny",
        digest="tiny",
    )


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """What teachers say is kept between calls, not between tests."""
    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path / "cache"))


def run_in(folder, *, seed=0, resume=False):
    return TrainingContext(seed, folder, resume, QUIET)


@pytest.fixture
def context(splits, tmp_path) -> Context:
    return Context(splits, run_in(tmp_path / "training"))


@pytest.fixture(scope="session")
def bow(splits, tmp_path_factory) -> BowModel:
    model = train_bow(BOW, splits, run_in(tmp_path_factory.mktemp("bow"))).model
    assert isinstance(model, BowModel)
    return model


@pytest.fixture(scope="session")
def lstm(splits, tmp_path_factory):
    """An LSTM that tells the reviews apart; tests must not train it on."""
    torch.set_num_threads(1)
    return fit_network(LSTM, TRAIN, splits, run_in(tmp_path_factory.mktemp("lstm"))).model


@pytest.fixture(scope="session")
def subjects(bow, lstm) -> dict[str, Subject]:
    """A trained model of each kind that needs nothing from outside."""
    return {"bow": Subject(bow.settings, None, bow), "lstm": Subject(lstm.settings, TRAIN, lstm)}
