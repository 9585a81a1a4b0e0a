"""Measure where a rank's time goes: computing, waiting for slower ranks, exchanging gradients.

A lap runs from the end of one exchange to the end of the next. All ranks start a lap together, since an exchange ends
for all at once; each is ready for the next at its own time. The others wait for the slowest, and the rest of the lap is
exchange that computing did not hide. No two clocks are compared.

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
        """Return zero seconds for each rank."""
        return cls(*torch.zeros(3, world.size, dtype=torch.float64))

    def plus(self, other: Self) -> Self:
        """Return the sum of both."""
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
    """Times a rank's laps; on a GPU these are times of its stream, and reading them waits for it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._laps: list[tuple[Mark, Mark, Mark]] = []
        self.start()

    def start(self) -> None:
        """Start a lap."""
        self._started = self._ready = self._mark()

    def ready(self) -> None:
        """Note that a gradient is ready to be exchanged; the last such time of a lap counts."""
        self._ready = self._mark()

    def lap(self) -> None:
        """End a lap, when the exchange is done, and start the next."""
        ended = self._mark()
        self._laps.append((self._started, self._ready, ended))
        self._started = self._ready = ended

    def read(self, world: World) -> RankSeconds:
        """Return the seconds of all ranks since the last call, and start anew."""
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
    """Return the bytes sent so far through all network interfaces, headers and loopback included.

    Those that InfiniBand sends past the kernel are added. Zero on systems without counters, such as macOS.
    """
    total = 0
    try:
        lines = (root / "proc/self/net/dev").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines[2:]:  # after two lines of headings
        total += int(line.partition(":")[2].split()[_NUM_RECEIVE_FIELDS])
    for path in root.glob("sys/class/infiniband/*/ports/*/counters/port_xmit_data"):
        with suppress(OSError):  # some drivers do not let it be read
            total += _INFINIBAND_WORD_BYTES * int(path.read_text())
    return total
