"""Error analysis: confusion, accuracy by part of the data, what the surest mistakes have in common."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from plaudit.errors import DataError
from plaudit.evaluate.analysis import ModelAnalysis
from plaudit.evaluate.errors.label_noise import surest_mistakes
from plaudit.evaluate.errors.mistakes import Errors
from plaudit.evaluate.results import Result
from plaudit.report import figures
from plaudit.report.document import Block, Figure, Heading, Missing, Paragraph, Row, Section, Table, columns
from plaudit.report.evidence import Evidence, Run
from plaudit.report.numbers import excerpt, percent
from plaudit.report.scored import Group, Scored
from plaudit.report.sections.evaluation import MAX_LINES, most_accurate

NUM_MISTAKES = 10


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
        kept = most_accurate(run, analysis, MAX_LINES)
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


def _mistakes(run: Run, model: str, file: Path, excerpt_characters: int) -> Table:
    table, probabilities, result = _judged(run, model, file)
    labels = table["label"].to_numpy()
    wrong = surest_mistakes(labels, probabilities)
    surest = wrong[:NUM_MISTAKES]
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


def _judged(run: Run, model: str, file: Path) -> tuple[pa.Table, npt.NDArray[np.float32], Result]:
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
