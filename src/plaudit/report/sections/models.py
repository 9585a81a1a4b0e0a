"""The data, each model's settings, and its training."""

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.data.quality.report import QualityReport
from plaudit.report import figures
from plaudit.report.document import Block, Figure, Missing, Paragraph, Section, SideBySide, Table, columns
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
    "All models share one tokenizer. Validation reviews are held out of train by movie, where movies are known, and "
    "every choice is made on them. The test split is scored once for each finished model. **bow** is an NB-weighted "
    "logistic regression on n-grams (Wang & Manning 2012), **lstm** reads word vectors, **docvec** "
    "learns a vector for each text (Thongtan & Phienthrakul 2019), **ensemble** adds the weighted logits of others."
)


def data(runs: Sequence[RunFolder]) -> Section:
    """Size, labels, duplicates and oddities of the reviews."""
    report = next((run.data for run in runs if run.data is not None), None)
    if report is None:
        return Section("data", "Data", (Missing("a description of the data", "data.json"),))
    blocks: list[Block] = [_splits(report)]
    rows = tuple(
        (
            f"{o.first}, {o.second}",
            f"{o.shared_texts:,}",
            f"{o.rows_in_first:,}",
            f"{o.rows_in_second:,}",
            f"{o.shared_groups:,}",
        )
        for o in report.overlaps
        if o.shared_texts
    )
    if rows:
        caption = "Texts in more than one split; training leaves out those that test or validation repeat"
        heads = columns("Splits", "#Texts", "#Rows in the first", "#Rows in the second", "#Groups in both")
        blocks.append(Table(caption, heads, rows))
    if report.dropped:
        reasons = ", ".join(f"{count:,} ({reason})" for reason, count in report.dropped.items())
        blocks.append(Paragraph(f"Dropped on loading: {reasons}."))
    labels = {"lengths": "Share of reviews by length in words", "ratings": "Reviews by rating"}
    charts = figures.data_charts(report)
    blocks.append(SideBySide(tuple(Figure(svg, f"{labels[name]}, for each split", "") for name, svg in charts.items())))
    return Section("data", "Data", tuple(blocks))


def _splits(report: QualityReport) -> Table:
    parts = list(report.splits.values())
    rows = [("reviews", *(f"{part.num_rows:,}" for part in parts))]
    rows += [(f"labelled {label}", *(f"{part.labels.get(label, 0):,}" for part in parts)) for label in report.labels]
    rows += [
        ("groups, such as movies", *(f"{part.num_groups:,}" for part in parts)),
        ("words, median", *(f"{part.num_words.median:,.0f}" for part in parts)),
        ("words, 95th percentile", *(f"{part.num_words.p95:,.0f}" for part in parts)),
    ]
    rows += [(problem, *(f"{part.problems()[problem]:,}" for part in parts)) for problem in parts[0].problems()]
    caption = f"{report.name}: {report.num_rows:,} reviews as loaded, sha256 `{report.digest[:12]}`"
    return Table(caption, columns("", *(f"#{name}" for name in report.splits)), tuple(rows))


def method(boards: Sequence[Leaderboard]) -> Section:
    """What each model is and how it was made, by its settings."""
    models = {entry.name: entry.first for board in boards for entry in board.entries}
    rows = []
    for name, result in models.items():
        settings = (result.recipe or {}).get("models", {}).get(result.model)
        if settings is not None:
            rows.append((name, result.kind, _origin(settings), _settings(result.kind, settings)))
    if not rows:
        return Section("method", "Method", (Paragraph(_METHOD), Missing("the settings", "the recipe in results.json")))
    table = Table("The models", columns("Model", "Kind", "Made from", "Settings"), tuple(rows))
    return Section("method", "Method", (Paragraph(_METHOD), table))


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
        if result.train_seconds is not None
    )
    if times:
        caption = "Training time, including that of the models it is made from"
        blocks.append(Table(caption, columns("Model", "Run", "#Training", "#Seed"), times))
    logs = [(run, model, events) for run in runs for model, events in run.training.items()]
    if not logs:
        source = "training/MODEL/metrics.jsonl"
        blocks.append(Missing("learning curves, which only models trained step by step have", source))
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
