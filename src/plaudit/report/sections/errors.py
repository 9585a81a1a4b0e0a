"""Where the best model errs: its most confident mistakes, accuracy by slice of the data, doubtful labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from plaudit.errors import DataError
from plaudit.evaluate.analysis import Analysis
from plaudit.evaluate.errors.label_noise import most_confident_mistakes
from plaudit.evaluate.errors.mistakes import Errors
from plaudit.evaluate.predictions import read_predictions, read_texts
from plaudit.report import figures
from plaudit.report.document import Block, Figure, Paragraph, Section, SideBySide, Table, columns, literal
from plaudit.report.leaderboard import Leaderboard
from plaudit.report.numbers import excerpt, percent
from plaudit.report.run_folder import RunFolder
from plaudit.report.sections.evaluation import MAX_LINES, most_accurate

NUM_MISTAKES = 5
NUM_ROWS = 15


def error_analysis(runs: Sequence[RunFolder], board: Leaderboard, *, excerpt_characters: int) -> Section:
    """Accuracy by slice, doubtful labels and misleading words, and the best model's most confident mistakes."""
    blocks: list[Block] = []
    for run in runs:
        for model, path in run.predictions.items():
            mistakes = _mistakes(run, model, path, excerpt_characters)
            if model == board.best.first.model and run.name == board.best.runs[0]:
                blocks.append(mistakes)
                if not excerpt_characters:
                    blocks.append(Paragraph("This report omits the texts.", is_quiet=True))
    for run in runs:
        if run.analysis is not None:
            blocks += _slices(run, run.analysis)
        if run.errors is not None:
            blocks += _errors(run.errors)
    return Section("errors", "Where it errs", tuple(blocks))


def _slices(run: RunFolder, analysis: Analysis) -> list[Block]:
    """Return a chart for each kind of slice of which there are several."""
    models = most_accurate(run, analysis, MAX_LINES)
    names = ", ".join(model.model for model in models)
    kinds = dict.fromkeys(part.by for model in models for part in model.slices)
    several = [by for by in kinds if any(len([p for p in model.slices if p.by == by]) > 1 for model in models)]
    charts = tuple(
        Figure(svg, f"Accuracy of {names} by {by}", f"{run.name}: accuracy by {by}, with 95 % intervals")
        for by in several
        if (svg := figures.slices(models, by)) is not None
    )
    return [SideBySide(charts)] if charts else []


def _errors(errors: Errors) -> list[Block]:
    words = Table(
        f"{literal(errors.model)}: words that mislead it most often on {literal(errors.data)}, {errors.split} "
        f"({errors.num_wrong:,} of {errors.n:,} texts misclassified)",
        columns("Word", "Pushes towards", "#Mistakes", "#Log-odds, mean"),
        tuple(
            (literal(w.word), literal(w.towards), f"{w.count:,}", f"{w.mean_contribution:.2f}")
            for w in errors.words[:NUM_ROWS]
        ),
    )
    noise = Table(
        f"{errors.num_doubtful:,} doubtful labels, the most doubtful first",
        columns("Text", "Labelled", "#Probability of the label"),
        tuple((f"`{d.id}`", literal(d.label), percent(d.probability, 2)) for d in errors.noise[:NUM_ROWS]),
    )
    nearest = Table(
        "The most confident mistakes and the most similar training texts, with similarity and label",
        columns("Text", "Labelled", "#Confidence", "Similar training texts"),
        tuple(
            (
                f"`{m.id}`",
                literal(m.label),
                percent(m.probability, 2),
                ", ".join(f"`{near.id}` ({near.similarity:.2f}, {literal(near.label)})" for near in m.nearest),
            )
            for m in errors.mistakes[:NUM_MISTAKES]
        ),
    )
    beside = tuple(table for table in (words, noise) if table.rows)
    return [*([SideBySide(beside)] if beside else []), *([nearest] if nearest.rows else [])]


def _mistakes(run: RunFolder, model: str, file: Path, excerpt_characters: int) -> Table | Paragraph:
    predictions = read_predictions(file)
    results = {(result.model, result.split, result.n): result for result in run.results}
    result = results.get((model, predictions.split, len(predictions.ids)))
    if result is None or predictions.probabilities.shape[1] != len(result.labels):
        raise DataError(f"{file}: no result matches these predictions; evaluate {model} again or remove the file")
    wrong = most_confident_mistakes(predictions.labels, predictions.probabilities)
    if not len(wrong):
        return Paragraph(f"{literal(model)} made no mistake on {len(predictions.ids):,} texts.")
    shown = wrong[:NUM_MISTAKES]
    rows = []
    for i, text in zip(shown, read_texts(file, shown), strict=True):
        predicted = int(np.argmax(predictions.probabilities[i]))
        confidence = percent(float(predictions.probabilities[i, predicted]), 2)
        shown_text = (literal(excerpt(text, excerpt_characters)),) if excerpt_characters else ()
        rows.append(
            (
                confidence,
                literal(result.labels[predicted]),
                literal(result.labels[predictions.labels[i]]),
                *shown_text,
                f"`{predictions.ids[i]}`",
            )
        )
    heads = ("#Confidence", "Predicted", "Labelled", *(["Text"] if excerpt_characters else []), "Row")
    caption = f"{literal(model)}: {len(rows)} of {len(wrong):,} mistakes, the most confident first"
    return Table(caption, columns(*heads), tuple(rows))
