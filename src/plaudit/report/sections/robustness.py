"""Robustness: edited reviews, sentences that test one ability each, and perturbed texts."""

from collections.abc import Callable, Iterable, Sequence

from plaudit.evaluate.robustness.results import ModelRobustness, Proportion
from plaudit.report import figures
from plaudit.report.document import Block, Figure, Paragraph, Section, Table, columns
from plaudit.report.numbers import bare_percent, interval, percent
from plaudit.report.run_folder import RunFolder


def robustness(runs: Sequence[RunFolder]) -> Section:
    """A table for each part, with a column for each model; empty if none was tested."""
    blocks: list[Block] = []
    for run in runs:
        if run.robustness is not None:
            blocks += _of_run(run.name, run.robustness.models)
    return Section("robustness", "Robustness", tuple(blocks))


def _of_run(run: str, models: Sequence[ModelRobustness]) -> Iterable[Block]:
    names = [model.model + ("" if model.sources_left_out else "*") for model in models]
    yield from _edited_pairs(run, models, names)
    rows = _rows(models, lambda model: {other.data: other.accuracy for other in model.foreign})
    if rows:
        yield _table(f"{run}: accuracy on reviews of another kind, %", names, rows)
    yield from _behaviour(run, models, names)
    yield from _perturbed(run, models)


def _edited_pairs(run: str, models: Sequence[ModelRobustness], names: Sequence[str]) -> Iterable[Block]:
    def accuracies(model: ModelRobustness) -> dict[str, Proportion]:
        parts = {"original": "originals", "edited": "edits", "both": "both of a pair"}
        return {f"{p.data}: {parts[part]}": getattr(p, part) for p in model.pairs for part in parts}

    rows = _rows(models, accuracies)
    if not rows:
        return
    yield _table(f"{run}: accuracy on reviews and on edits that reverse their label, %", names, rows)
    if not all(model.sources_left_out for model in models):
        note = "* may have learned from the originals: its recipe does not leave them out of training."
        yield Paragraph(note, is_quiet=True)


def _behaviour(run: str, models: Sequence[ModelRobustness], names: Sequence[str]) -> Iterable[Block]:
    def failures(model: ModelRobustness) -> dict[str, Proportion]:
        capabilities = () if model.behaviour is None else model.behaviour.capabilities
        return {f"{one.name} ({one.kind}, n = {one.failed.n})": one.failed for one in capabilities}

    rows = _rows(models, failures)
    if not rows:
        return
    caption = f"{run}: share of our test sentences that a model fails, % (in the manner of Ribeiro et al. 2020)"
    yield _table(caption, names, rows)
    last = next(model for model in reversed(models) if model.behaviour is not None)
    assert last.behaviour is not None
    examples = tuple(
        (one.name, " / ".join(failed.texts), failed.expected, ", ".join(f"{p:.2f}" for p in failed.positive))
        for one in last.behaviour.capabilities
        for failed in one.examples[:1]
    )
    if examples:
        heads = columns("Capability", "Sentence", "Expected", "#Probability of positive")
        yield Table(f"Examples that {last.model} fails", heads, examples)


def _perturbed(run: str, models: Sequence[ModelRobustness]) -> Iterable[Block]:
    tested = [(model.model, model.perturbed) for model in models if model.perturbed is not None]
    if not tested:
        return
    points = [
        {
            "model": name,
            "change": level.change,
            "accuracy": level.accuracy.share,
            "tooltip": f"{name}, {level.change}: {percent(level.accuracy.share)} accuracy",
        }
        for name, perturbed in tested
        for level in perturbed.levels
    ]
    _, first = tested[0]
    yield Figure(
        figures.perturbations(points),
        "Accuracy on perturbed texts; the figures are in the table below",
        f"{run}: accuracy on {first.levels[0].accuracy.n:,} texts of {first.data}, unchanged and perturbed.",
    )

    def accuracies(model: ModelRobustness) -> dict[str, Proportion]:
        levels = () if model.perturbed is None else model.perturbed.levels
        return {level.change: level.accuracy for level in levels}

    yield _table(f"{run}: accuracy on perturbed texts, %", [m.model for m in models], _rows(models, accuracies))


def _rows(
    models: Sequence[ModelRobustness], cells_of: Callable[[ModelRobustness], dict[str, Proportion]]
) -> list[tuple[str, ...]]:
    """Return a row for each name that `cells_of` a model has, with a cell for each model."""
    by_model = [cells_of(model) for model in models]
    names = dict.fromkeys(name for cells in by_model for name in cells)
    return [(name, *(_cell(cells.get(name)) for cells in by_model)) for name in names]


def _cell(proportion: Proportion | None) -> str:
    return "–" if proportion is None else f"{bare_percent(proportion.share, 1)} ({interval(proportion.ci95, 1)})"


def _table(caption: str, names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    return Table(caption, columns("", *(f"#{name}" for name in names)), tuple(rows))
