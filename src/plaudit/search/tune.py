"""`plaudit tune`: the settings of one model, searched by Optuna on validation; the test split is never read.

    OUT/study.json      what is searched; another recipe, model, objective or seed is refused
    OUT/study.journal   Optuna's own record, which several processes write to, and which survives a kill
    OUT/others/         models that the tuned one is made of, trained once
    OUT/tune.json       every trial, which settings mattered, and the best ones
    OUT/best.toml       the recipe with the best settings

The number of trials is that of the whole study: the same command again continues up to it. The sampler is the
tree-structured Parzen estimator (Bergstra et al. 2011). A network whose validation is worse than the median of earlier
trials at the same epoch is stopped (the median rule of Vizier, Golovin et al. 2017).
"""

import fcntl
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from plaudit.console import needs_extra
from plaudit.data.splits import Splits
from plaudit.errors import DataError, OutputError, SettingsError, TrainingError, TrainingInterruptedError
from plaudit.pipeline import run as runs
from plaudit.search.space import recipe_params
from plaudit.search.study import (
    STUDY_NAME,
    Objective,
    Search,
    TrialResult,
    finished_trials,
    open_study,
    optuna_storage,
    read_splits,
    requeue_unfinished,
)
from plaudit.search.workers import run_trials
from plaudit.storage import HINT, has_begun, refuse_change, write_text

if TYPE_CHECKING:
    from optuna.study import Study

FORMAT = 1
HEAD_NAME = "study.json"


@dataclass(frozen=True)
class Tuning:
    """All trials of a study; `importance` is each setting's share of the scores' variation, the largest first."""

    search: Search
    trials: tuple[TrialResult, ...]
    importance: Mapping[str, float] | None
    no_importance: str | None
    """Why the importance is unknown."""

    @property
    def ranked(self) -> list[TrialResult]:
        """Complete trials, the best first; of equal accuracies the one with the lower log loss."""
        complete = [trial for trial in self.trials if trial.state == "complete"]
        return sorted(complete, key=lambda trial: _badness(trial, self.search.objective))

    def as_json(self) -> dict[str, Any]:
        """Return the content of tune.json."""
        best = self.ranked[0] if self.ranked else None
        return {
            "format": FORMAT,
            "recipe": self.search.recipe.name,
            "model": self.search.model,
            "objective": self.search.objective,
            "seed": self.search.seed,
            "space": self.search.space_as_json(),
            "best": None if best is None else asdict(best),
            "importance": self.importance,
            "trials": [asdict(trial) for trial in self.trials],
        }


def _badness(trial: TrialResult, objective: Objective) -> tuple[float, float]:
    assert trial.accuracy is not None and trial.log_loss is not None
    return (-trial.accuracy, trial.log_loss) if objective == "accuracy" else (trial.log_loss, -trial.accuracy)


def tune(
    search: Search,
    out: Path,
    *,
    trials: int,
    workers: int,
    timeout_minutes: float | None,
    console: Console,
) -> Tuning:
    """Run trials until the study in `out` has so many, or the time is up, and return all of them.

    SettingsError if `out` holds another study or one that is being tuned; TrainingError if no trial succeeded;
    TrainingInterruptedError after Ctrl-C, from which the same call resumes.
    """
    if trials < 1 or workers < 1:
        raise SettingsError(f"--trials {trials}, --workers {workers}: give 1 or more of each")
    if timeout_minutes is not None and timeout_minutes <= 0:
        raise SettingsError(f"--timeout-minutes {timeout_minutes:g}: give a number above 0")
    with needs_extra("train", "tuning"):
        import optuna
        import tomli_w  # noqa: F401  # needed at the very end, where it must not turn out to be missing
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    has_begun(out, HEAD_NAME, of="study", resume=True)
    with _locked(out):
        console.print(f"[bold]{search.recipe.name}[/bold]: reading {search.recipe.data.name}")
        splits = read_splits(search)
        _begin(search, out, splits)
        _train_others(search, out, console)
        requeue_unfinished(open_study(out))
        console.print(
            f"{search.model}: {search.objective.replace('_', ' ')} on {splits.validation.num_rows:,} validation "
            f"reviews; {', '.join(search.space)}"
        )
        deadline = None if timeout_minutes is None else time.time() + 60 * timeout_minutes
        try:
            run_trials(search, out, splits, trials=trials, workers=workers, deadline=deadline, console=console)
        except (KeyboardInterrupt, TrainingInterruptedError):
            requeue_unfinished(open_study(out))
            done = len(_write(search, out).trials)
            raise TrainingInterruptedError(
                f"interrupted after {done} of {trials} trials, which are kept in {out}; the same command resumes"
            ) from None
        tuning = _write(search, out)
    if not tuning.ranked:
        reason = next((trial.reason for trial in tuning.trials if trial.reason), "there was no time for any")
        raise TrainingError(f"{out}: none of {len(tuning.trials)} trials succeeded; the first: {reason}")
    return tuning


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep a second command from mistaking this one's running trials for those that a killed one left."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = (out / ".lock").open("w")
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}); {HINT}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SettingsError(f"{out}: is being tuned right now; wait, or use --workers for more at once") from None
        yield


