"""Evaluation: every model's figures, significant differences, calibration, abstention."""

from collections.abc import Sequence

from plaudit.evaluate.analysis import Analysis, ModelAnalysis
from plaudit.evaluate.classes import FEW_TEXTS, class_figures, confusions, largest_class
from plaudit.evaluate.results import BASELINE
from plaudit.report import figures
from plaudit.report.document import Block, Figure, Heading, Paragraph, Section, SideBySide, Table, columns, literal
from plaudit.report.leaderboard import Entry, Leaderboard
from plaudit.report.numbers import bare_percent, duration, interval, percent, points, rate, size
from plaudit.report.run_folder import RunFolder
from plaudit.report.scatter import accuracy_against_speed

MAX_LINES = 4
"""Models in a line chart; more could not be told apart."""
MAX_COMPARED = 8

MAX_CONFUSION = 8
"""Classes in a confusion table; of more, only the most frequent confusions are listed."""
MAX_CLASSES = 20
NUM_CONFUSIONS = 10
ENOUGH_TEXTS = 300
"""With fewer, the bins of a reliability diagram hold too few texts each to show a trend."""

_EXPLANATION = (
    "The interval is Wilson's 95 % interval over texts; bootstrap intervals of all metrics, which resample whole "
    "groups, are in `results.json`. F1 is the mean over the classes; ECE, the expected calibration error, the mean gap "
    "between confidence and accuracy over 15 bins."
)
_SEEDS = (
    "For several seeds, accuracy is the mean, with Student's interval over seeds, and the other figures are the first "
    "seed's."
)
_SPEED = (
    "Texts/s is the median of repeated passes over many texts; p50 and p99 are latencies of a single text. Speeds are "
    "of one machine; if it is shared, they vary by a third from hour to hour."
)

_DIAGRAM = (
    "On the dotted line, 80 % of the predictions made with a confidence of 80 % are correct. Larger points stand for "
    "more texts."
)


def evaluation(runs: Sequence[RunFolder], boards: Sequence[Leaderboard]) -> Section:
    """Scores beside baselines, class by class, comparisons, calibration and abstention."""
    blocks: list[Block] = []
    for board in boards:
        blocks += _scores(board)
    seeds = f" {_SEEDS}" if any(map(_has_seeds, boards)) else ""
    blocks.append(Paragraph(_EXPLANATION + seeds, is_quiet=True))
    blocks += _classes(boards[0])
    analyses = [(run, run.analysis) for run in runs if run.analysis is not None]
    compared = [_comparisons(run, analysis) for run, analysis in analyses if analysis.comparisons]
    if compared:
        blocks += [Heading("Which differences are significant"), *compared]
    calibration = [block for run, analysis in analyses for block in _calibration(run, analysis)]
    if calibration:
        blocks += [Heading("Calibration and abstention"), *calibration]
    return Section("evaluation", "How good it is", tuple(blocks))


def most_accurate(run: RunFolder, analysis: Analysis, count: int) -> list[ModelAnalysis]:
    """Return the analyses of a run's `count` most accurate models without baselines, in the order of the file."""
    baselines = {result.model for result in run.results if result.kind == BASELINE}
    accuracy = {result.model: result.accuracy for result in run.results if result.split == analysis.split}
    models = [model for model in analysis.models if model.model not in baselines]
    best = sorted(models, key=lambda model: -accuracy.get(model.model, 0.0))[:count]
    return [model for model in models if model in best]


