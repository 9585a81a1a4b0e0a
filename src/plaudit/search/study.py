"""What `plaudit tune` searches, Optuna's record of it, and how one trial is trained and evaluated."""

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
from plaudit.pipeline.recipe import NewModel, Recipe, read_recipe
from plaudit.pipeline.shipped import find_recipe
from plaudit.search.space import Space, decoded, distributions, entry_with, read_space, with_values
from plaudit.settings import override, read_toml, unknown_name
from plaudit.storage import HINT
from plaudit.train.context import EpochEnd, TrainingContext

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

Objective = Literal["accuracy", "log_loss"]
STUDY_NAME = "plaudit"
_STARTUP_TRIALS = 5
"""The first trials, which are drawn at random and never stopped early."""


@dataclass(frozen=True)
class Search:
    """A model of a recipe, the space of its settings, and what is optimized on validation.

    `tables` are the recipe's as written, with assignments applied.
    """

    path: str
    recipe: Recipe
    tables: Mapping[str, Any]
    model: str
    objective: Objective
    seed: int
    space: Space

    @property
    def trial_table(self) -> dict[str, Any]:
        """The model's table for trials: fitted on train alone, its probabilities not calibrated."""
        table = {key: value for key, value in self.tables["models"][self.model].items() if key != "calibrate"}
        is_refitted = hasattr(getattr(self.recipe.models[self.model], "model", None), "refit")
        return with_values(table, {"refit": False} if is_refitted else {})

    def best_tables(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the recipe's tables with these settings of the model."""
        models = {**self.tables["models"], self.model: with_values(self.tables["models"][self.model], values)}
        return {**self.tables, "seed": self.seed, "models": models}

    def space_as_json(self) -> dict[str, Any]:
        """Return the ranges as they are stored."""
        return {path: ranges.model_dump(exclude_defaults=True) for path, ranges in self.space.items()}


@dataclass(frozen=True)
class TrialResult:
    """One finished trial, with its scores on validation, the last ones if it was stopped early."""

    number: int
    state: Literal["complete", "pruned", "failed"]
    values: Mapping[str, Any]
    accuracy: float | None
    log_loss: float | None
    seconds: float
    epochs: int | None
    reason: str | None
    """Why it failed."""


def read_search(path: Path, assignments: list[str], *, model: str, objective: str, seed: int | None) -> Search:
    """Check what is to be searched; SettingsError names the setting or range that is wrong."""
    if objective not in get_args(Objective):
        raise SettingsError(f"--objective {objective}: give {' or '.join(get_args(Objective))}")
    recipe = read_recipe(path, assignments)
    tables = override(read_toml(find_recipe(path)), assignments)
    if model not in recipe.models:
        raise SettingsError(f"{path}: models.{model} {unknown_name(model, recipe.models)}")
    if recipe.models[model].is_language_model:
        raise SettingsError(f"{path}: models.{model} is a language model; tune one that learns labels")
    space = read_space(recipe.tune, model, tables["models"], source=str(path))
    seed = recipe.seed if seed is None else seed
    return Search(str(path), recipe, tables, model, cast(Objective, objective), seed, space)


def read_splits(search: Search) -> Splits:
    """Return the reviews of a study, without those of the test split."""
    splits = prepare(load_dataset(search.recipe.data), search.recipe.data)
    return replace(splits, test=SCHEMA.empty_table())


def optuna_storage(out: Path) -> Any:  # noqa: ANN401  # Optuna's type, whose import would slow down every importer
    """Return where Optuna keeps the study of a folder; OutputError if that cannot be written."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        return JournalStorage(JournalFileBackend(str(out / "study.journal")))
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}); {HINT}") from None


def open_study(out: Path) -> "Study":
    """Return the study of a folder for this process."""
    import optuna

    pruner = optuna.pruners.MedianPruner(n_startup_trials=_STARTUP_TRIALS - 1, n_warmup_steps=2)  # not after one epoch
    return optuna.load_study(study_name=STUDY_NAME, storage=optuna_storage(out), pruner=pruner)


def requeue_unfinished(study: "Study") -> None:
    """Give up the trials that were cut short, and queue their settings for new ones."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)


def run_trial(
    study: "Study",
    search: Search,
    splits: Splits,
    out: Path,
    *,
    order: int,
    on_epoch: Callable[[int, EpochEnd], None],
) -> TrialResult:
    """Train and evaluate one model; `order`, the number of trials before it, seeds the sampler.

    An error that is due to these settings becomes a failed trial. `on_epoch` is called with the trial's number after
    every epoch of a network.
    """
    from optuna import TrialPruned
    from optuna.trial import TrialState

    trial = _next_trial(study, search, order)
    monitor = _Monitor(trial, search.objective, on_epoch)
    try:
        scores = _validation_scores(trial, search, splits, out, monitor)
        monitor.record(**scores)
        study.tell(trial, scores[search.objective])
    except TrialPruned:
        last = monitor.epochs[-1]
        monitor.record(accuracy=last.accuracy, log_loss=last.loss)
        study.tell(trial, state=TrialState.PRUNED)
    except TrainingInterruptedError:
        raise
    except (SettingsError, TrainingError, MemoryError) as error:
        monitor.record(reason=str(error) or type(error).__name__)
        study.tell(trial, state=TrialState.FAIL)
    result = _result(study.get_trials(deepcopy=False)[trial.number], search)
    assert result is not None
    return result


def _next_trial(study: "Study", search: Search, order: int) -> "Trial":
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = optuna.samplers.TPESampler(
            seed=int(np.random.SeedSequence((search.seed, order)).generate_state(1)[0]),
            n_startup_trials=_STARTUP_TRIALS,
            multivariate=True,  # a good learning rate depends on what else is drawn
        )
        return study.ask(distributions(search.space))


class _Monitor:
    """Reports to Optuna how a trial proceeds, and stops a network that does worse than others did."""

    def __init__(self, trial: "Trial", objective: Objective, on_epoch: Callable[[int, EpochEnd], None]) -> None:
        self.trial, self.objective, self.on_epoch = trial, objective, on_epoch
        self.began = time.perf_counter()
        self.epochs: list[EpochEnd] = []

    def after_epoch(self, end: EpochEnd, *, num_epochs: float) -> None:
        """Report an epoch; TrialPruned if it was not the last and training on is not worth it."""
        import optuna

        self.epochs.append(end)
        self.on_epoch(self.trial.number, end)
        self.trial.report(end.accuracy if self.objective == "accuracy" else end.loss, len(self.epochs))
        if end.epoch < num_epochs and self.trial.should_prune():
            raise optuna.TrialPruned

    def record(self, **figures: float | str | None) -> None:
        """Store a trial's figures; a reason comes last, since with it a trial counts as finished."""
        seconds = round(time.perf_counter() - self.began, 2)
        for name, value in {"seconds": seconds, "epochs": len(self.epochs), **figures}.items():
            self.trial.set_user_attr(name, value)


def _validation_scores(
    trial: "Trial", search: Search, splits: Splits, out: Path, monitor: _Monitor
) -> dict[Objective, float]:
    """Train a trial's model, evaluate it on validation, and leave none of its files behind."""

    def find(other: str) -> Path:
        return out / "others" / "models" / other if other in search.recipe.models else model_folder(other)

    entry = entry_with(search.trial_table, decoded(trial.params, search.space), search.model, source=search.path)
    num_epochs = entry.train.epochs if isinstance(entry, NewModel) and entry.train is not None else math.inf
    with TemporaryDirectory() as scratch:
        context = TrainingContext(
            search.seed,
            Path(scratch) / search.model,
            resume=False,
            console=Console(quiet=True),
            after_epoch=lambda end: monitor.after_epoch(end, num_epochs=num_epochs),
        )
        trained = build(entry, splits, context, find=find)
    probabilities = trained.model.predict_proba(splits.validation["text"].to_pylist())
    labels = np.asarray(splits.validation["label"].to_numpy())
    if not np.isfinite(probabilities).all():
        raise TrainingError("its probabilities are not finite")
    return {"accuracy": accuracy(labels, probabilities), "log_loss": log_loss(labels, probabilities)}


def finished_trials(study: "Study", search: Search) -> list[TrialResult]:
    """Return the finished trials of a study in their order, without those that were interrupted."""
    results = (_result(trial, search) for trial in study.get_trials(deepcopy=False))
    return [result for result in results if result is not None]


_STATES: dict[str, Literal["complete", "pruned", "failed"]] = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
}


def _result(trial: "FrozenTrial", search: Search) -> TrialResult | None:
    state, figures = _STATES.get(trial.state.name), trial.user_attrs
    # Only a trial that failed by itself has a reason; an interrupted one is tried again under another number.
    if state is None or (state == "failed" and "reason" not in figures):
        return None
    return TrialResult(
        trial.number,
        state,
        decoded(trial.params, search.space),
        accuracy=figures.get("accuracy"),
        log_loss=figures.get("log_loss"),
        seconds=figures["seconds"],
        epochs=figures["epochs"] or None,
        reason=figures.get("reason"),
    )