def _begin(search: Search, out: Path, splits: Splits) -> None:
    """Create the study, whose first trial has the recipe's own settings; or check that it is this one."""
    import optuna

    head = {
        "format": FORMAT,
        "recipe": search.recipe.resolved(),
        "model": search.model,
        "space": search.space_as_json(),
        "objective": search.objective,
        "seed": search.seed,
        "data_digest": splits.digest,
    }
    path = out / HEAD_NAME
    if path.exists():
        try:
            before = json.loads(path.read_bytes())
        except ValueError:
            raise DataError(f"{path}: damaged; give another --out") from None
        refuse_change(out, before, head, of="study")
    else:
        write_text(path, json.dumps(head, indent=1, ensure_ascii=False) + "\n")
    storage = optuna_storage(out)
    if not any(study.study_name == STUDY_NAME for study in optuna.get_all_study_summaries(storage)):
        direction: Literal["maximize", "minimize"] = "maximize" if search.objective == "accuracy" else "minimize"
        study = optuna.create_study(storage=storage, study_name=STUDY_NAME, direction=direction)
        if params := recipe_params(search.recipe.models[search.model], search.space):
            study.enqueue_trial(params)


def _train_others(search: Search, out: Path, console: Console) -> None:
    """Train what the model is made of."""
    models = search.recipe.models
    needed: set[str] = set()
    for name in reversed(models):  # what a model is made of comes before it
        if name == search.model or name in needed:
            needed |= {other for other in models[name].made_of if other in models}
    if needed:
        wanted = [name for name in models if name in needed]
        runs.train(search.recipe, out / "others", resume=True, console=console, wanted=wanted)


def _write(search: Search, out: Path) -> Tuning:
    """Write what the study has found so far, and return it."""
    import tomli_w

    study = open_study(out)
    trials = finished_trials(study, search)
    importance, reason = _importance(study, search)
    tuning = Tuning(search, tuple(trials), importance, reason)
    write_text(out / "tune.json", json.dumps(tuning.as_json(), indent=1, ensure_ascii=False) + "\n")
    if tuning.ranked:
        best = tuning.ranked[0]
        write_text(
            out / "best.toml",
            f"# {search.recipe.name} with the best settings of {search.model} out of {len(trials)} trials: "
            f"{best.accuracy:.2%} accuracy on validation, log loss {best.log_loss:.4f}.\n"
            f"{tomli_w.dumps(search.best_tables(best.values))}",
        )
    return tuning


def _importance(study: "Study", search: Search) -> tuple[dict[str, float] | None, str | None]:
    """Return each setting's share of the variation by functional ANOVA (Hutter et al. 2014), or why it is unknown."""
    import optuna

    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(search.space) < 2:
        return None, "there is only one"
    if len(complete) < 4:
        return None, f"that takes 4 complete trials, and there are {len(complete)}"
    if len({trial.value for trial in complete}) < 2:
        return None, "all trials had the same score"
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=search.seed)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: round(share, 4) for name, share in shares.items()}, None
