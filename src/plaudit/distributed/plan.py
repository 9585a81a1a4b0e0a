"""Equal work: which reviews of a step's batch each rank reads.

All ranks make the same plan of the same batches (`train/batches.py`) and take turns at the rows of each, longest
first. A batch holds reviews of nearly equal length, and a number of them that most numbers of ranks divide, so that
all ranks compute on tensors of the same shape and none waits for another.

The sum of the ranks' losses is that of the batch, whatever the number of ranks; a step divides it by what one process
would. So the gradient is that of one process, also where the ranks' shares differ.
"""

import numpy as np
import numpy.typing as npt
import torch

from plaudit.distributed.world import World


def deal(rows: torch.Tensor, world: World) -> torch.Tensor:
    """Return the rows, out of a batch's [B], that this rank reads: [B / size], one more or less."""
    return rows.flip(0)[world.rank :: world.size] if world.size > 1 else rows


def idle_share(costs: npt.NDArray[np.float64]) -> float:
    """Return the share of all ranks' time that is spent waiting for the slowest: costs are seconds, [steps, ranks]."""
    slowest = costs.max(axis=1).sum()
    return float(1 - costs.sum() / (slowest * costs.shape[1]))
