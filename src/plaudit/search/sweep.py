"""How far a model can be pruned: accuracy, speed and size for many ratios, in one shot and in stages, over seeds.

    OUT/sweep.jsonl   a row for each pruning, written as soon as it is measured, so that an interrupted sweep resumes
    OUT/sweep.svg     a chart of them

Accuracy is that on validation, which also chose the weights; the test split is never read.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from plaudit.bundle.folder import load_bundle, read_files, save_bundle
from plaudit.bundle.locate import model_folder
from plaudit.console import needs_extra
from plaudit.data.splits import Splits
from plaudit.errors import SettingsError
from plaudit.evaluate.speed import measure
from plaudit.pipeline.build import build
from plaudit.pipeline.compress import Task
from plaudit.pipeline.recipe import SmallerModel
from plaudit.predictor import load
from plaudit.search.sweep_results import SweepRow, summary
from plaudit.storage import append_row, begin_journal, read_journal, write_text
from plaudit.train.context import TrainingContext

if TYPE_CHECKING:
    from plaudit.compress.settings import PruneSettings

RATIOS = (0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
NUM_SEEDS = 3
ROWS_NAME = "sweep.jsonl"
_SPEED_SECONDS = 1.0


def sweep(task: Task, out: Path, *, console: Console) -> list[dict[str, Any]]:
    """Prune a model by every ratio, schedule and seed, and return the averages over seeds; `out` keeps each row.

    In one shot and in stages, a model is trained for the same number of epochs. SettingsError if the task gives a ratio
    itself, or `out` holds another sweep.
    """
    with needs_extra("report", "a sweep"):
        from plaudit.report.search_charts import pruning_sweep
    entry, settings = _checked(task)
    splits = task.splits(console)
    averages = summary(_prune_all(entry, settings, splits, out, console))
    write_text(out / "sweep.svg", pruning_sweep(averages))
    return averages


def _checked(task: Task) -> "tuple[SmallerModel, PruneSettings]":
    from plaudit.compress.prune import refuse_seen_validation

    entry = task.entry
    if not isinstance(entry, SmallerModel) or entry.prune is None:
        raise SettingsError("a sweep needs --method prune")
    settings = entry.prune
    if settings.ratio is not None or settings.max_accuracy_drop is not None:
        raise SettingsError("a sweep has its own ratios; leave out ratio and max_accuracy_drop")
    if settings.stages < 2:
        raise SettingsError(f"stages = {settings.stages}: a sweep compares one shot with stages; give 2 or more")
    refuse_seen_validation(load_bundle(model_folder(entry.source)).provenance, "a sweep")
    return entry, settings


def _prune_all(
    entry: SmallerModel, settings: "PruneSettings", splits: Splits, out: Path, console: Console
) -> list[SweepRow]:
    path, whole = out / ROWS_NAME, model_folder(entry.source)
    head = {"model": entry.source, "settings": settings.model_dump(mode="json"), "data_digest": splits.digest}
    rows = read_journal(path, SweepRow, head=head, of="sweep")
    if not rows:
        rows.append(_measure("whole", 0.0, 0, whole, splits))
        begin_journal(path, head)
        append_row(path, asdict(rows[-1]))
        console.print(f"{entry.source}: {rows[0].validation_accuracy:.2%} accuracy on validation before pruning")
    done = {(row.schedule, row.ratio, row.seed) for row in rows}
    is_trained = read_files(whole)[0].kind != "bow"
    remaining = [each for each in _variations(settings, is_trained=is_trained) if each[:3] not in done]
    for number, (schedule, ratio, seed, pruning) in enumerate(remaining, 1):
        step = entry.model_copy(update={"prune": pruning})
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            context = TrainingContext(seed, Path(scratch) / "training", resume=False, console=console)
            save_bundle(build(step, splits, context, find=model_folder), folder)
            row = _measure(schedule, ratio, seed, folder, splits)
        rows.append(row)
        append_row(path, asdict(row))
        console.print(
            f"{number}/{len(remaining)}: {schedule}, ratio {ratio:.0%}, seed {seed}: {row.validation_accuracy:.2%}, "
            f"{row.size_bytes / 1e6:.2f} MB, {row.reviews_per_second:,.0f} reviews/s"
        )
    return rows


def _variations(settings: "PruneSettings", *, is_trained: bool) -> Iterator[tuple[str, float, int, "PruneSettings"]]:
    """Yield schedule, ratio and seed of each pruning, and its settings."""
    one_shot = {"stages": 1, "epochs": settings.stages * settings.epochs} if is_trained else {"stages": 1}
    schedules: dict[str, dict[str, int]] = {"one shot": one_shot, "gradual": {}}
    # A model that is fitted in closed form comes out the same with every seed.
    for seed in range(NUM_SEEDS if is_trained else 1):
        for ratio in RATIOS:
            for schedule, changes in schedules.items():
                yield schedule, ratio, seed, settings.model_copy(update={"ratio": ratio, **changes})


def _measure(schedule: str, ratio: float, seed: int, folder: Path, splits: Splits) -> SweepRow:
    predictor = load(folder)
    texts = splits.validation["text"].to_pylist()
    right = predictor.predict_proba(texts).argmax(axis=1) == splits.validation["label"].to_numpy()
    speed = measure(predictor.predict_proba, texts, seconds=_SPEED_SECONDS)
    return SweepRow(
        schedule,
        ratio,
        seed,
        validation_accuracy=float(right.mean()),
        size_bytes=predictor.size_bytes,
        parameters=predictor.num_parameters,
        reviews_per_second=speed.reviews_per_second,
    )
