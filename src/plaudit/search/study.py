"""One study of `plaudit tune`: what is searched, Optuna's record of it, and what a trial does."""

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
from rich.console import Console

from plaudit.bundle.locate import model_folder
from plaudit.data.load import load_dataset
from plaudit.data.splits import Splits, prepare
from plaudit.data.table import SCHEMA
from plaudit.errors import OutputError, SettingsError, TrainingError, TrainingInterruptedError
from plaudit.evaluate.metrics import accuracy, log_loss
from plaudit.pipeline.build import build
from plaudit.pipeline.recipe import Recipe, missing_extra, read_recipe
from plaudit.search.space import Space, decoded, distributions, entry_with, read_space, with_values
from plaudit.settings import override, read_toml, unknown_name
from plaudit.train.context import EpochEnd, TrainingContext

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial


HINT = "give a folder with room as --out"
Objective = Literal["accuracy", "log_loss"]
STUDY_NAME = "plaudit"
_STARTUP_TRIALS = 5
"""Trials that are drawn at random, and that are never stopped early, before others are judged by them."""


@dataclass(frozen=True)
class Plan:
    """What is searched: `tables` are the recipe's as written, with assignments applied."""

    path: str
    recipe: Recipe
    tables: Mapping[str, Any]
    model: str
    objective: Objective
    seed: int
    space: Space
    whole: frozenset[str]

    @property
    def trial_table(self) -> dict[str, Any]:
        """The model's table as trials have it: fitted on train alone, its probabilities its own."""
        table = {key: value for key, value in self.tables["models"][self.model].items() if key != "calibrate"}
        is_refitted = hasattr(self.recipe.models[self.model].model, "refit")
        return with_values(table, {"refit": False} if is_refitted else {})

    def best_tables(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the recipe's tables with these settings of the model."""
        models = {**self.tables["models"], self.model: with_values(self.tables["models"][self.model], values)}
        return {**self.tables, "seed": self.seed, "models": models}


@dataclass(frozen=True)
class TrialResult:
    """One finished trial; `reason` is why it failed. Figures are those on validation, of a stopped one its last."""

    number: int
    state: Literal["complete", "pruned", "failed"]
    values: Mapping[str, Any]
    accuracy: float | None
    log_loss: float | None
    seconds: float
    epochs: int | None
    reason: str | None


def plan(path: Path, assignments: list[str], *, model: str, objective: str, seed: int | None) -> Plan:
    """Check what is to be searched; SettingsError names the setting or range that is wrong."""
    if objective not in get_args(Objective):
        raise SettingsError(f"--objective {objective}: give {' or '.join(get_args(Objective))}")
    recipe = read_recipe(path, assignments)
    tables = override(read_toml(path), assignments)
    if model not in recipe.models:
        raise SettingsError(f"{path}: models.{model} {unknown_name(model, recipe.models)}")
    if recipe.models[model].is_language_model:
        raise SettingsError(f"{path}: models.{model} is a language model; tune one that learns labels")
    space, whole = read_space(recipe.tune, model, tables["models"], source=str(path))
    seed = recipe.seed if seed is None else seed
    return Plan(str(path), recipe, tables, model, cast(Objective, objective), seed, space, whole)


def read_splits(plan: Plan) -> Splits:
    """Return the reviews of a study, without those of the test split."""
    splits = prepare(load_dataset(plan.recipe.data), plan.recipe.data)
    return replace(splits, test=SCHEMA.empty_table())


def storage(out: Path) -> Any:  # noqa: ANN401  # Optuna's, whose import would cost every reader of this module
    """Return where Optuna keeps the study of a folder; OutputError if that cannot be written."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        return JournalStorage(JournalFileBackend(str(out / "study.journal")))
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}); {HINT}") from None


def open_study(plan: Plan, out: Path) -> "Study":
    """Return the study of a folder for this process."""
    import optuna

    pruner = optuna.pruners.MedianPruner(n_startup_trials=_STARTUP_TRIALS - 1, n_warmup_steps=2)  # not after one epoch
    return optuna.load_study(study_name=STUDY_NAME, storage=storage(out), pruner=pruner)


def give_up_unfinished(study: "Study") -> None:
    """Put the trials that a killed or interrupted search left aside, and their settings up for another one."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)


def run_trial(
    study: "Study", plan: Plan, splits: Splits, out: Path, *, ticket: int, heard: Callable[[int, EpochEnd], None]
) -> TrialResult:
    """Make and judge one model; `ticket`, how many trials came before, decides what the sampler draws.

    What is wrong with these settings alone is recorded as a failure. `heard` hears of every epoch of a network.
    """
    import optuna
    from optuna.trial import TrialState

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = optuna.samplers.TPESampler(
            seed=int(np.random.SeedSequence((plan.seed, ticket)).generate_state(1)[0]),
            n_startup_trials=_STARTUP_TRIALS,
            multivariate=True,  # a good learning rate depends on what else is drawn
        )
        trial = study.ask(distributions(plan.space, plan.whole))
    began = time.perf_counter()
    epochs: list[EpochEnd] = []

    def after_epoch(end: EpochEnd, is_last: bool) -> None:
        epochs.append(end)
        heard(trial.number, end)
        trial.report(end.accuracy if plan.objective == "accuracy" else end.loss, len(epochs))
        if not is_last and trial.should_prune():
            raise optuna.TrialPruned

    def record(**figures: float | str | None) -> None:
        # A reason comes last: with it, a trial counts as done.
        for name, value in {"seconds": round(time.perf_counter() - began, 2), "epochs": len(epochs), **figures}.items():
            trial.set_user_attr(name, value)

    try:
        right, loss = _judged(trial, plan, splits, out, after_epoch)
        record(accuracy=right, log_loss=loss)
        study.tell(trial, right if plan.objective == "accuracy" else loss)
    except optuna.TrialPruned:
        record(accuracy=epochs[-1].accuracy, log_loss=epochs[-1].loss)
        study.tell(trial, state=TrialState.PRUNED)
    except TrainingInterruptedError:
        raise
    except (SettingsError, TrainingError, MemoryError) as error:
        record(reason=str(error) or type(error).__name__)
        study.tell(trial, state=TrialState.FAIL)
    found = study.get_trials(deepcopy=False)[trial.number]
    result = _result(found, plan)
    assert result is not None
    return result


def _judged(
    trial: "Trial", plan: Plan, splits: Splits, out: Path, after_epoch: Callable[[EpochEnd, bool], None]
) -> tuple[float, float]:
    """Return accuracy and log loss on validation of a trial's model, whose files go once that is known."""

    def find(other: str) -> Path:
        return out / "others" / "models" / other if other in plan.recipe.models else model_folder(other)

    entry = entry_with(plan.trial_table, decoded(trial.params, plan.space), plan.model, source=plan.path)
    num_epochs = math.inf if entry.train is None else entry.train.epochs
    with TemporaryDirectory() as scratch:
        context = TrainingContext(
            plan.seed,
            Path(scratch) / plan.model,
            resume=False,
            console=Console(quiet=True),
            after_epoch=lambda end: after_epoch(end, end.epoch >= num_epochs),
        )
        try:
            trained = build(entry, splits, context, find=find)
        except ModuleNotFoundError as error:
            raise missing_extra(error) from None
    probabilities = trained.model.predict_proba(splits.validation["text"].to_pylist())
    labels = np.asarray(splits.validation["label"].to_numpy())
    if not np.isfinite(probabilities).all():
        raise TrainingError("its probabilities are not finite")
    return accuracy(labels, probabilities), log_loss(labels, probabilities)


def results(study: "Study", plan: Plan) -> list[TrialResult]:
    """Return the finished trials of a study in their order; those that were interrupted are none."""
    found = (_result(trial, plan) for trial in study.get_trials(deepcopy=False))
    return [trial for trial in found if trial is not None]


def _result(trial: "FrozenTrial", plan: Plan) -> TrialResult | None:
    states: dict[str, Literal["complete", "pruned", "failed"]] = {
        "COMPLETE": "complete",
        "PRUNED": "pruned",
        "FAIL": "failed",
    }
    state = states.get(trial.state.name)
    told = trial.user_attrs
    # Only a failure of its own has a reason; a trial that was interrupted comes again under another number.
    if state is None or (state == "failed" and "reason" not in told):
        return None
    return TrialResult(
        trial.number,
        state,
        decoded(trial.params, plan.space),
        accuracy=told.get("accuracy"),
        log_loss=told.get("log_loss"),
        seconds=told["seconds"],
        epochs=told["epochs"] or None,
        reason=told.get("reason"),
    )
