"""Evaluation: every model's figures, which differences are real, calibration, abstention; then where models err."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from undertone.errors import DataError
from undertone.evaluate.analysis import Analysis, ModelAnalysis
from undertone.evaluate.mistakes import Errors
from undertone.evaluate.results import Result
from undertone.report import figures
from undertone.report.document import Block, Figure, Heading, Missing, Paragraph, Row, Section, Table, columns
from undertone.report.evidence import Evidence, Run
from undertone.report.numbers import bare_percent, dash, duration, excerpt, interval, percent, points, rate, size
from undertone.report.scored import Group, Scored
from undertone.report.speed_chart import accuracy_against_speed

NUM_MISTAKES = 10
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
    kept = _most_accurate(run, analysis, MAX_COMPARED)
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


def _most_accurate(run: Run, analysis: Analysis, count: int) -> list[str]:
    accuracy = {result.model: result.accuracy for result in run.results if result.split == analysis.split}
    return sorted((model.model for model in analysis.models), key=lambda name: -accuracy.get(name, 0.0))[:count]


def _calibration(run: Run, analysis: Analysis) -> list[Block]:
    models = [model for model in analysis.models if model.model in _most_accurate(run, analysis, MAX_LINES)]
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
        Paragraph(
            "In the diagrams, of the reviews judged with a confidence of 80 %, 80 % should be right: on the dotted "
            "line. The larger a point, the more reviews it stands for.",
            is_quiet=True,
        ),
    ]


def error_analysis(evidence: Evidence, groups: Sequence[Group], *, excerpt_characters: int) -> Section:
    """Confusion, accuracy by part of the data, and what the surest mistakes have in common."""
    blocks: list[Block] = [
        Paragraph(
            "Rows of a confusion table are true labels, columns predicted ones; shading is the share of the row."
        ),
        Row(tuple(_confusion(scored) for scored in groups[0].scored[:MAX_LINES])),
    ]
    analyses = [(run, run.analysis) for run in evidence.runs if run.analysis is not None]
    if not analyses:
        blocks.append(Missing("accuracy by length, rating and movie", "analysis.json"))
    for run, analysis in analyses:
        kept = _most_accurate(run, analysis, MAX_LINES)
        blocks += _slices(run, [model for model in analysis.models if model.model in kept])
    found = [run.errors for run in evidence.runs if run.errors is not None]
    if not found:
        blocks.append(Missing("doubtful labels, words that mislead and similar training reviews", "errors.json"))
    for errors in found:
        blocks += _mistaken(errors)
    judged = [(run, name, path) for run in evidence.runs for name, path in run.predictions.items()]
    blocks.append(Heading("Surest mistakes"))
    if not judged:
        blocks.append(Missing("the reviews that were judged wrongly", "predictions/MODEL.parquet"))
    elif not excerpt_characters:
        blocks.append(Paragraph("The texts are left out of this report.", is_quiet=True))
    blocks += [_mistakes(run, name, path, excerpt_characters) for run, name, path in judged]
    return Section("errors", "Error analysis", tuple(blocks))


def _confusion(scored: Scored) -> Table:
    result = scored.first
    shares = tuple(tuple(count / total if (total := sum(row)) else 0.0 for count in row) for row in result.confusion)
    rows = tuple(
        (label, *(f"{count:,} ({percent(share)})" for count, share in zip(row, part, strict=True)))
        for label, row, part in zip(result.labels, result.confusion, shares, strict=True)
    )
    heads = columns("labelled", *(f"#{label}" for label in result.labels))
    return Table(scored.name, heads, rows, tuple((None, *part) for part in shares))


def _slices(run: Run, models: Sequence[ModelAnalysis]) -> list[Block]:
    names = ", ".join(model.model for model in models)
    kinds = list(dict.fromkeys(part.by for model in models for part in model.slices))
    drawn = [(by, figures.slices(models, by)) for by in kinds]
    charts = tuple(
        Figure(svg, f"Accuracy of {names} by {by}", f"{run.name}: accuracy by {by}, with 95 % intervals")
        for by, svg in drawn
        if svg is not None
    )
    return [Row(charts)]


def _mistaken(errors: Errors) -> list[Block]:
    words = Table(
        f"{errors.model}: words that push most wrong verdicts on {errors.data}, {errors.split} "
        f"({errors.num_wrong:,} of {errors.n:,} reviews)",
        columns("Word", "towards", "#Mistakes", "#Log-odds, mean"),
        tuple((w.word, w.towards, f"{w.count:,}", f"{w.mean_contribution:.2f}") for w in errors.words[:15]),
    )
    noise = Table(
        f"{errors.num_doubtful:,} labels are in doubt; the first ones to look at",
        columns("Review", "labelled", "#Probability of it"),
        tuple((f"`{d.id}`", d.label, percent(d.probability, 2)) for d in errors.noise[:15]),
    )
    nearest = Table(
        "Surest mistakes and the training reviews nearest to them, with their similarity and label",
        columns("Review", "labelled", "#Sure of the other", "Nearest"),
        tuple(
            (
                f"`{m.id}`",
                m.label,
                percent(m.probability, 2),
                ", ".join(f"`{near.id}` ({near.similarity:.2f}, {near.label})" for near in m.nearest),
            )
            for m in errors.mistakes[:NUM_MISTAKES]
        ),
    )
    return [Row((words, noise)), nearest]


def _mistakes(run: Run, model: str, file: object, excerpt_characters: int) -> Table:
    table, probabilities, result = _judged(run, model, file)
    labels = table["label"].to_numpy()
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    surest = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:NUM_MISTAKES]
    texts = table["text"].take(surest).to_pylist()
    rows = tuple(
        (
            percent(float(probabilities[i].max()), 2),
            result.labels[int(probabilities[i].argmax())],
            result.labels[int(labels[i])],
            f"`{table['id'][int(i)]}`",
            *((_plain(excerpt(text, excerpt_characters)),) if excerpt_characters else ()),
        )
        for i, text in zip(surest, texts, strict=True)
    )
    return Table(
        f"{model}: {len(rows)} of {len(wrong):,} mistakes",
        columns("#Sure", "Predicted", "Labelled", "Review", *(["Text"] if excerpt_characters else [])),
        rows,
    )


def _plain(text: str) -> str:
    """A review's own stars and backticks are no marks of ours."""
    return text.replace("`", "\u2018").replace("**", "* *")


