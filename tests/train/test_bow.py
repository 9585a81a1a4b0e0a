import pytest
from rich.console import Console

from plaudit.errors import SettingsError
from plaudit.models.bow.settings import BowSettings
from plaudit.models.kinds import MODELS, NETWORK_KINDS, model_class
from plaudit.models.lstm.settings import LSTMSettings
from plaudit.models.torch_model import TorchModel
from plaudit.train.bow import train_bow
from plaudit.train.checks import check_train_table
from plaudit.train.context import TrainingContext
from plaudit.train.settings import TrainSettings


def test_networks_are_the_kinds_that_take_a_train_table():
    assert {kind for kind in MODELS if issubclass(model_class(kind), TorchModel)} == NETWORK_KINDS


def test_a_network_needs_a_train_table():
    with pytest.raises(SettingsError, match=r'kind = "lstm" needs a train table with epochs and max_learning_rate'):
        check_train_table(LSTMSettings(), None)


def test_a_kind_without_epochs_refuses_a_train_table():
    with pytest.raises(SettingsError, match=r'kind = "bow" has no use for a train table; leave it out'):
        check_train_table(BowSettings(), TrainSettings(epochs=1, max_learning_rate=0.1))


@pytest.mark.parametrize("refit", [False, True])
def test_a_bag_of_ngrams_is_measured_before_it_learns_validation_too(splits, tmp_path, refit):
    context = TrainingContext(0, tmp_path, False, Console(quiet=True))
    trained = train_bow(BowSettings(refit=refit), splits, context)
    assert trained.model.settings.kind == "bow"
    assert trained.provenance.validation_accuracy > 0.9
    assert trained.provenance.learned_validation is refit
