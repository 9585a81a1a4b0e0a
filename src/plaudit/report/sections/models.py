"""Each model's settings, and its training."""

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.evaluate.results import BASELINE
from plaudit.report import figures
from plaudit.report.document import Block, Figure, Paragraph, Section, SideBySide, Table, columns
from plaudit.report.leaderboard import Leaderboard
from plaudit.report.numbers import dash, duration, percent, rate
from plaudit.report.run_folder import RunFolder

SHOWN_SETTINGS = {
    "bow": ("max_order", "min_count", "slot_bits", "inverse_regularization", "storage"),
    "lstm": ("vocabulary_size", "embedding_size", "hidden_size", "bidirectional", "max_tokens", "pooling"),
    "docvec": ("max_order", "embedding_size", "epochs"),
    "transformer": ("source", "max_tokens"),
    "ensemble": ("members",),
}
"""The settings of each kind that matter most."""

_METHOD = (
    "All models share one tokenizer. Validation texts are held out of train by group, where groups are known, and "
    "every choice is made on them. The test split is scored once for each finished model. **bow** is an NB-weighted "
    "logistic regression on n-grams (Wang & Manning 2012), **lstm** reads word vectors, **docvec** "
    "learns a vector for each text (Thongtan & Phienthrakul 2019), **ensemble** adds the weighted logits of others."
)


def method(boards: Sequence[Leaderboard]) -> Section:
    """What each model is and how it was made, by its settings."""
    models = {entry.name: entry.first for board in boards for entry in board.entries if not entry.is_baseline}
    rows = []
    for name, result in models.items():
        settings = (result.recipe or {}).get("models", {}).get(result.model)
        if settings is not None:
            rows.append((name, result.kind, _origin(settings), _settings(result.kind, settings)))
    if len(rows) < 2:  # of one model, the recipe says it all
        return Section("method", "The models", ())
    table = Table("The models", columns("Model", "Kind", "Made from", "Settings"), tuple(rows))
    return Section("method", "The models", (Paragraph(_METHOD), table))


def _origin(settings: Mapping[str, Any]) -> str:
    origin = [str(settings[name]) for name in ("from", "pretrained") if settings.get(name)]
    if "pretrain" in settings:
        origin.append("its own language model")
    if distill := settings.get("distill"):
        teachers = distill.get("teachers") or [distill.get("soft_labels") or "soft labels"]
        together = f" together with {distill['beside']}" if distill.get("beside") else ""
        origin.append(f"taught by {', '.join(map(str, teachers))}{together}")
    return ", ".join(origin) or "labels"


def _settings(kind: str, settings: Mapping[str, Any]) -> str:
    names = SHOWN_SETTINGS.get(kind, ())
    shown = [f"{name} {_formatted(settings[name])}" for name in names if settings.get(name) is not None]
    if train := settings.get("train"):
        shown.append(f"{train['epochs']} epochs, learning rate {train['max_learning_rate']:g}")
    for part in (settings.get(name) or {} for name in ("objective", "distill", "prune")):
        losses = part.get("losses") or (part.get("objective") or {}).get("losses") or {}
        shown += [" + ".join(f"{weight:g} {loss}" for loss, weight in losses.items())] if losses else []
    if (ratio := settings.get("prune", {}).get("ratio")) is not None:
        shown.append(f"{percent(ratio, 0)} pruned")
    if "quantize" in settings:
        shown.append("quantized")
    return ", ".join(shown).replace("_", " ") or "–"


def _formatted(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " + ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def training(runs: Sequence[RunFolder]) -> Section:
    """Training times and learning curves."""
    blocks: list[Block] = []
    times = tuple(
        (result.model, run.name, duration(result.train_seconds), dash(result.seed))
        for run in runs
        for result in run.results
        if result.train_seconds is not None and result.kind != BASELINE
    )
    if len(times) > 1:
        caption = "Training time, including that of the models it is made from"
        blocks.append(Table(caption, columns("Model", "Run", "#Training", "#Seed"), times))
    logs = [(run, model, events) for run in runs for model, events in run.training.items()]
    for run, model, events in logs:
        blocks += _learning(run, model, events)
    return Section("training", "Training", tuple(blocks))


def _learning(run: RunFolder, model: str, events: Sequence[Mapping[str, Any]]) -> list[Block]:
    blocks: list[Block] = []
    charts = ((quantity, figures.learning_curve(events, quantity)) for quantity in ("loss", "accuracy"))
    curves = tuple(
        Figure(
            svg,
            f"{quantity.capitalize()} of {model} by training step",
            f"{model} ({run.name}): {quantity} by training step",
        )
        for quantity, svg in charts
        if svg
    )
    if curves:
        blocks.append(SideBySide(curves))
    last = next((event for event in reversed(events) if event["event"] == "epoch"), None)
    if last is not None and last.get("validation_accuracy") is not None:
        accuracy = percent(last["validation_accuracy"], 2)
        speed = f", {rate(last['tokens_per_second'])} tokens a second" if last.get("tokens_per_second") else ""
        total = f", {duration(last['seconds'])} in all" if last.get("seconds") else ""
        blocks.append(Paragraph(f"{model} after the last epoch: {accuracy} accuracy on validation{speed}{total}."))
    return blocks
