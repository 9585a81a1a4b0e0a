"""What to do next: suggestions that follow from the figures, each with the figure it follows from."""

from collections.abc import Iterator, Sequence

from plaudit.evaluate.classes import FEW_TEXTS, class_figures, confusions, largest_class
from plaudit.report.document import Block, Paragraph, Section, literal
from plaudit.report.leaderboard import Entry, Leaderboard
from plaudit.report.numbers import percent, points, rate, size
from plaudit.report.run_folder import RunFolder

FEW_LABELS = 2_000
"""With fewer labelled texts, more of them usually help more than another model."""
RARE = 100
"""With fewer texts, a class is hardly learned."""
UNBALANCED = 0.8
WEAKER = 0.1
"""A class is weak if its recall is this far below the accuracy."""
MANY_CONFUSED = 0.25
FEWEST_KEPT = 0.7
"""A model that abstains on more than the rest is of little use."""
MIN_GAIN = 0.02
POORLY_CALIBRATED = 0.05
ENOUGH_TO_CALIBRATE = 500


def next_steps(runs: Sequence[RunFolder], board: Leaderboard) -> Section:
    """Suggestions, the most important first, and how to use the best model."""
    best = board.best
    run = next(run for run in runs if run.name == best.runs[0])
    steps = [
        *_labels(run, board),
        *_confused(best),
        *_noise(run, best),
        *_abstention(run, best),
        *_other_models(board, sum(_labelled(run).values())),
    ]
    blocks: list[Block] = [Paragraph(step) for step in steps]
    if not best.is_baseline:
        blocks.append(
            Paragraph(
                f"**Use it.** In this run's folder, `plaudit predict --model models/{best.first.model} --input FILE` "
                f"classifies the texts of a file; `plaudit serve --model models/{best.first.model}` answers over HTTP."
            )
        )
    return Section("next", "What to do next", tuple(blocks))


def _labels(run: RunFolder, board: Leaderboard) -> Iterator[str]:
    result = board.best.first
    label, share = largest_class(result)
    if board.best.interval[0] <= share:
        yield (
            "**See whether the labels can be told from the texts.** Read twenty texts of each class without their "
            "labels: where a reader cannot tell, no model can. If they can be told, label more."
        )
    if board.n < FEW_TEXTS:
        yield (
            f"**Test on more texts.** {board.n:,} are too few to compare settings or models by: keep a larger part, as "
            "in `--set data.test_fraction=0.3`, or better, label more."
        )
    if share >= UNBALANCED:
        yield (
            f"**Look at recall and F1, not at accuracy.** {percent(share)} of the texts are “{literal(label)}”, which "
            "a model gets right by saying nothing else."
        )
    counts = _labelled(run)
    total = sum(counts.values())
    rare = [name for name, count in sorted(counts.items(), key=lambda item: item[1]) if 0 < count < RARE]
    weak = [one for one in class_figures(result) if one.recall is not None and one.recall < result.accuracy - WEAKER]
    if rare and len(counts) > 2:
        named = ", ".join(f"“{literal(name)}” ({counts[name]:,})" for name in rare[:5])
        yield f"**Label more of the rare classes first:** {named}. Below {RARE} texts, a class is hardly learned."
    elif weak:
        worst = min(weak, key=lambda one: one.recall or 0.0)
        yield (
            f"**Label more “{literal(worst.label)}”.** Only {percent(worst.recall or 0.0)} of its {worst.n:,} test "
            "texts are found."
        )
    elif 0 < total < FEW_LABELS:
        yield (
            f"**Label more texts.** With {total:,} labelled texts, more of them usually help more than another model; "
            "begin with those that it is least sure of."
        )


def _labelled(run: RunFolder) -> dict[str, int]:
    """Return how many texts each label has over all splits, empty if that is not recorded."""
    if run.data is None:
        return {}
    return {name: sum(part.labels.get(name, 0) for part in run.data.splits.values()) for name in run.data.labels}


