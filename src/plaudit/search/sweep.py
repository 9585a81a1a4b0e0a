"""How far a model can be pruned: accuracy, speed and bytes against the ratio, in one shot and in stages, over seeds.

    OUT/sweep.jsonl   one row a pruning, written as soon as it is measured, so that a sweep that was cut short goes on
    OUT/sweep.svg     the same, drawn

Accuracy is that on validation, which also chose the weights; the test split has no part in it.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from plaudit.bundle.folder import load_bundle, save_bundle
from plaudit.data.splits import Splits
from plaudit.errors import SettingsError
from plaudit.evaluate.speed import measure
from plaudit.pipeline.build import build
from plaudit.pipeline.recipe import ModelRecipe
from plaudit.predictor import load
from plaudit.search.sweep_results import SweepRow
from plaudit.storage import append_row, begin_journal, read_journal
from plaudit.train.context import TrainingContext

if TYPE_CHECKING:
    from plaudit.compress.settings import PruneSettings

RATIOS = (0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
NUM_SEEDS = 3
ROWS_NAME = "sweep.jsonl"
_SPEED_SECONDS = 1.0


def sweep(
    entry: ModelRecipe, splits: Splits, out: Path, *, find: Callable[[str], Path], console: Console
) -> list[SweepRow]:
    """Prune one model by every ratio, schedule and seed, and return what came out; `out` keeps each row.

    In one shot and in stages, a model is trained for the same number of epochs. SettingsError if the recipe step gives
    a ratio of its own, or `out` holds another sweep.
    """
    from plaudit.compress.prune import refuse_seen_validation
    from plaudit.compress.settings import PruneSettings

    settings = entry.compress
    if not isinstance(settings, PruneSettings):
        raise SettingsError("a sweep is of method prune")
    if settings.ratio is not None or settings.max_accuracy_drop is not None:
        raise SettingsError("a sweep tries ratios of its own; leave out ratio and max_accuracy_drop")
    if settings.stages < 2:
        raise SettingsError(f"stages = {settings.stages}: a sweep compares one shot with stages; give 2 or more")
    assert entry.source is not None
    whole = load_bundle(find(entry.source))
    refuse_seen_validation(whole.provenance, "a sweep")
    path = out / ROWS_NAME
    head = {"model": entry.source, "settings": settings.model_dump(mode="json"), "data_digest": splits.digest}
    rows, changed = read_journal(path, SweepRow, head=head, of="sweep")
    if changed is not None:
        raise SettingsError(f"{path}: is a sweep of another model, other settings or data; give another --out")
    if not rows:
        rows.append(_measured("whole", 0.0, 0, find(entry.source), splits))
        begin_journal(path, head)
        append_row(path, asdict(rows[-1]))
        console.print(f"{whole.manifest.kind}: {rows[0].validation_accuracy:.2%} of validation before pruning")
    done = {(row.schedule, row.ratio, row.seed) for row in rows}
    plans = _plans(settings, has_epochs=whole.manifest.kind != "bow")
    todo = [plan for plan in plans if plan[:3] not in done]
    for number, (schedule, ratio, seed, pruning) in enumerate(todo, 1):
        step = ModelRecipe(None, entry.source, entry.train, "prune", pruning)
        with tempfile.TemporaryDirectory() as scratch:
            context = TrainingContext(seed, Path(scratch) / "training", resume=False, console=console)
            folder = Path(scratch) / "model"
            save_bundle(build(step, splits, context, find=find), folder)
            rows.append(_measured(schedule, ratio, seed, folder, splits))
        append_row(path, asdict(rows[-1]))
        console.print(
            f"{number}/{len(todo)}: {schedule}, ratio {ratio:.0%}, seed {seed}: "
            f"{rows[-1].validation_accuracy:.2%}, {rows[-1].size_bytes / 1e6:.2f} MB, "
            f"{rows[-1].reviews_per_second:,.0f} reviews/s"
        )
    return rows


def _plans(settings: "PruneSettings", *, has_epochs: bool) -> Iterator[tuple[str, float, int, "PruneSettings"]]:
    in_one = {"stages": 1, "epochs": settings.stages * settings.epochs} if has_epochs else {"stages": 1}
    schedules: dict[str, dict[str, int]] = {"one shot": in_one, "gradual": {}}
    # Without epochs a model is fitted in closed form: another seed changes nothing.
    for seed in range(NUM_SEEDS if has_epochs else 1):
        for ratio in RATIOS:
            for schedule, changes in schedules.items():
                yield schedule, ratio, seed, settings.model_copy(update={"ratio": ratio, **changes})


def _measured(schedule: str, ratio: float, seed: int, folder: Path, splits: Splits) -> SweepRow:
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
