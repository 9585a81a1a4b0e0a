"""Headline, abstract, limits and how to reproduce the figures."""

import json
from collections.abc import Sequence

from plaudit.report.document import Block, Code, Heading, Missing, Paragraph, Section, Table, Tile, columns
from plaudit.report.leaderboard import Entry, Leaderboard
from plaudit.report.numbers import dash, duration, interval, percent, rate, size
from plaudit.report.run_folder import RunFolder


def title(board: Leaderboard) -> str:
    """Return the headline: the best model's accuracy."""
    return f"{board.best.first.model}: {percent(board.best.accuracy)} accuracy on {board.n:,} reviews"


def kicker(board: Leaderboard) -> str:
    """Return the line above the headline."""
    return f"Plaudit report: {board.data}, {board.split} split"


def tiles(board: Leaderboard) -> tuple[Tile, ...]:
    """Return the most accurate model's figures at a glance."""
    best = board.best.first
    latency = f"median; 99 % of reviews below {rate(best.latency_ms.p99)} ms"
    shown = [
        Tile("Accuracy", percent(board.best.accuracy, 2), f"95 % interval {interval(board.best.interval)}"),
        Tile("Speed", rate(best.reviews_per_second), f"reviews a second, {best.hardware.cores_used:.1f} cores busy"),
        Tile("One review", f"{rate(best.latency_ms.p50)} ms", latency),
        Tile("Size", size(best.size_bytes), f"{best.parameters:,} parameters"),
    ]
    if best.train_seconds is not None:
        shown.append(Tile("Training", duration(best.train_seconds), f"seed {best.seed}"))
    return tuple(shown)


def abstract(runs: Sequence[RunFolder], board: Leaderboard) -> tuple[str, ...]:
    """Return the main findings, a sentence each."""
    where = f"scored once on the {board.split} split of {board.data} ({board.n:,} reviews)"
    if len(board.entries) > 1:
        sentences = [f"{len(board.entries)} models were {where}. The most accurate is {_described(board.best)}."]
    else:
        sentences = [f"One model was {where}: {_described(board.best)}."]
    if board.fastest != board.best:
        speed = rate(board.fastest.first.reviews_per_second)
        sentences.append(f"The fastest is {_described(board.fastest)}, at {speed} reviews a second.")
    if board.smallest not in (board.best, board.fastest):
        sentences.append(f"The smallest is {_described(board.smallest)}, at {size(board.smallest.first.size_bytes)}.")
    worst = max(entry.first.ece for entry in board.entries)
    sentences.append(f"The expected calibration error is at most {percent(worst, 2)}.")
    pairs = [
        (f"{model.model} ({run.name})", pairs)
        for run in runs
        if run.robustness is not None
        for model in run.robustness.models
        if model.sources_left_out
        for pairs in model.pairs
    ]
    if pairs:
        model, best = max(pairs, key=lambda pair: pair[1].both.share)
        sentences.append(
            f"On reviews edited to mean the opposite, {model} classifies both the original and the edit correctly in "
            f"{percent(best.both.share)} of pairs ({best.data}, n = {best.both.n:,})."
        )
    return tuple(sentences)


def _described(entry: Entry) -> str:
    seeds = "one seed" if len(entry.results) == 1 else f"{len(entry.results)} seeds"
    return f"{entry.name} with {percent(entry.accuracy, 2)} accuracy ({interval(entry.interval)}, {seeds})"


def limits(boards: Sequence[Leaderboard]) -> Section:
    """What these figures do not show."""
    entries = [entry for board in boards for entry in board.entries]
    results = [result for entry in entries for result in entry.results]
    once = sum(len(entry.results) == 1 for entry in entries)
    texts = [
        f"{once} of {len(entries)} models were trained with one seed: their intervals are over reviews and do not "
        "cover what another seed would give.",
        "Many pairs of models are compared, so a few p-values below 0.05 are to be expected by chance.",
        "Speeds are of one machine; if it is shared, they vary by a third from hour to hour. Ratios measured in one "
        "run are more reliable.",
        "The reviews of one data set cover their own films, years and writers; for reviews of other kinds see "
        "Robustness, where tested.",
    ]
    if all(result.hardware.gpu is None for result in results):
        texts.append("Nothing here was run on a GPU.")
    if dirty := sorted({result.model for result in results if result.commit.endswith("-dirty")}):
        texts.append(f"The code that scored {', '.join(dirty)} had uncommitted changes.")
    return Section("limits", "Limits", tuple(map(Paragraph, texts)))


def reproduce(runs: Sequence[RunFolder]) -> Section:
    """Code, machine and settings."""
    blocks: list[Block] = [measurements(runs)]
    for run in runs:
        if run.recipe is not None:
            blocks.append(Paragraph(f"{run.name}: check out the code above and run `plaudit run RECIPE.toml` with"))
            blocks.append(_json(run.recipe))
    if len(blocks) == 1:
        blocks.append(Missing("the run's recipe", "recipe.json"))
        for result in (result for run in runs for result in run.results if result.recipe is not None):
            blocks += [Heading(f"{result.model} on {result.data}, {result.split}"), _json(result.recipe)]
    return Section("reproduce", "How to reproduce this", tuple(blocks))


def _json(recipe: object) -> Code:
    return Code(json.dumps(recipe, indent=2, ensure_ascii=False))


def measurements(runs: Sequence[RunFolder]) -> Table:
    """Return a table of the code and machine behind each figure."""
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
        for run in runs
        for result in run.results
    )
    names = ("Model", "Run", "Data, split", "#Seed", "Code", "Processor", "#Cores", "#Cores busy", "GPU")
    return Table("Where each figure was measured", columns(*names, "Reviews", "Bundle"), rows)
