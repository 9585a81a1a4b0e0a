"""The trials of a study, one after another in this process or several at once in others, and what they tell."""

import multiprocessing
import os
import queue
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from plaudit.data.splits import Splits
from plaudit.errors import PlauditError, TrainingError, TrainingInterruptedError
from plaudit.search.study import Plan, TrialResult, open_study, read_splits, results, run_trial
from plaudit.threads import VARIABLE, num_threads
from plaudit.train.interrupt import Interruption

if TYPE_CHECKING:
    from plaudit.train.context import EpochEnd

_GRACE_SECONDS = 30.0
"""How long a process that was told to stop may take for the step that it is in."""


def search(
    plan: Plan, out: Path, splits: Splits, *, trials: int, workers: int, deadline: float | None, console: Console
) -> None:
    """Do what a study lacks to so many trials, `workers` at a time; none begins after `deadline`, as time.time has it.

    KeyboardInterrupt or TrainingInterruptedError after Ctrl-C; a trial of a model that is no network is finished first.
    TrainingError if a worker dies.
    """
    before = results(open_study(plan, out), plan)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(plan.model, total=trials, completed=len(before))
        finished = list(before)

        def hear(message: str | TrialResult) -> None:
            if isinstance(message, str):
                progress.update(bar, description=message)
                return
            finished.append(message)
            progress.update(bar, advance=1, description=plan.model)
            progress.console.print(told(message), highlight=False)

        remaining = trials - len(before)
        if workers == 1:
            # A KeyboardInterrupt amid a compiler's callback would be lost, or end Python as if nobody had caught it.
            with Interruption() as interruption:
                _work(plan, out, splits, range(len(before), trials), deadline, hear, interruption)
        else:
            _share(plan, out, min(workers, remaining), range(len(before), trials), deadline, hear)


def told(trial: TrialResult) -> str:
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


def _work(
    plan: Plan,
    out: Path,
    splits: Splits,
    tickets: "range | _Tickets",
    deadline: float | None,
    hear: Callable[[str | TrialResult], None],
    interruption: Interruption,
) -> None:
    study = open_study(plan, out)

    def heard(number: int, end: "EpochEnd") -> None:
        hear(f"{plan.model} trial {number} epoch {end.epoch}: {end.accuracy:.1%}")

    for ticket in tickets:
        if interruption.requested:
            raise TrainingInterruptedError("interrupted between two trials")
        if deadline is not None and time.time() >= deadline:
            return
        hear(run_trial(study, plan, splits, out, ticket=ticket, heard=heard))


class _Tickets:
    """Numbers that several processes draw from, each once."""

    def __init__(self, numbers: range, context: Any) -> None:  # noqa: ANN401  # multiprocessing's own types are private
        self._next, self._stop = context.Value("i", numbers.start), numbers.stop

    def __iter__(self) -> "_Tickets":
        return self

    def __next__(self) -> int:
        with self._next.get_lock():
            number: int = self._next.value
            if number >= self._stop:
                raise StopIteration
            self._next.value = number + 1
            return number


def _share(
    plan: Plan,
    out: Path,
    workers: int,
    tickets: range,
    deadline: float | None,
    hear: Callable[[str | TrialResult], None],
) -> None:
    context = multiprocessing.get_context("spawn")  # torch's threads do not outlive a fork
    messages = context.Queue()
    shared = _Tickets(tickets, context)
    threads = max(1, num_threads() // workers)
    processes = [
        context.Process(target=_worker, args=(plan, out, shared, deadline, messages, threads), daemon=True)
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
            hear(message)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_GRACE_SECONDS)
            process.kill()
    if any(process.exitcode for process in processes):
        raise TrainingError(f"{out}: a worker process died; the same command goes on, with fewer --workers if need be")


def _worker(
    plan: Plan,
    out: Path,
    tickets: _Tickets,
    deadline: float | None,
    messages: "multiprocessing.Queue[str | TrialResult | PlauditError]",
    threads: int,
) -> None:
    """What a process of its own does: trials as long as there are tickets."""
    # Read when torch and the text kernel are imported, which is later. What the user has set holds.
    for variable in ("OMP_NUM_THREADS", VARIABLE):
        os.environ.setdefault(variable, str(threads))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one tells the others
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))  # lets go of the journal's lock on the way out
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        _work(plan, out, read_splits(plan), tickets, deadline, messages.put, Interruption())
    except TrainingInterruptedError:
        return
    except PlauditError as error:
        messages.put(error)
