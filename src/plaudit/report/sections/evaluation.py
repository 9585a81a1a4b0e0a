"""Evaluation: every model's figures, significant differences, calibration, abstention."""

from collections.abc import Sequence

from plaudit.evaluate.analysis import Analysis, ModelAnalysis
from plaudit.report import figures
from plaudit.report.document import Block, Figure, Heading, Missing, Paragraph, Section, SideBySide, Table, columns
from plaudit.report.leaderboard import Entry, Leaderboard
from plaudit.report.numbers import bare_percent, duration, interval, percent, points, rate, size
from plaudit.report.run_folder import RunFolder
from plaudit.report.scatter import accuracy_against_speed

MAX_LINES = 4
"""Models in a line chart; more could not be told apart."""
MAX_COMPARED = 8

_EXPLANATION = (
    "The interval of a model trained once is Wilson's 95 % interval over reviews. For several seeds, accuracy is the "
    "mean, with Student's interval over seeds, and the other figures are the first seed's. Bootstrap intervals of all "
    "metrics, which resample whole movies, are in `results.json`. ECE, the expected calibration error, is the mean gap "
    "between confidence and accuracy over 15 bins. Reviews/s is the median of repeated passes over many reviews; p50 "
    "and p99 are latencies of a single review."
)


def evaluation(runs: Sequence[RunFolder], boards: Sequence[Leaderboard]) -> Section:
    """Scores, comparisons, calibration and abstention."""
    blocks: list[Block] = []
    for board in boards:
        blocks += _scores(board)
    blocks.append(Paragraph(_EXPLANATION, is_quiet=True))
    analyses = [(run, run.analysis) for run in runs if run.analysis is not None]
    blocks.append(Heading("Which differences are significant"))
    compared = [_comparisons(run, analysis) for run, analysis in analyses if analysis.comparisons]
    blocks += compared or [Missing("comparisons of models on the same reviews", "analysis.json of two models or more")]
    blocks.append(Heading("Calibration and abstention"))
    for run, analysis in analyses:
        blocks += _calibration(run, analysis)
    if analyses:
        text = (
            "On the dotted line, 80 % of the predictions made with a confidence of 80 % are correct. "
            "Larger points stand for more reviews."
        )
        blocks.append(Paragraph(text, is_quiet=True))
    else:
        blocks.append(Missing("calibration and abstention", "analysis.json"))
    return Section("evaluation", "Evaluation", tuple(blocks))


def most_accurate(run: RunFolder, analysis: Analysis, count: int) -> list[ModelAnalysis]:
    """Return the analyses of a run's `count` most accurate models, in the order of the file."""
    accuracy = {result.model: result.accuracy for result in run.results if result.split == analysis.split}
    best = sorted(analysis.models, key=lambda model: -accuracy.get(model.model, 0.0))[:count]
    return [model for model in analysis.models if model in best]


def _scores(board: Leaderboard) -> list[Block]:
    quality = ("Model", "Run", "#Seeds", "#Accuracy, %", "#95 % interval", "#F1, %", "#AUC", "#Log loss", "#Brier")
    cost = ("Model", "Run", "Kind", "#Reviews/s", "#Cores busy", "#p50, ms", "#p99, ms", "#Size", "#Parameters")
    blocks: list[Block] = [
        Table(
            f"{board.data}, {board.split}: {board.n:,} reviews",
            columns(*quality, "#ECE, %"),
            tuple(_quality(entry) for entry in board.entries),
        ),
        Table("Speed and size", columns(*cost, "#Training"), tuple(_cost(entry) for entry in board.entries)),
    ]
    if len(board.entries) > 1:
        names = ", ".join(entry.name for entry in board.entries)
        caption = (
            f"Accuracy against speed on {board.data}, {board.split}, with 95 % intervals; up and to the right is "
            "better. Models that no other beats in both are labelled; point at the others for their names."
        )
        label = f"Accuracy against reviews per second of {names}; the figures are in the tables above"
        blocks.append(Figure(accuracy_against_speed(board.entries), label, caption))
    return blocks


def _quality(entry: Entry) -> tuple[str, ...]:
    result = entry.first
    return (
        *_names(entry),
        str(len(entry.results)),
        f"**{bare_percent(entry.accuracy)}**",
        interval(entry.interval),
        bare_percent(result.f1),
        "–" if result.auc is None else f"{result.auc:.4f}",
        f"{result.log_loss:.4f}",
        f"{result.brier:.4f}",
        bare_percent(result.ece) + (f" ({result.calibration})" if result.calibration else ""),
    )


def _cost(entry: Entry) -> tuple[str, ...]:
    result = entry.first
    return (
        *_names(entry),
        result.kind,
        rate(result.reviews_per_second),
        f"{result.hardware.cores_used:.1f}",
        rate(result.latency_ms.p50),
        rate(result.latency_ms.p99),
        size(result.size_bytes),
        f"{result.parameters:,}",
        "–" if result.train_seconds is None else duration(result.train_seconds),
    )


def _names(entry: Entry) -> tuple[str, str]:
    return entry.first.model, entry.runs[0] + (" …" if len(entry.runs) > 1 else "")


def _comparisons(run: RunFolder, analysis: Analysis) -> Table:
    """Return the pairs among the most accurate models."""
    kept = {model.model for model in most_accurate(run, analysis, MAX_COMPARED)}
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
        if {pair.first, pair.second} <= kept
    )
    caption = (
        f"{run.name}: pairs of models on the same reviews of {analysis.data}, {analysis.split}. Intervals: bootstrap "
        "over movies; p: McNemar's exact test, not corrected for the number of pairs"
    )
    heads = columns("Model", "Compared with", "#Difference, points", "#95 % interval", "#Only one correct", "#p")
    return Table(caption, heads, rows)


def _calibration(run: RunFolder, analysis: Analysis) -> list[Block]:
    models = most_accurate(run, analysis, MAX_LINES)
    ece = {result.model: result.ece for result in run.results if result.split == analysis.split}
    diagrams = tuple(
        Figure(
            figures.reliability_diagram(model.reliability),
            f"Accuracy by confidence of {model.model} ({run.name})",
            f"{model.model} ({run.name})"
            + (f": expected calibration error {percent(ece[model.model], 2)}" if model.model in ece else ""),
        )
        for model in models
    )
    names = ", ".join(model.model for model in models)
    label = f"Accuracy of {names} on the reviews they are most confident about"
    caption = f"{run.name}: accuracy if the model abstains on the least confident reviews (`predict --abstain-below`)."
    return [SideBySide(diagrams), Figure(figures.coverage(models), label, caption)]
