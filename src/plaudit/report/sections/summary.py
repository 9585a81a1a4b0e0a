"""Headline, cautions and abstract; and how to make the figures again."""

from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w

from plaudit.evaluate.classes import FEW_TEXTS, class_figures, largest_class
from plaudit.evaluate.results import BASELINE, Result
from plaudit.report.document import Block, Code, Paragraph, Section, Table, Tile, columns, literal
from plaudit.report.leaderboard import Entry, Leaderboard
from plaudit.report.numbers import dash, duration, interval, percent, rate, size
from plaudit.report.run_folder import RunFolder


def title(board: Leaderboard) -> str:
    """Return the headline: the best model's accuracy, beside that of always guessing the largest class."""
    best = board.best
    label, share = largest_class(best.first)
    model = f"{best.first.model}: " if len(board.models) > 1 else ""
    accuracy = f"{model}{percent(best.accuracy)} accuracy on {board.n:,} texts ({interval(best.interval, 1)})"
    return f"{accuracy}; always guessing “{label}” gets {percent(share)}"


def kicker(board: Leaderboard) -> str:
    """Return the line above the headline."""
    return f"Plaudit report: {board.data}, {board.split} split"


def tiles(board: Leaderboard) -> tuple[Tile, ...]:
    """Return the most accurate model's figures at a glance."""
    best = board.best.first
    latency = f"median; 99 % of texts below {rate(float(f'{best.latency_ms.p99:.2g}'))} ms"
    shown = [
        Tile("Accuracy", percent(board.best.accuracy), f"95 % interval {interval(board.best.interval, 1)}"),
        Tile("Speed", rate(best.reviews_per_second), f"texts a second, {best.hardware.cores_used:.1f} cores busy"),
        Tile("One text", f"{best.latency_ms.p50:.2g} ms", latency),
        Tile("Size", size(best.size_bytes), f"{best.parameters:,} parameters"),
    ]
    if best.train_seconds is not None:
        shown.append(Tile("Training", duration(best.train_seconds), f"seed {dash(best.seed)}"))
    return tuple(shown)


def cautions(board: Leaderboard) -> tuple[str, ...]:
    """Return what forbids to trust the headline: too few texts, or no gain over guessing or over a baseline."""
    best = board.best
    low, high = best.interval
    label, share = largest_class(best.first)
    guessing = f"always guessing “{literal(label)}”, which gets {percent(share)}"
    name = literal(best.first.model)
    found = []
    if best.accuracy <= share:
        found.append(f"{name} is no better than {guessing}.")
    elif low <= share:
        found.append(f"{name} may be no better than {guessing}: its interval begins at {percent(low)}.")
    if board.n < FEW_TEXTS:
        found.append(
            f"Only {board.n:,} texts were tested. On others like them, accuracy may be anywhere between {percent(low)} "
            f"and {percent(high)}."
        )
    better = [entry for entry in board.entries if entry.is_baseline and entry.accuracy > best.accuracy]
    if better and not best.is_baseline:
        rival = max(better, key=lambda entry: entry.accuracy)
        found.append(f"The baseline {literal(rival.first.model)} is more accurate: {percent(rival.accuracy)}.")
    return tuple(found)


def abstract(runs: Sequence[RunFolder], board: Leaderboard) -> tuple[str, ...]:
    """Return the main findings, a sentence each."""
    sentences = _on_one(runs, board) if len(board.models) == 1 else _on_several(board)
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


def _on_one(runs: Sequence[RunFolder], board: Leaderboard) -> list[str]:
    best = board.best.first
    held_out = f"{board.n:,} texts of the {board.split} split of {literal(board.data)}"
    data = next((run.data for run in runs if run.data is not None and run.data.name == board.data), None)
    if data is not None and board.split not in data.splits:
        held_out = f"{board.n:,} of the {data.num_rows:,} texts in {literal(board.data)}, held out at random"
    seeds = len(board.best.results)
    scored = "was scored once" if seeds == 1 else f"was trained with {seeds} seeds, and each scored once"
    sentences = [f"{literal(best.model)} {scored}, on {held_out}."]
    found = [one for one in class_figures(best) if one.recall is not None]
    easy = max(found, key=lambda one: one.recall or 0.0)
    hard = min(found, key=lambda one: one.recall or 0.0)
    if easy.recall != hard.recall:
        sentences.append(
            f"It finds {percent(easy.recall or 0.0)} of the texts labelled “{literal(easy.label)}” and "
            f"{percent(hard.recall or 0.0)} of those labelled “{literal(hard.label)}”"
            + ("." if len(found) == 2 else ", the best and the worst of its classes.")
        )
    return sentences


