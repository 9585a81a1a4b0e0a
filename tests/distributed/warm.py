"""What takes a process seconds before it can train: imported by the one that all ranks are forked off."""

import pytest  # noqa: F401
import torch._dynamo  # noqa: F401  # which DistributedDataParallel and optimizers import

import plaudit.pipeline.run
import plaudit.train.fit  # noqa: F401
from plaudit.models.lstm.network import LSTMModel
from plaudit.models.lstm.settings import LSTMSettings

# Loads the compiled text functions.
LSTMModel.create(LSTMSettings(min_count=1), ("negative", "positive"), ["a text"], seed=0).encode(["a text"])
