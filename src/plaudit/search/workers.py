"""Runs the trials of a study, one after another in this process or several at once in others."""

import multiprocessing
import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from plaudit.console import progress
from plaudit.data.splits import Splits
from plaudit.errors import PlauditError, TrainingError, TrainingInterruptedError
from plaudit.search.study import Search, TrialResult, finished_trials, open_study, read_splits, run_trial
from plaudit.threads import VARIABLE, num_threads
from plaudit.train.interrupt import Interruption

if TYPE_CHECKING:
    from plaudit.train.context import EpochEnd

_GRACE_SECONDS = 30.0
"""How long a process that was told to stop may take to finish its current step."""
Report = Callable[[str | TrialResult], None]
"""Takes how the current trial proceeds, in words, and the result of each finished one."""


def run_trials(
    search: Search, out: Path, splits: Splits, *, trials: int, workers: int, deadline: float | None, console: Console
) -> None:
    """Run trials until a study has so many, `workers` at a time; none begins after `deadline`, as time.time has it.

    KeyboardInterrupt or TrainingInterruptedError after Ctrl-C; a trial of a model that is no network is finished first.
    TrainingError if a worker dies.
    """
    num_finished = len(finished_trials(open_study(out), search))
    remaining = range(num_finished, trials)
    if not remaining:
        return
    with progress(console, search.model, total=trials, completed=num_finished) as show:

        def report(message: str | TrialResult) -> None:
            nonlocal num_finished
            if isinstance(message, str):
                show(num_finished, message)
                return
            num_finished += 1
            show(num_finished)
            console.print(describe(message), highlight=False)

        if workers == 1:
            # A KeyboardInterrupt in a compiler's callback would be lost, or end Python as if nobody had caught it.
            with Interruption() as interruption:
                _run_here(search, out, splits, remaining, deadline, report, interruption)
        else:
            _run_in_processes(search, out, min(workers, len(remaining)), remaining, deadline, report)


def describe(trial: TrialResult) -> str:
    """Return a line on a finished trial."""
    values = ", ".join(f"{path} {value}" for path, value in trial.values.items())
    if trial.state == "failed":
        return f"trial {trial.number} failed: {trial.reason} ({values})"
    assert trial.accuracy is not None and trial.log_loss is not None
    stopped = f", stopped after epoch {trial.epochs}" if trial.state == "pruned" else ""
    return (
        f"trial {trial.number}: {trial.accuracy:.2%}, log loss {trial.log_loss:.4f}, {trial.seconds:.1f} s{stopped} "
        f"({values})"
    )


def _run_here(
    search: Search,
    out: Path,
    splits: Splits,
    orders: Iterable[int],
    deadline: float | None,
    report: Report,
    interruption: Interruption,
) -> None:
    study = open_study(out)

    def on_epoch(number: int, end: "EpochEnd") -> None:
        report(f"trial {number} epoch {end.epoch}: {end.accuracy:.1%}")

    for order in orders:
        if interruption.requested:
            raise TrainingInterruptedError("interrupted between two trials")
        if deadline is not None and time.time() >= deadline:
            return
        report(run_trial(study, search, splits, out, order=order, on_epoch=on_epoch))


class _SharedRange:
    """Numbers of a range, each of which one of several processes gets."""

    def __init__(self, numbers: range, context: Any) -> None:  # noqa: ANN401  # multiprocessing's own types are private
        self._next, self._stop = context.Value("i", numbers.start), numbers.stop

    def __iter__(self) -> "_SharedRange":
        return self

    def __next__(self) -> int:
        with self._next.get_lock():
            number: int = self._next.value
            if number >= self._stop:
                raise StopIteration
            self._next.value = number + 1
            return number


def _run_in_processes(
    search: Search, out: Path, workers: int, orders: range, deadline: float | None, report: Report
) -> None:
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    messages = context.Queue()
    shared = _SharedRange(orders, context)
    threads = max(1, num_threads() // workers)
    processes = [
        context.Process(target=_worker, args=(search, out, shared, deadline, messages, threads), daemon=True)
        for _ in range(workers)
    ]
    try:
        for process in processes:
            process.start()
        while True:
            is_over = not any(process.is_alive() for process in processes)
            try:
                message = messages.get(timeout=0.2)
            except queue.Empty:
                if is_over:
                    break
                continue
            if isinstance(message, PlauditError):
                raise message
            report(message)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_GRACE_SECONDS)
            process.kill()
    if any(process.exitcode for process in processes):
        raise TrainingError(f"{out}: a worker process died; the same command resumes, if need be with fewer --workers")


def _worker(
    search: Search,
    out: Path,
    orders: _SharedRange,
    deadline: float | None,
    messages: "multiprocessing.Queue[str | TrialResult | PlauditError]",
    threads: int,
) -> None:
    """Run trials in a process of its own until there are none left."""
    # Read when torch and the text kernel are imported, which is later. What the user has set stays.
    for variable in ("OMP_NUM_THREADS", VARIABLE):
        os.environ.setdefault(variable, str(threads))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one stops the others
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))  # so that the journal's lock is released
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        _run_here(search, out, read_splits(search), orders, deadline, messages.put, Interruption())
    except TrainingInterruptedError:
        return
    except PlauditError as error:
        messages.put(error)
