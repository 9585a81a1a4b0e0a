"""Error analysis: confusion, accuracy by slice of the data, doubtful labels, the most confident mistakes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from plaudit.errors import DataError
from plaudit.evaluate.analysis import Analysis
from plaudit.evaluate.errors.label_noise import most_confident_mistakes
from plaudit.evaluate.errors.mistakes import Errors
from plaudit.evaluate.predictions import read_predictions, read_texts
from plaudit.report import figures
from plaudit.report.document import Block, Figure, Heading, Missing, Paragraph, Section, SideBySide, Table, columns
from plaudit.report.leaderboard import Entry, Leaderboard
from plaudit.report.numbers import excerpt, percent
from plaudit.report.run_folder import RunFolder
from plaudit.report.sections.evaluation import MAX_LINES, most_accurate

NUM_MISTAKES = 10
NUM_ROWS = 15


def error_analysis(runs: Sequence[RunFolder], board: Leaderboard, *, excerpt_characters: int) -> Section:
    """Confusion, accuracy by slice, doubtful labels and misleading words, and the most confident mistakes."""
    blocks: list[Block] = [
        Paragraph(
            "Rows of a confusion table are true labels, columns predicted ones; shading is the share of the row."
        ),
        SideBySide(tuple(_confusion(entry) for entry in board.entries[:MAX_LINES])),
    ]
    slices = [_slices(run, run.analysis) for run in runs if run.analysis is not None]
    blocks += slices or [Missing("accuracy by length, rating and movie", "analysis.json")]
    found = [run.errors for run in runs if run.errors is not None]
    for errors in found:
        blocks += _errors(errors)
    if not found:
        blocks.append(Missing("doubtful labels, misleading words and similar training reviews", "errors.json"))
    blocks.append(Heading("Most confident mistakes"))
    files = [(run, model, path) for run in runs for model, path in run.predictions.items()]
    if not files:
        blocks.append(Missing("the misclassified reviews", "predictions/MODEL.parquet"))
    elif not excerpt_characters:
        blocks.append(Paragraph("This report omits the texts.", is_quiet=True))
    blocks += [_mistakes(run, model, path, excerpt_characters) for run, model, path in files]
    return Section("errors", "Error analysis", tuple(blocks))


def _confusion(entry: Entry) -> Table:
    result = entry.first
    shares = tuple(tuple(count / total if (total := sum(row)) else 0.0 for count in row) for row in result.confusion)
    rows = tuple(
        (label, *(f"{count:,} ({percent(share)})" for count, share in zip(row, part, strict=True)))
        for label, row, part in zip(result.labels, result.confusion, shares, strict=True)
    )
    heads = columns("labelled", *(f"#{label}" for label in result.labels))
    return Table(entry.name, heads, rows, tuple((None, *part) for part in shares))


def _slices(run: RunFolder, analysis: Analysis) -> SideBySide:
    models = most_accurate(run, analysis, MAX_LINES)
    names = ", ".join(model.model for model in models)
    kinds = dict.fromkeys(part.by for model in models for part in model.slices)
    charts = ((by, figures.slices(models, by)) for by in kinds)
    return SideBySide(
        tuple(
            Figure(svg, f"Accuracy of {names} by {by}", f"{run.name}: accuracy by {by}, with 95 % intervals")
            for by, svg in charts
            if svg is not None
        )
    )


def _errors(errors: Errors) -> list[Block]:
    words = Table(
        f"{errors.model}: words that mislead it most often on {errors.data}, {errors.split} "
        f"({errors.num_wrong:,} of {errors.n:,} reviews misclassified)",
        columns("Word", "Pushes towards", "#Mistakes", "#Log-odds, mean"),
        tuple((w.word, w.towards, f"{w.count:,}", f"{w.mean_contribution:.2f}") for w in errors.words[:NUM_ROWS]),
    )
    noise = Table(
        f"{errors.num_doubtful:,} doubtful labels, the most doubtful first",
        columns("Review", "Labelled", "#Probability of the label"),
        tuple((f"`{d.id}`", d.label, percent(d.probability, 2)) for d in errors.noise[:NUM_ROWS]),
    )
    nearest = Table(
        "The most confident mistakes and the most similar training reviews, with similarity and label",
        columns("Review", "Labelled", "#Confidence", "Similar training reviews"),
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
    return [SideBySide((words, noise)), nearest]


def _mistakes(run: RunFolder, model: str, file: Path, excerpt_characters: int) -> Table:
    predictions = read_predictions(file)
    results = {(result.model, result.split, result.n): result for result in run.results}
    result = results.get((model, predictions.split, len(predictions.ids)))
    if result is None or predictions.probabilities.shape[1] != len(result.labels):
        raise DataError(f"{file}: no result matches these predictions; evaluate {model} again or remove the file")
    wrong = most_confident_mistakes(predictions.labels, predictions.probabilities)
    shown = wrong[:NUM_MISTAKES]
    rows = []
    for i, text in zip(shown, read_texts(file, shown), strict=True):
        predicted = int(np.argmax(predictions.probabilities[i]))
        confidence = percent(float(predictions.probabilities[i, predicted]), 2)
        row = (confidence, result.labels[predicted], result.labels[predictions.labels[i]], f"`{predictions.ids[i]}`")
        rows.append((*row, _plain(excerpt(text, excerpt_characters))) if excerpt_characters else row)
    heads = ("#Confidence", "Predicted", "Labelled", "Review", *(["Text"] if excerpt_characters else []))
    return Table(f"{model}: {len(rows)} of {len(wrong):,} mistakes", columns(*heads), tuple(rows))


def _plain(text: str) -> str:
    """Replace a review's own stars and backticks, which would be read as formatting."""
    return text.replace("`", "\u2018").replace("**", "* *")