def _judged(run: Run, model: str, file: object) -> tuple[pa.Table, npt.NDArray[np.float32], Result]:
    try:
        table = pq.read_table(file, columns=["id", "text", "label", "probabilities", "split"])
        probabilities = np.stack(table["probabilities"].to_numpy())
        split = table["split"][0].as_py()
    except (OSError, ValueError, IndexError, pa.ArrowException) as error:
        raise DataError(f"{file}: not the predictions of an evaluation ({error})") from None
    of_model = {(result.model, result.split, result.n): result for result in run.results}
    result = of_model.get((model, split, len(table)))
    if result is None or probabilities.shape[1] != len(result.labels):
        raise DataError(f"{file}: no result is of these predictions; evaluate {model} again or take the file away")
    return table, probabilities, result


def measured_where(evidence: Evidence) -> Table:
    """With which code and machine each figure was made."""
    rows = tuple(
        (
            result.model,
            run.name,
            f"{result.data}, {result.split}",
            dash(result.seed),
            f"`{result.commit[:12]}{'-dirty' if result.commit.endswith('-dirty') else ''}`",
            result.hardware.cpu,
            str(result.hardware.cores),
            f"{result.hardware.cores_used:.1f}",
            dash(result.hardware.gpu),
            f"`{result.data_digest[:8]}`",
            f"`{result.model_digest[:8]}`" if result.model_digest else "–",
        )
        for run, result in evidence.results
    )
    heads = columns(
        *(
            "Model",
            "Run",
            "Data, split",
            "#Seed",
            "Code",
            "Processor",
            "#Cores",
            "#Cores busy",
            "GPU",
            "Reviews",
            "Bundle",
        )
    )
    return Table("What was measured where", heads, rows)
