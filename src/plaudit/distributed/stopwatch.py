"""Where the time of a rank goes: computing, waiting for slower ranks, exchanging gradients.

A lap is what lies between two exchanges. All ranks start a lap together, since an exchange ends for all at once; each
is ready at its own time. So the slowest rank's time to readiness is what the others wait for, and what is left of the
lap is exchange that computing did not hide. No two clocks are compared.

Shapes: L laps, R ranks.
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias

import torch

from plaudit.distributed.world import World

Mark: TypeAlias = "float | torch.cuda.Event"


class RankSeconds(NamedTuple):
    """Seconds of each rank, float64 [R]."""

    compute: torch.Tensor
    wait: torch.Tensor
    exchange: torch.Tensor

    @classmethod
    def none(cls, world: World) -> Self:
        """Return no seconds of any rank."""
        return cls(*torch.zeros(3, world.size, dtype=torch.float64))

    def plus(self, other: Self) -> Self:
        """Return the sums with another's."""
        return type(self)(*(mine + others for mine, others in zip(self, other, strict=True)))

    def shares(self) -> dict[str, float]:
        """Return the shares of all ranks' time that went into waiting and exchanging."""
        total = max(float(sum(part.sum() for part in self)), 1e-9)
        return {"wait_share": float(self.wait.sum()) / total, "exchange_share": float(self.exchange.sum()) / total}

    def figures(self) -> dict[str, Any]:
        """Return the shares and each rank's seconds, for a log."""
        ranks = {f"{name}_seconds": [round(s, 3) for s in getattr(self, name).tolist()] for name in self._fields}
        return {**self.shares(), **ranks}


class Stopwatch:
    """Takes the times of a rank's laps; on a GPU they are those of its stream, and reading them waits for it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._laps: list[tuple[Mark, Mark, Mark]] = []
        self.start()

    def start(self) -> None:
        """Begin a lap."""
        self._started = self._ready = self._mark()

    def ready(self) -> None:
        """Note that there is a gradient to exchange; the last such time of a lap counts."""
        self._ready = self._mark()

    def lap(self) -> None:
        """End a lap, when the exchange is done, and begin the next."""
        ended = self._mark()
        self._laps.append((self._started, self._ready, ended))
        self._started = self._ready = ended

    def read(self, world: World) -> RankSeconds:
        """Return what all ranks did since the last time that they were asked, and forget it."""
        laps, self._laps = self._laps, []
        mine = torch.tensor(
            [[_between(start, ready), _between(start, end)] for start, ready, end in laps], dtype=torch.float64
        ).view(-1, 2)
        compute, whole = world.stack(mine.to(self._device)).cpu().unbind(2)
        slowest = compute.amax(0)
        return RankSeconds(compute.sum(1), (slowest - compute).sum(1), (whole - slowest).clamp(min=0).sum(1))

    def _mark(self) -> Mark:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch's own
        event.record()
        return event


def _between(start: Mark, end: Mark) -> float:
    if isinstance(start, float):
        assert isinstance(end, float)
        return end - start
    assert not isinstance(end, float)
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000


_NUM_RECEIVE_FIELDS = 8
_INFINIBAND_WORD_BYTES = 4


def bytes_sent(root: Path = Path("/")) -> int:
    """Return the bytes sent so far through all interfaces that this process sees, headers and loopback included.

    InfiniBand ports count those that bypass the kernel. Zero where nothing counts, as on macOS.
    """
    total = 0
    try:
        lines = (root / "proc/self/net/dev").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines[2:]:  # two lines of headings
        total += int(line.partition(":")[2].split()[_NUM_RECEIVE_FIELDS])
    for path in root.glob("sys/class/infiniband/*/ports/*/counters/port_xmit_data"):
        with suppress(OSError):  # not every driver lets it be read
            total += _INFINIBAND_WORD_BYTES * int(path.read_text())
    return total