def _scores(board: Leaderboard) -> list[Block]:
    shows_run, shows_seeds = board.has_several_runs, _has_seeds(board)
    names = ("Model", "Run") if shows_run else ("Model",)
    seeds = ("#Seeds",) if shows_seeds else ()
    quality = (*names, *seeds, "#Accuracy, %", "#95 % interval", "#F1, %", "#AUC", "#Log loss", "#Brier", "#ECE, %")
    rows = [
        (*_names(entry, shows_run=shows_run), *([str(len(entry.results))] if shows_seeds else []), *_quality(entry))
        for entry in board.entries
    ]
    if not any(_is_constant(entry) for entry in board.entries):
        rows.append(_guessing(board, num_empty=len(names) - 1 + len(seeds)))
    blocks: list[Block] = [
        Table(f"{literal(board.data)}, {board.split}: {board.n:,} texts", columns(*quality), tuple(rows))
    ]
    if len(board.models) > 1:
        cost = ("Kind", "#Texts/s", "#Cores busy", "#p50, ms", "#p99, ms", "#Size", "#Parameters", "#Training")
        rows = [(*_names(entry, shows_run=shows_run), *_cost(entry)) for entry in board.models]
        blocks += [Table("Speed and size", columns(*names, *cost), tuple(rows)), Paragraph(_SPEED, is_quiet=True)]
        described = ", ".join(entry.name for entry in board.models)
        caption = (
            f"Accuracy against speed on {literal(board.data)}, {board.split}, with 95 % intervals; up and to the right "
            "is better. Models that no other beats in both are labelled; point at the others for their names."
        )
        label = f"Accuracy against texts per second of {described}; the figures are in the tables above"
        blocks.append(Figure(accuracy_against_speed(board.models), label, caption))
    return blocks


def _quality(entry: Entry) -> tuple[str, ...]:
    result = entry.first
    accuracy = bare_percent(entry.accuracy)
    return (
        accuracy if entry.is_baseline else f"**{accuracy}**",
        interval(entry.interval),
        bare_percent(result.f1),
        "–" if result.auc is None else f"{result.auc:.4f}",
        f"{result.log_loss:.4f}",
        f"{result.brier:.4f}",
        bare_percent(result.ece) + (f" ({result.calibration})" if result.calibration else ""),
    )


def _has_seeds(board: Leaderboard) -> bool:
    return any(len(entry.results) > 1 for entry in board.entries)


def _is_constant(entry: Entry) -> bool:
    """Say whether it predicted one class for every text."""
    return sum(any(column) for column in zip(*entry.first.confusion, strict=True)) == 1


def _guessing(board: Leaderboard, *, num_empty: int) -> tuple[str, ...]:
    """Return the row of always guessing the largest class, whose accuracy and F1 follow from the labels alone."""
    result = board.best.first
    label, share = largest_class(result)
    f1 = 2 * share / (1 + share) / len(result.labels)
    name = (f"always “{literal(label)}”", *["–"] * num_empty)
    return (*name, bare_percent(share), "–", bare_percent(f1), *["–"] * 4)


def _classes(board: Leaderboard) -> list[Block]:
    """Return what the best model does with each class, and which it confuses."""
    entry = board.best
    figures_of = class_figures(entry.first)
    shown = sorted(figures_of, key=lambda one: one.f1 or 0.0)[:MAX_CLASSES]
    rows = tuple(
        (
            literal(one.label),
            f"{one.n:,}",
            percent(one.n / board.n),
            *("–" if value is None else percent(value) for value in (one.recall, one.precision, one.f1)),
        )
        for one in figures_of
        if one in shown
    )
    which = f"the {MAX_CLASSES} weakest of {len(figures_of)} classes" if len(shown) < len(figures_of) else "each class"
    table = Table(
        f"{literal(board.name_of(entry))} on {which}: recall is the share of its texts that are found, "
        "precision the share of predictions of it that are right",
        columns("Class", "#Texts", "#Share", "#Recall", "#Precision", "#F1"),
        rows,
    )
    others = board.models[1:MAX_LINES] if len(figures_of) <= MAX_CONFUSION else ()
    confusion = _confusion(board, entry)
    beside = (table, confusion) if confusion.rows else (table,)
    blocks: list[Block] = [Heading("Class by class"), SideBySide(beside)]
    if others:
        blocks.append(SideBySide(tuple(_confusion(board, other) for other in others)))
    return blocks


