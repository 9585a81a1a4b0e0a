"""`plaudit tune`: the settings of one model, searched by Optuna on validation; the test split is never read.

    OUT/study.json      what is searched; another recipe, model, objective or seed is refused
    OUT/study.journal   Optuna's own record, which several processes write to, and which outlives a kill
    OUT/others/         models that the tuned one is made of, trained once
    OUT/tune.json       every trial, which settings mattered, and the best ones
    OUT/best.toml       the recipe with the best settings

A study has so many trials in all: the same command again goes on to that number. The sampler is the tree-structured
Parzen estimator (Bergstra et al. 2011); a network that validates worse than the median of earlier trials did at the
same epoch is stopped, by the median rule of Vizier (Golovin et al. 2017).
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

from plaudit.data.splits import Splits
from plaudit.errors import (
    DataError,
    MissingExtraError,
    OutputError,
    SettingsError,
    TrainingError,
    TrainingInterruptedError,
)
from plaudit.pipeline import run as runs
from plaudit.search.space import start_of
from plaudit.search.study import (
    HINT,
    STUDY_NAME,
    Objective,
    Plan,
    TrialResult,
    give_up_unfinished,
    open_study,
    plan,
    read_splits,
    results,
    storage,
)
from plaudit.search.workers import search
from plaudit.storage import replacing

if TYPE_CHECKING:
    from optuna.study import Study

__all__ = ["Tuning", "plan", "tune"]

FORMAT = 1
HEAD_NAME = "study.json"


@dataclass(frozen=True)
class Tuning:
    """All trials of a study; `importance` is each setting's share of the objective's variation, greatest first."""

    plan: Plan
    trials: tuple[TrialResult, ...]
    importance: Mapping[str, float] | None
    no_importance: str | None
    """Why the importance is unknown."""

    @property
    def ranked(self) -> list[TrialResult]:
        """Complete trials, the best first; of equal accuracies the one of less log loss."""
        complete = [trial for trial in self.trials if trial.state == "complete"]
        return sorted(complete, key=lambda trial: _badness(trial, self.plan.objective))

    def as_json(self) -> dict[str, Any]:
        """Return the content of tune.json."""
        best = self.ranked[0] if self.ranked else None
        return {
            "format": FORMAT,
            "recipe": self.plan.recipe.name,
            "model": self.plan.model,
            "objective": self.plan.objective,
            "seed": self.plan.seed,
            "space": {path: ranges.model_dump(exclude_defaults=True) for path, ranges in self.plan.space.items()},
            "best": None if best is None else asdict(best),
            "importance": self.importance,
            "trials": [asdict(trial) for trial in self.trials],
        }


def _badness(trial: TrialResult, objective: Objective) -> tuple[float, float]:
    assert trial.accuracy is not None and trial.log_loss is not None
    return (-trial.accuracy, trial.log_loss) if objective == "accuracy" else (trial.log_loss, -trial.accuracy)


def tune(
    plan: Plan,
    out: Path,
    *,
    trials: int,
    workers: int,
    timeout_minutes: float | None,
    console: Console,
) -> Tuning:
    """Search until the study in `out` has so many trials, or no trial may begin any more, and return all of them.

    SettingsError if `out` holds another study or one that is being tuned; TrainingError if no trial succeeded;
    TrainingInterruptedError after Ctrl-C, from which the same call goes on.
    """
    if trials < 1 or workers < 1:
        raise SettingsError(f"--trials {trials}, --workers {workers}: give 1 or more of each")
    if timeout_minutes is not None and timeout_minutes <= 0:
        raise SettingsError(f"--timeout-minutes {timeout_minutes:g}: give a number above 0")
    try:
        import optuna
        import tomli_w  # noqa: F401  # what it is for comes last, and must not be missing then
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"this needs {error.name}: pip install 'plaudit[train]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _refuse_foreign(out)
    with _alone(out):
        console.print(f"[bold]{plan.recipe.name}[/bold]: reading {plan.recipe.data.name}")
        splits = read_splits(plan)
        _begin(plan, out, splits)
        _make_others(plan, out, console)
        study = open_study(plan, out)
        give_up_unfinished(study)
        remaining = trials - len(results(study, plan))
        console.print(
            f"{plan.model}: {plan.objective.replace('_', ' ')} on {splits.validation.num_rows:,} validation reviews; "
            f"{', '.join(plan.space)}"
        )
        try:
            if remaining > 0:
                deadline = None if timeout_minutes is None else time.time() + 60 * timeout_minutes
                search(plan, out, splits, trials=trials, workers=workers, deadline=deadline, console=console)
        except (KeyboardInterrupt, TrainingInterruptedError):
            give_up_unfinished(open_study(plan, out))
            done = len(_write(plan, out).trials)
            raise TrainingInterruptedError(
                f"interrupted after {done} of {trials} trials; {out} holds them: the same command goes on"
            ) from None
        tuning = _write(plan, out)
    if not tuning.ranked:
        reason = next((trial.reason for trial in tuning.trials if trial.reason), "no time was left for any")
        raise TrainingError(f"{out}: none of {len(tuning.trials)} trials succeeded; the first: {reason}")
    return tuning


def _refuse_foreign(out: Path) -> None:
    found = [entry.name for entry in out.iterdir() if not entry.name.startswith(".")] if out.is_dir() else []
    if found and HEAD_NAME not in found:
        raise SettingsError(f"{out}: is not empty and holds no study; give a new folder as --out")


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep a second command from taking this one's running trials for what a killed one left."""
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


