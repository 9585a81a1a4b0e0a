"""What a run logs while it trains: metrics.jsonl, a live progress bar, and TensorBoard if asked for."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from plaudit.errors import MissingExtraError, OutputError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

METRICS_NAME = "metrics.jsonl"


class SilentLog:
    """The log of a rank that is not the first: it writes nothing."""

    @property
    def size_bytes(self) -> int:
        """Bytes of its file, which it lacks."""
        return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def start_epoch(self, epoch: int, num_batches: int) -> None:
        """Hear of an epoch."""

    def step(self, batches_done: int, event: Mapping[str, Any]) -> None:
        """Hear of steps."""

    def epoch(self, event: Mapping[str, Any]) -> None:
        """Hear of the end of an epoch."""


class TrainingLog(SilentLog):
    """Appends events to a run's metrics and shows them; a context manager.

    `keep_bytes` is what a checkpoint knows of metrics.jsonl: events after it are cut off, since the resumed
    run makes them again.
    """

    def __init__(
        self,
        run_dir: Path,
        console: Console,
        *,
        title: str,
        epochs: int,
        tensorboard: bool,
        keep_bytes: int,
        step: int,
    ) -> None:
        path = run_dir / METRICS_NAME
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.truncate(path, keep_bytes)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: not writable: {error.strerror}; choose another --out folder") from None
        self._writer = _tensorboard_writer(run_dir / "tensorboard", step) if tensorboard else None
        self._title = title
        self._epochs = epochs
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task(title, total=None, state="")
        self._validated = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()
        self._file.close()
        if self._writer is not None:
            self._writer.close()

    @property
    def size_bytes(self) -> int:
        """Bytes of metrics.jsonl, all of them on disk: what a checkpoint has to know."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def start_epoch(self, epoch: int, num_batches: int) -> None:
        """Show the bar of an epoch, counted from 0."""
        description = f"{self._title} epoch {epoch + 1}/{self._epochs}"
        self._progress.reset(self._task, description=description, total=num_batches)

    def step(self, batches_done: int, event: Mapping[str, Any]) -> None:
        """Record the figures since the last step event."""
        self._write("step", event)
        state = (
            f"loss {event['train_loss']:.3f}  accuracy {event['train_accuracy']:.1%}{self._validated}  "
            f"{event['tokens_per_second'] / 1000:,.0f}k tokens/s"
        )
        self._progress.update(self._task, completed=batches_done, state=state)

    def epoch(self, event: Mapping[str, Any]) -> None:
        """Record the figures of a whole epoch and of its validation, and leave them on the screen as a
        line."""
        self._write("epoch", event)
        self._validated = f"  validation {event['validation_accuracy']:.1%}"
        self._progress.console.print(
            f"{self._title} epoch {event['epoch']}/{self._epochs}: loss {event['train_loss']:.3f}, "
            f"accuracy {event['train_accuracy']:.1%}, validation loss {event['validation_loss']:.3f}, "
            f"accuracy {event['validation_accuracy']:.1%}, "
            f"{event['tokens_per_second'] / 1000:,.0f}k tokens/s ({event['share_of_peak']:.0%} of peak), "
            f"{event['peak_memory_bytes'] / 2**20:,.0f} MiB, "
            f"{event['seconds']:.0f} s",
            highlight=False,
        )

    def _write(self, kind: str, event: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps({"event": kind, **event}, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{self._file.name}: not written: {error.strerror}") from None
        if self._writer is not None:
            for name, value in event.items():
                if name not in ("step", "epoch") and not isinstance(value, list):
                    self._writer.add_scalar(f"{kind}/{name}", value, event["step"])


def _tensorboard_writer(folder: Path, step: int) -> "SummaryWriter":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError("train.tensorboard = true needs TensorBoard: pip install 'plaudit[track]'") from None
    return SummaryWriter(folder, purge_step=step)
