"""Robustness: edited reviews, sentences that test one ability each, and spoilt reviews."""

from collections.abc import Iterable, Sequence

from plaudit.evaluate.robustness.results import ModelRobustness, Proportion
from plaudit.report import figures
from plaudit.report.document import Block, Figure, Missing, Paragraph, Section, Table, columns
from plaudit.report.evidence import Evidence, Run
from plaudit.report.numbers import bare_percent, interval, percent


def robustness(evidence: Evidence) -> Section:
    """One table for each part, a column for each model."""
    blocks: list[Block] = []
    for run in evidence.runs:
        if run.robustness is not None:
            blocks += _of(run, run.robustness.models)
    if not blocks:
        blocks.append(
            Missing("edited reviews, behavioural tests and spoilt reviews", "robustness.json, by plaudit robustness")
        )
    return Section("robustness", "Robustness", tuple(blocks))


def _of(run: Run, models: Sequence[ModelRobustness]) -> Iterable[Block]:
    names = [model.model + ("" if model.sources_left_out else "*") for model in models]
    sets = list(dict.fromkeys(pairs.data for model in models for pairs in model.pairs))
    if sets:
        rows = []
        for data in sets:
            for part, says in (("original", "originals"), ("edited", "edits"), ("both", "both of a pair")):
                found = [next((getattr(p, part) for p in model.pairs if p.data == data), None) for model in models]
                rows.append((f"{data}: {says}", *_cells(found)))
        yield _table(f"{run.name}: accuracy on reviews and on their edits, whose label is the opposite, %", names, rows)
        if any(not model.sources_left_out for model in models):
            yield Paragraph(
                "* may have learned from the originals: its recipe leaves nothing out of training.", is_quiet=True
            )
    foreign = list(dict.fromkeys(other.data for model in models for other in model.foreign))
    if foreign:
        rows = [
            (data, *_cells([next((o.accuracy for o in model.foreign if o.data == data), None) for model in models]))
            for data in foreign
        ]
        yield _table(f"{run.name}: accuracy on reviews of another kind, %", names, rows)
    yield from _behaviour(run, models, names)
    yield from _perturbed(run, models)


def _behaviour(run: Run, models: Sequence[ModelRobustness], names: Sequence[str]) -> Iterable[Block]:
    tested = [model.behaviour for model in models if model.behaviour is not None]
    if not tested:
        return
    rows = []
    for capability in tested[0].capabilities:
        found = [_failed(model, capability.name) for model in models]
        rows.append((f"{capability.name} ({capability.kind}, n = {capability.failed.n})", *_cells(found)))
    yield _table(
        f"{run.name}: share of our sentences that a model fails, % (in the way of Ribeiro et al. 2020)", names, rows
    )
    examples = [
        (capability.name, " / ".join(example.texts), example.expected, ", ".join(f"{p:.2f}" for p in example.positive))
        for capability in tested[-1].capabilities
        for example in capability.examples[:1]
    ]
    if examples:
        last = next(model.model for model in reversed(models) if model.behaviour is not None)
        heads = columns("Ability", "Sentence", "Expected", "#Probability of positive")
        yield Table(f"Examples of what {last} fails", heads, tuple(examples))


def _perturbed(run: Run, models: Sequence[ModelRobustness]) -> Iterable[Block]:
    rows = [
        {
            "model": model.model,
            "change": level.change,
            "share": level.accuracy.share,
            "says": f"{model.model}, {level.change}: {percent(level.accuracy.share)} right",
        }
        for model in models
        if model.perturbed is not None
        for level in model.perturbed.levels
    ]
    if not rows:
        return
    perturbed = next(model.perturbed for model in models if model.perturbed is not None)
    n = perturbed.levels[0].accuracy.n
    yield Figure(
        figures.by_level(rows, x="change", x_title="", series="model", y_title="accuracy"),
        "Accuracy on spoilt reviews; the table below holds the figures",
        f"{run.name}: accuracy on {n:,} reviews of {perturbed.data} as they are and spoilt.",
    )
    levels = list(dict.fromkeys(str(row["change"]) for row in rows))
    yield _table(
        f"{run.name}: accuracy on spoilt reviews, %",
        [model.model for model in models],
        [(change, *_cells([_level(model, change) for model in models])) for change in levels],
    )


def _level(model: ModelRobustness, change: str) -> Proportion | None:
    levels = () if model.perturbed is None else model.perturbed.levels
    return next((level.accuracy for level in levels if level.change == change), None)


def _failed(model: ModelRobustness, capability: str) -> Proportion | None:
    capabilities = () if model.behaviour is None else model.behaviour.capabilities
    return next((one.failed for one in capabilities if one.name == capability), None)


def _cells(found: Iterable[Proportion | None]) -> list[str]:
    return ["–" if one is None else f"{bare_percent(one.share, 1)} ({interval(one.ci95, 1)})" for one in found]


def _table(caption: str, names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    return Table(caption, columns("", *(f"#{name}" for name in names)), tuple(rows))