def _confusion(board: Leaderboard, entry: Entry) -> Table:
    result = entry.first
    if len(result.labels) > MAX_CONFUSION:
        pairs = tuple(
            (literal(pair.label), literal(pair.predicted), f"{pair.count:,} of {pair.n:,}")
            for pair in confusions(result)[:NUM_CONFUSIONS]
        )
        return Table("The most frequent confusions", columns("Labelled", "Taken for", "#Texts"), pairs)
    shares = tuple(tuple(count / total if (total := sum(row)) else 0.0 for count in row) for row in result.confusion)
    rows = tuple(
        (literal(label), *(f"{count:,} ({percent(share, 0)})" for count, share in zip(row, part, strict=True)))
        for label, row, part in zip(result.labels, result.confusion, shares, strict=True)
    )
    caption = f"{literal(board.name_of(entry))}: labels in rows, predictions in columns; shaded by the share of the row"
    heads = columns("labelled", *(f"#{label}" for label in result.labels))
    return Table(caption, heads, rows, tuple((None, *part) for part in shares))


def _cost(entry: Entry) -> tuple[str, ...]:
    result = entry.first
    return (
        result.kind,
        rate(result.reviews_per_second),
        f"{result.hardware.cores_used:.1f}",
        rate(result.latency_ms.p50),
        rate(result.latency_ms.p99),
        size(result.size_bytes),
        f"{result.parameters:,}",
        "–" if result.train_seconds is None else duration(result.train_seconds),
    )


def _names(entry: Entry, *, shows_run: bool) -> tuple[str, ...]:
    run = (entry.runs[0] + (" …" if len(entry.runs) > 1 else ""),) if shows_run else ()
    return (literal(entry.first.model), *run)


def _comparisons(run: RunFolder, analysis: Analysis) -> Table:
    """Return the pairs among the most accurate models."""
    kept = {model.model for model in most_accurate(run, analysis, MAX_COMPARED)}
    baselines = {result.model for result in run.results if result.kind == BASELINE}
    rows = tuple(
        (
            pair.first,
            pair.second,
            points(pair.difference),
            " to ".join(points(bound) for bound in pair.ci95),
            f"{pair.only_first_right:,} : {pair.only_second_right:,}",
            "< 0.0001" if pair.p_value < 0.0001 else f"{pair.p_value:.4f}",
        )
        for pair in analysis.comparisons
        if {pair.first, pair.second} <= kept | baselines and not {pair.first, pair.second} <= baselines
    )
    caption = (
        f"{run.name}: pairs of models on the same texts of {literal(analysis.data)}, {analysis.split}. Intervals: "
        "bootstrap over groups; p: McNemar's exact test, not corrected for the number of pairs"
    )
    heads = columns("Model", "Compared with", "#Difference, points", "#95 % interval", "#Only one correct", "#p")
    return Table(caption, heads, rows)


def _calibration(run: RunFolder, analysis: Analysis) -> list[Block]:
    models = most_accurate(run, analysis, MAX_LINES)
    if not models or _num_texts(models[0]) < FEW_TEXTS:
        return []
    results = {result.model: result for result in run.results if result.split == analysis.split}
    names = ", ".join(model.model for model in models)
    abstention = Figure(
        figures.coverage(models),
        f"Accuracy of {names} on the texts they are most confident about",
        f"{run.name}: accuracy if the model abstains on the least confident texts (`predict --abstain-below`).",
    )
    diagrams = tuple(
        Figure(
            figures.reliability_diagram(model.reliability),
            f"Accuracy by confidence of {model.model} ({run.name})",
            f"{literal(model.model)} ({run.name})"
            + (
                f": expected calibration error {percent(results[model.model].ece, 2)}" if model.model in results else ""
            ),
        )
        for model in models
        if _num_texts(model) >= ENOUGH_TEXTS
    )
    if not diagrams:
        return [abstention]
    if len(models) == 1:
        return [SideBySide((*diagrams, abstention)), Paragraph(_DIAGRAM, is_quiet=True)]
    return [SideBySide(diagrams), Paragraph(_DIAGRAM, is_quiet=True), abstention]


def _num_texts(model: ModelAnalysis) -> int:
    return sum(count for count, _, _ in model.reliability)
