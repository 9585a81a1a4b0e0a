"""Check, when a recipe is read, whether a kind of model takes a train table; needs no torch."""

from typing import TYPE_CHECKING

from plaudit.errors import SettingsError
from plaudit.models.base import ModelSettings
from plaudit.models.kinds import NETWORK_KINDS

if TYPE_CHECKING:
    from plaudit.train.settings import TrainSettings


def check_train_table(settings: ModelSettings, train: "TrainSettings | None") -> None:
    """Raise SettingsError if `train` is missing for a kind that needs it or given to one that does not."""
    has_epochs = settings.kind in NETWORK_KINDS
    if has_epochs and train is None:
        raise SettingsError(f'kind = "{settings.kind}" needs a train table with epochs and max_learning_rate')
    if not has_epochs and train is not None:
        raise SettingsError(f'kind = "{settings.kind}" has no use for a train table; leave it out')
    if has_epochs:
        check_storage(settings)


def check_storage(settings: ModelSettings) -> None:
    """Raise SettingsError for a network that is to be trained in less than fp32."""
    storage = getattr(settings, "storage", "fp32")
    if storage != "fp32":
        raise SettingsError(f'storage = "{storage}" cannot be trained; train in fp32 and quantize the model afterwards')
