"""What stands around the evidence: title, abstract, limits, how to make it again."""

import json
from collections.abc import Sequence

from plaudit.report.document import Block, Code, Heading, Missing, Paragraph, Section, Table, Tile, columns
from plaudit.report.evidence import Evidence
from plaudit.report.numbers import dash, duration, interval, percent, rate, size
from plaudit.report.scored import Group, Scored


def title(group: Group) -> str:
    """The headline."""
    return f"{group.best.first.model} judges {percent(group.best.accuracy)} of {group.n:,} reviews rightly"


def tiles(group: Group) -> tuple[Tile, ...]:
    """The most accurate model at a glance, and the fastest."""
    best = group.best.first
    found = [
        Tile("Accuracy", percent(group.best.accuracy, 2), f"95 % interval {interval(group.best.interval)}"),
        Tile("Speed", rate(best.reviews_per_second), f"reviews a second, {best.hardware.cores_used:.1f} cores busy"),
        Tile(
            "One review", f"{rate(best.latency_ms.p50)} ms", f"median; 99 of 100 below {rate(best.latency_ms.p99)} ms"
        ),
        Tile("Size", size(best.size_bytes), f"{best.parameters:,} parameters"),
    ]
    if best.train_seconds is not None:
        found.append(Tile("Training", duration(best.train_seconds), f"seed {best.seed}"))
    return tuple(found)


def abstract(evidence: Evidence, groups: Sequence[Group]) -> tuple[str, ...]:
    """What was found, in figures that the chapters repeat with all they rest on."""
    group = groups[0]
    found = [
        f"{len(group.scored)} models were scored on the {group.split} split of {group.data}, {group.n:,} reviews, "
        f"each once. The most accurate is {_told(group.best)}."
        if len(group.scored) > 1
        else f"One model was scored on the {group.split} split of {group.data}, {group.n:,} reviews: "
        f"{_told(group.best)}."
    ]
    if group.fastest != group.best:
        fastest = group.fastest
        found.append(f"The fastest is {_told(fastest)} at {rate(fastest.first.reviews_per_second)} reviews a second.")
    if group.smallest not in (group.best, group.fastest):
        found.append(f"The smallest is {_told(group.smallest)} in {size(group.smallest.first.size_bytes)}.")
    worst = max(group.scored, key=lambda scored: scored.first.ece)
    found.append(f"Expected calibration errors are {percent(worst.first.ece, 2)} or less.")
    pairs = [
        (run.name, model.model, pairs.data, pairs.both)
        for run in evidence.runs
        if run.robustness is not None
        for model in run.robustness.models
        if model.sources_left_out
        for pairs in model.pairs
    ]
    if pairs:
        run, model, data, both = max(pairs, key=lambda pair: pair[3].share)
        found.append(
            f"Of pairs of a review and its edit, which turns it around, {model} ({run}) judges both rightly in "
            f"{percent(both.share)} of {data} (n = {both.n:,})."
        )
    return tuple(found)


def _told(scored: Scored) -> str:
    seeds = len(scored.results)
    made = f"{seeds} seeds" if seeds > 1 else "one seed"
    return f"{scored.name}: {percent(scored.accuracy, 2)} right ({interval(scored.interval)}, {made})"


def limits(evidence: Evidence, groups: Sequence[Group]) -> Section:
    """What these figures do not say."""
    once = [scored for group in groups for scored in group.scored if len(scored.results) == 1]
    total = sum(len(group.scored) for group in groups)
    gpus = {result.hardware.gpu for _, result in evidence.results}
    dirty = [result.model for _, result in evidence.results if result.commit.endswith("-dirty")]
    found = [
        f"{len(once)} of {total} models were made with one seed: their intervals are over reviews and say nothing "
        "of what another seed would give.",
        "Comparisons are of many pairs; a p-value here and there below 0.05 is to be expected.",
        "Speeds are of one machine, and drift there by a third from hour to hour where it is shared; ratios taken "
        "in one run hold better.",
        "Films, years and writers of one data set are not those of another: see the reviews of another kind, where "
        "tested.",
    ]
    if gpus == {None}:
        found.append("Nothing here was run on a GPU.")
    if dirty:
        found.append(f"Uncommitted changes were in the code that scored {', '.join(sorted(set(dirty)))}.")
    return Section("limits", "Limits", tuple(Paragraph(text) for text in found))


def reproduce(evidence: Evidence) -> Section:
    """Code, machine, settings."""
    blocks: list[Block] = [_measured_where(evidence)]
    whole = [run for run in evidence.runs if run.recipe is not None]
    if len(evidence.runs) > 1:
        blocks.append(_recipes(evidence))
    elif whole:
        blocks.append(Paragraph("Take the code above and run `plaudit run RECIPE.toml` with these settings:"))
        blocks.append(Code(json.dumps(whole[0].recipe, indent=2, ensure_ascii=False)))
    else:
        blocks.append(Missing("the run's recipe", "recipe.json"))
        for _, result in evidence.results:
            if result.recipe is not None:
                blocks.append(Heading(f"{result.model} on {result.data}, {result.split}"))
                blocks.append(Code(json.dumps(result.recipe, indent=2, ensure_ascii=False)))
    return Section("reproduce", "How to make it again", tuple(blocks))


def _recipes(evidence: Evidence) -> Table:
    """Which command makes each run again; every setting stands in its results.json."""
    rows = []
    for run in evidence.runs:
        made = {(str((r.recipe or {}).get("name", "–")), r.seed) for r in run.results}
        models = ", ".join(result.model for result in run.results)
        rows += [
            (run.name, f"`plaudit run {recipe}.toml" + (f" --set seed={seed}`" if seed else "`"), models)
            for recipe, seed in sorted(made, key=str)
        ]
    caption = "How each run is made again; every setting stands in its results.json under recipe"
    return Table(caption, columns("Run", "Command", "Models"), tuple(rows))


def _measured_where(evidence: Evidence) -> Table:
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