def _on_several(board: Leaderboard) -> list[str]:
    where = f"scored once on the {board.split} split of {literal(board.data)} ({board.n:,} texts)"
    sentences = [f"{len(board.models)} models were {where}. The most accurate is {_described(board, board.best)}."]
    if board.fastest != board.best:
        speed = rate(board.fastest.first.reviews_per_second)
        sentences.append(f"The fastest is {_described(board, board.fastest)}, at {speed} texts a second.")
    if board.smallest not in (board.best, board.fastest):
        sentences.append(
            f"The smallest is {_described(board, board.smallest)}, at {size(board.smallest.first.size_bytes)}."
        )
    worst = max(entry.first.ece for entry in board.models)
    sentences.append(f"The expected calibration error is at most {percent(worst, 2)}.")
    return sentences


def _described(board: Leaderboard, entry: Entry) -> str:
    seeds = "one seed" if len(entry.results) == 1 else f"{len(entry.results)} seeds"
    accuracy = f"{percent(entry.accuracy, 2)} accuracy ({interval(entry.interval)}, {seeds})"
    return f"{literal(board.name_of(entry))} with {accuracy}"


def recipe(runs: Sequence[RunFolder]) -> Section:
    """The recipes as TOML to copy, and the code and machine behind each figure."""
    blocks: list[Block] = []
    for name, toml in _recipes(runs):
        blocks.append(
            Paragraph(
                f"Save this as `recipe.toml`, change what you like, and run `plaudit run recipe.toml --out DIR` to get "
                f"{literal(name)} again."
            )
        )
        blocks.append(Code(toml))
    results = [result for run in runs for result in run.results if result.kind != BASELINE]
    blocks.append(_measurement(results[0]) if len(results) == 1 else measurements(runs))
    return Section("recipe", "The recipe", tuple(blocks))


def _measurement(result: Result) -> Paragraph:
    hardware = result.hardware
    gpu = "" if hardware.gpu is None else f", {hardware.gpu}"
    return Paragraph(
        f"Measured on {hardware.cpu}, {hardware.cores} cores{gpu}; code `{result.commit[:12]}`"
        + ("" if not result.commit.endswith("-dirty") else " with uncommitted changes")
        + f", texts `{result.data_digest[:8]}`"
        + (f", bundle `{result.model_digest[:8]}`." if result.model_digest else "."),
        is_quiet=True,
    )


def _recipes(runs: Sequence[RunFolder]) -> list[tuple[str, str]]:
    """Return the recipes of the runs as they were written, or with every setting, or those of single results."""
    found: list[tuple[str, str]] = []
    for run in runs:
        if run.recipe_toml is not None:
            found.append((run.name, run.recipe_toml))
        elif run.recipe is not None:
            found.append((run.name, as_toml(run.recipe)))
        else:
            found += [(result.model, as_toml(result.recipe)) for result in run.results if result.recipe is not None]
    return list(dict.fromkeys(found))


def as_toml(tables: Mapping[str, Any]) -> str:
    """Return a recipe as TOML, which has no null: what is null stands at its default, and so is left out."""
    return tomli_w.dumps(_without_nulls(tables))


def _without_nulls(tables: Mapping[str, Any]) -> dict[str, Any]:
    kept = {}
    for key, value in tables.items():
        content = _without_nulls(value) if isinstance(value, Mapping) else value
        if content is not None and (content != {} or value == {}):
            kept[key] = content
    return kept


def measurements(runs: Sequence[RunFolder]) -> Table:
    """Return a table of the code and machine behind each figure."""
    rows = tuple(
        (
            literal(result.model),
            run.name,
            f"{literal(result.data)}, {literal(result.split)}",
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
        if result.kind != BASELINE
    )
    names = ("Model", "Run", "Data, split", "#Seed", "Code", "Processor", "#Cores", "#Cores busy", "GPU")
    return Table("Where each figure was measured", columns(*names, "Texts", "Bundle"), rows)