def _begin(plan: Plan, out: Path, splits: Splits) -> None:
    """Write what is searched, or hold it to what was; begin a study with the recipe's own settings."""
    import optuna

    head = {
        "format": FORMAT,
        "recipe": plan.recipe.resolved(),
        "model": plan.model,
        "space": {path: ranges.model_dump(exclude_defaults=True) for path, ranges in plan.space.items()},
        "objective": plan.objective,
        "seed": plan.seed,
        "data_digest": splits.digest,
    }
    head = json.loads(json.dumps(head))
    path = out / HEAD_NAME
    if path.exists():
        try:
            before = json.loads(path.read_bytes())
            changed = next((name for name in head if before.get(name) != head[name]), None)
        except (ValueError, AttributeError):
            raise DataError(f"{path}: damaged; give another --out") from None
        if changed is not None:
            raise SettingsError(
                f"{out}: its study began with another {changed.replace('_', ' ')}; undo that, or give another --out"
            )
    else:
        with replacing(path, hint=HINT) as temporary:
            temporary.write_text(json.dumps(head, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if not any(study.study_name == STUDY_NAME for study in optuna.get_all_study_summaries(storage(out))):
        direction: Literal["maximize", "minimize"] = "maximize" if plan.objective == "accuracy" else "minimize"
        study = optuna.create_study(storage=storage(out), study_name=STUDY_NAME, direction=direction)
        if own := start_of(plan.recipe.models[plan.model], plan.space):
            study.enqueue_trial(own)


def _make_others(plan: Plan, out: Path, console: Console) -> None:
    """Train what the model is made of."""
    needed: set[str] = set()
    for name in reversed(plan.recipe.models):  # what a model is made of comes before it
        if name == plan.model or name in needed:
            needed |= {other for other in plan.recipe.models[name].made_of if other in plan.recipe.models}
    if needed:
        wanted = [name for name in plan.recipe.models if name in needed]
        runs.train(plan.recipe, out / "others", resume=True, console=console, wanted=wanted)


def _write(plan: Plan, out: Path) -> Tuning:
    """Write what the study has found so far, and return it."""
    import tomli_w

    study = open_study(plan, out)
    trials = results(study, plan)
    importance, why_not = _importance(study, plan)
    tuning = Tuning(plan, tuple(trials), importance, why_not)
    with replacing(out / "tune.json", hint=HINT) as temporary:
        temporary.write_text(json.dumps(tuning.as_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if tuning.ranked:
        best = tuning.ranked[0]
        reached = f"{best.accuracy:.2%} of validation, log loss {best.log_loss:.4f}"
        text = (
            f"# {plan.recipe.name} with the best settings of {plan.model} out of {len(trials)} trials: {reached}.\n"
            f"{tomli_w.dumps(plan.best_tables(best.values))}"
        )
        with replacing(out / "best.toml", hint=HINT) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return tuning


def _importance(study: "Study", plan: Plan) -> tuple[dict[str, float] | None, str | None]:
    """Return each setting's share of the variation by functional ANOVA (Hutter et al. 2014), or why it is unknown."""
    import optuna

    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(plan.space) < 2:
        return None, "there is one setting only"
    if len(complete) < 4:
        return None, f"{len(complete)} complete trials tell too little; it takes 4"
    if len({trial.value for trial in complete}) < 2:
        return None, "all trials came out the same"
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=plan.seed)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: round(share, 4) for name, share in shares.items()}, None