def _confused(entry: Entry) -> Iterator[str]:
    pairs = confusions(entry.first)
    wrong = sum(pair.count for pair in pairs)
    if len(entry.first.labels) > 2 and pairs and pairs[0].count >= max(3, MANY_CONFUSED * wrong):
        pair = pairs[0]
        yield (
            f"**Tell “{literal(pair.label)}” and “{literal(pair.predicted)}” apart.** {pair.count:,} of the {pair.n:,} "
            f"texts labelled “{literal(pair.label)}” are taken for “{literal(pair.predicted)}”. Write down what "
            "decides between them and check their labels by it, or make one class of both."
        )


def _noise(run: RunFolder, entry: Entry) -> Iterator[str]:
    conflicting = 0 if run.data is None else sum(part.conflicting_texts for part in run.data.splits.values())
    if conflicting:
        yield (
            f"**Correct contradictory labels.** {conflicting:,} texts occur more than once with different labels: "
            "`plaudit data inspect FILE`."
        )
    if run.errors is not None and run.errors.num_doubtful:
        yield (
            f"**Check {run.errors.num_doubtful:,} doubtful labels** of the {run.errors.n:,} test texts, listed under "
            "“Where it errs”."
        )
    elif run.predictions and entry.accuracy < 1:
        yield (
            "**Read the most confident mistakes** under “Where it errs”: some may be wrong labels. "
            f"`plaudit errors models/{entry.first.model} --data FILE` looks for more of them."
        )


def _abstention(run: RunFolder, entry: Entry) -> Iterator[str]:
    analysis = (
        None if run.analysis is None else next((m for m in run.analysis.models if m.model == entry.first.model), None)
    )
    if analysis is None or entry.first.n < FEW_TEXTS:
        return
    kept = [point for point in analysis.coverage if FEWEST_KEPT <= point.coverage < 1]
    if not kept:
        return
    point = max(kept, key=lambda one: one.accuracy)
    if point.accuracy - entry.first.accuracy >= MIN_GAIN:
        yield (
            f"**Let a person decide the doubtful texts.** With `--abstain-below {point.threshold:.2f}` the model "
            f"answers {percent(point.coverage, 0)} of these texts, {percent(point.accuracy)} of them correctly."
        )


def _other_models(board: Leaderboard, num_labelled: int) -> Iterator[str]:
    best = board.best
    near = [
        entry
        for entry in board.models[1:]
        if entry.accuracy >= best.interval[0] and entry.first.reviews_per_second > 2 * best.first.reviews_per_second
    ]
    if near:
        fast = max(near, key=lambda entry: entry.first.reviews_per_second)
        times = fast.first.reviews_per_second / best.first.reviews_per_second
        yield (
            f"**Consider {literal(fast.first.model)}.** It is {rate(times)} times as fast as "
            f"{literal(best.first.model)} and {points(fast.accuracy - best.accuracy, 1)} points in accuracy; "
            f"{size(fast.first.size_bytes)} instead of {size(best.first.size_bytes)}."
        )
    elif best.first.kind == "bow" and num_labelled >= FEW_LABELS and len(board.models) == 1:
        yield (
            "**Try a larger model.** With this many labels an LSTM may see more than n-grams: "
            "`plaudit recipes quick --out mine.toml` writes a recipe with both, side by side."
        )
    elif best.first.kind in ("lstm", "transformer", "ensemble"):
        yield (
            "**Make it smaller and faster** where that matters: `plaudit compress` prunes, quantizes or distills it."
        )
    result = best.first
    if result.calibration is None and result.ece > POORLY_CALIBRATED and result.n >= ENOUGH_TO_CALIBRATE:
        yield (
            f"**Calibrate its probabilities.** They are off by {percent(result.ece)} on average: `plaudit calibrate` "
            "with labelled texts that it has not learned from."
        )
