"""The ways in which ranks exchange what they learned: gradients at each step, whole or compressed, or weights now and
then.

To add one, write its settings in `settings.py`, a class, and a line in EXCHANGES. What a class remembers is part of a
checkpoint.
"""

from typing import Any, cast

import torch

from plaudit.distributed.exchange.base import Exchange
from plaudit.distributed.exchange.local import Local
from plaudit.distributed.exchange.rows import Rows
from plaudit.distributed.exchange.settings import ExchangeSettings
from plaudit.distributed.exchange.topk import TopK
from plaudit.distributed.exchange.torch_hooks import BF16, Plain, PowerSGD
from plaudit.distributed.stopwatch import Stopwatch
from plaudit.distributed.world import World

EXCHANGES: dict[str, Any] = {
    "plain": Plain,
    "bf16": BF16,
    "rows": Rows,
    "powersgd": PowerSGD,
    "top-k": TopK,
    "local": Local,
}
NO_EXCHANGE = Exchange()


def make_exchange(settings: ExchangeSettings, world: World, stopwatch: Stopwatch) -> Exchange:
    """Return the exchange that settings name, or for a process alone one that does nothing."""
    if world.size == 1:
        return NO_EXCHANGE
    return cast(Exchange, EXCHANGES[settings.kind](settings, world, stopwatch))


def mean_state(states: list[Any]) -> Any:  # noqa: ANN401
    """Return what a rank starts from when the number of ranks has changed: the mean of the old ranks' tensors."""
    first = states[0]
    if isinstance(first, dict):
        return {key: mean_state([state[key] for state in states]) for key in first}
    if isinstance(first, torch.Tensor) and first.is_floating_point():
        return torch.stack(states).mean(0)
    return first
