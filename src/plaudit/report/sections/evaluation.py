"""Evaluation: every model's figures, which differences are real, calibration, abstention."""

from collections.abc import Sequence

from plaudit.evaluate.analysis import Analysis
from plaudit.report import figures
from plaudit.report.document import Block, Figure, Heading, Missing, Paragraph, Row, Section, Table, columns
from plaudit.report.evidence import Evidence, Run
from plaudit.report.numbers import bare_percent, duration, interval, percent, points, rate, size
from plaudit.report.scored import Group, Scored
from plaudit.report.speed_chart import accuracy_against_speed

MAX_LINES = 4
"""Models in a chart of lines; more could not be told apart."""
MAX_COMPARED = 8


def evaluation(evidence: Evidence, groups: Sequence[Group]) -> Section:
    """Results, comparisons, calibration and selective prediction."""
    blocks: list[Block] = []
    for group in groups:
        blocks += _results(group)
    blocks.append(
        Paragraph(
            "Accuracy of a model made once has Wilson's 95 % interval over reviews; of one made with several seeds "
            "it is the mean, with Student's interval over seeds, and the other figures are of the first seed. AUC, "
            "log loss, Brier score and ECE have bootstrap intervals that draw whole movies, in `results.json`. "
            "ECE, the expected calibration error, is the mean gap between confidence and accuracy over 15 bins. "
            "Reviews/s is the median of repeated passes over many reviews; p50 and p99 are the times of one review "
            "alone.",
            is_quiet=True,
        )
    )
    analyses = [(run, run.analysis) for run in evidence.runs if run.analysis is not None]
    blocks.append(Heading("Which differences are real"))
    if not any(analysis.comparisons for _, analysis in analyses):
        blocks.append(
            Missing("comparisons of models on the same reviews", "analysis.json of a run of two models or more")
        )
    for run, analysis in analyses:
        if analysis.comparisons:
            blocks.append(_comparisons(run, analysis))
    blocks.append(Heading("Calibration and abstention"))
    if not analyses:
        blocks.append(Missing("calibration and abstention", "analysis.json"))
    for run, analysis in analyses:
        blocks += _calibration(run, analysis)
    if analyses:
        blocks.append(
            Paragraph(
                "In the diagrams, of the reviews judged with a confidence of 80 %, 80 % should be right: on the dotted "
                "line. The larger a point, the more reviews it stands for.",
                is_quiet=True,
            )
        )
    return Section("evaluation", "Evaluation", tuple(blocks))


def _results(group: Group) -> list[Block]:
    found: list[Block] = [
        Table(
            f"{group.data}, {group.split}: {group.n:,} reviews",
            columns(
                *("Model", "Run", "#Seeds", "#Accuracy, %", "#95 % interval", "#F1, %", "#AUC"),
                *("#Log loss", "#Brier", "#ECE, %"),
            ),
            tuple(_quality(scored) for scored in group.scored),
        ),
        Table(
            "The same models: what they cost",
            columns(
                *("Model", "Run", "Kind", "#Reviews/s", "#Cores busy", "#p50, ms", "#p99, ms"),
                *("#Size", "#Parameters", "#Training"),
            ),
            tuple(_cost(scored) for scored in group.scored),
        ),
    ]
    if len(group.scored) > 1:
        names = ", ".join(scored.name for scored in group.scored)
        found.append(
            Figure(
                accuracy_against_speed(group.scored),
                f"Accuracy against reviews per second of {names}; the tables above hold the figures",
                f"Accuracy against speed on {group.data}, {group.split}. Bars are 95 % intervals; up and to the "
                "right is better. Named are those that no other model beats in both; point at the others for their "
                "names.",
            )
        )
    return found


def _quality(scored: Scored) -> tuple[str, ...]:
    result = scored.first
    return (
        *_named(scored),
        str(len(scored.results)),
        f"**{bare_percent(scored.accuracy)}**",
        interval(scored.interval),
        bare_percent(result.f1),
        "–" if result.auc is None else f"{result.auc:.4f}",
        f"{result.log_loss:.4f}",
        f"{result.brier:.4f}",
        bare_percent(result.ece) + (f" ({result.calibration})" if result.calibration else ""),
    )


def _cost(scored: Scored) -> tuple[str, ...]:
    result = scored.first
    return (
        *_named(scored),
        result.kind,
        rate(result.reviews_per_second),
        f"{result.hardware.cores_used:.1f}",
        rate(result.latency_ms.p50),
        rate(result.latency_ms.p99),
        size(result.size_bytes),
        f"{result.parameters:,}",
        "–" if result.train_seconds is None else duration(result.train_seconds),
    )


def _named(scored: Scored) -> tuple[str, str]:
    return scored.first.model, scored.runs[0] + (" …" if len(scored.runs) > 1 else "")


def _comparisons(run: Run, analysis: Analysis) -> Table:
    """The pairs among the most accurate models."""
    kept = most_accurate(run, analysis, MAX_COMPARED)
    pairs = [pair for pair in analysis.comparisons if pair.first in kept and pair.second in kept]
    rows = tuple(
        (
            pair.first,
            pair.second,
            points(pair.difference),
            "–".join(points(bound) for bound in pair.ci95).replace("–", " to "),
            f"{pair.only_first_right:,} : {pair.only_second_right:,}",
            "< 0.0001" if pair.p_value < 0.0001 else f"{pair.p_value:.4f}",
        )
        for pair in pairs
    )
    return Table(
        f"{run.name}: pairs of models on the same {analysis.data}, {analysis.split} reviews. Interval: bootstrap "
        "over movies; p: McNemar's exact test, not corrected for the number of pairs",
        columns("Model", "and", "#Points more", "#95 % interval", "#Only one right", "#p"),
        rows,
    )


def most_accurate(run: Run, analysis: Analysis, count: int) -> list[str]:
    """Return the names of a run's most accurate models, so many at most."""
    accuracy = {result.model: result.accuracy for result in run.results if result.split == analysis.split}
    return sorted((model.model for model in analysis.models), key=lambda name: -accuracy.get(name, 0.0))[:count]


def _calibration(run: Run, analysis: Analysis) -> list[Block]:
    models = [model for model in analysis.models if model.model in most_accurate(run, analysis, MAX_LINES)]
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
    return [
        Row(diagrams),
        Figure(
            figures.coverage(models),
            f"Accuracy of {', '.join(model.model for model in models)} on the reviews they are surest of",
            f"{run.name}: accuracy if the model abstains from what it is least sure of (`predict --abstain-below`).",
        ),
    ]
