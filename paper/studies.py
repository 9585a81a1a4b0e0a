"""Chapters on studies: what compression, cleaning and distributed training cost and gain, and peers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import altair as alt

from plaudit.report import figures
from plaudit.report.document import Block, Figure, Heading, Paragraph, Section, SideBySide, Table, columns
from plaudit.report.leaderboard import Leaderboard
from plaudit.report.numbers import bare_percent, interval, percent, points, rate, size
from plaudit.report.search_charts import pruning_sweep
from plaudit.search.sweep_results import SweepRow, summary

Study = Callable[[str], Any]
"""Reads the file of a study by its name."""


def compression(study: Study, board: Leaderboard) -> Section:
    """The compressed models, then the studies of pruning and distillation, and peers."""
    blocks = [
        _compressed(board),
        *_sweep(study("prune-sweep/sweep.jsonl")),
        *_distillation(study("distillation.json")),
        *_peers(study("peers.json")),
    ]
    return Section("compression", "Compression", tuple(blocks))


def distributed(study: Study) -> Section:
    """What ranks send, how long they wait, and how they recover."""
    blocks = [
        *_exchanges(study("bench_distributed.json")),
        _idle(study("bench_idle_ranks.json")),
        _kills(study("bench_kill_ranks.json")),
        _scaling(study("bench_distributed_costs.json")),
    ]
    return Section("distributed", "Distributed training", tuple(blocks))


def cleaning(study: Study) -> Section:
    """What each cleaning setting is worth."""
    return Section("cleaning", "Cleaning", tuple(_cleaning(study("cleaning.json"))))


def _compressed(board: Leaderboard) -> Table:
    rows = []
    for entry in board.entries:
        settings = (entry.first.recipe or {}).get("models", {}).get(entry.first.model, {})
        methods = [method for method in ("distill", "prune", "quantize") if method in settings]
        if methods:
            rows.append(
                (
                    entry.name,
                    methods[0],
                    settings.get("from", "–"),
                    _how(methods[0], settings[methods[0]]),
                    bare_percent(entry.accuracy),
                    interval(entry.interval),
                    rate(entry.first.reviews_per_second),
                    size(entry.first.size_bytes),
                )
            )
    heads = columns("Model", "Method", "From", "How", "#Accuracy, %", "#95 % interval", "#Reviews/s", "#Size")
    return Table(f"Compressed models on {board.data}, {board.split}", heads, tuple(rows))


def _how(method: str, settings: Mapping[str, Any]) -> str:
    if method == "distill":
        return ", ".join(settings.get("teachers") or ()) or settings.get("soft_labels") or "soft labels"
    if method == "prune":
        ratio = settings.get("ratio")
        return f"{percent(ratio, 0)} pruned" if ratio is not None else "within a limit on the loss of accuracy"
    return "int8"


def _sweep(lines: Sequence[Mapping[str, Any]]) -> Iterable[Block]:
    table = summary([SweepRow(**line) for line in lines[1:]])
    seeds = max(row["seeds"] for row in table)
    yield Figure(
        pruning_sweep(table),
        "Accuracy, speed and size against the share pruned, one shot and in stages",
        f"Pruning {lines[0]['model']}: up to {seeds} seeds a point, on validation; bars show the range.",
    )
    heads = columns("Schedule", "#Pruned", "#Seeds", "#Validation, %", "#lowest to highest", "#Reviews/s", "#Size")
    yield Table(
        "The figure's points",
        heads,
        tuple(
            (
                row["schedule"],
                percent(row["ratio"], 0),
                str(row["seeds"]),
                bare_percent(row["accuracy"]),
                interval((row["lowest"], row["highest"])),
                rate(row["reviews_per_second"]),
                size(row["size_bytes"]),
            )
            for row in table
        ),
    )


def _distillation(study: Mapping[str, Any]) -> Iterable[Block]:
    yield Heading("Distillation: objective, transfer set, student")
    yield Table(
        f"On {study['n']:,} validation reviews; points over the control, which learns from labels alone, with "
        "paired bootstrap intervals",
        columns(
            "Student", "Objective", "Transfer set", "#Texts", "#Seeds", "#Validation, %", "#Points", "#95 % interval"
        ),
        tuple(
            (
                row["student"],
                row["objective"],
                row["transfer"],
                f"{row['texts']:,}",
                str(row["seeds"]),
                bare_percent(row["accuracy"]),
                points(row["points_over_control"] / 100),
                " to ".join(points(bound / 100) for bound in row["points_over_control_ci95"]),
            )
            for row in study["rows"]
        ),
    )


def _peers(study: Mapping[str, Any]) -> Iterable[Block]:
    yield Heading("Other tools")
    rows = sorted((row for row in study["rows"] if row["best_of_family"]), key=lambda row: -row["reviews_per_second"])
    yield Table(
        f"The best of each family, on the same reviews and machine ({study['cpu']})",
        columns("Model", "#Accuracy, %", "#95 % interval", "#Reviews/s", "#on one core", "#p50, ms", "#Size"),
        tuple(
            (
                row["name"],
                "–" if row["accuracy"] is None else bare_percent(row["accuracy"]),
                "–" if row["accuracy_ci95"] is None else interval(row["accuracy_ci95"]),
                rate(row["reviews_per_second"]),
                rate(row["reviews_per_second_one_core"]) if row.get("reviews_per_second_one_core") else "–",
                rate(row["latency_ms_p50"]) if row.get("latency_ms_p50") else "–",
                size(row["size_bytes"]) if row.get("size_bytes") else "–",
            )
            for row in rows
        ),
    )
    yield Paragraph("; ".join(study["verdicts"]) + ".", is_quiet=True)


def _exchanges(study: Mapping[str, Any]) -> Iterable[Block]:
    rows = study["rows"]
    yield Table(
        f"One LSTM trained by two processes over links of three speeds ({study['cpu']}); accuracy on the test "
        "split, one seed",
        columns("Exchange", "Link", "#Seconds an epoch", "#Bytes a step", "#Time in exchange", "#Accuracy, %"),
        tuple(
            (
                row["exchange"],
                row["link"] or "–",
                f"{row['seconds_per_epoch']:,.0f}",
                f"{row['bytes_per_step']:,}" if "bytes_per_step" in row else "–",
                percent(row["exchange_share"]) if "exchange_share" in row else "–",
                bare_percent(row["accuracy"]),
            )
            for row in rows
        ),
    )
    if "note" in study:
        yield Paragraph(f"{study['note']}.", is_quiet=True)
    yield Figure(
        _link_speeds([row for row in rows if row["link"]]),
        "Tokens per second of each exchange over each link",
        "How much of its speed each exchange keeps as the link slows down.",
    )


def _link_speeds(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw tokens per second of each exchange by link, in the order of the rows."""
    shown = [
        {**row, "tooltip": f"{row['exchange']}, {row['link']}: {rate(row['tokens_per_second'])} tokens/s"}
        for row in rows
    ]
    x = alt.X(
        "link:N", title="link", sort=list(dict.fromkeys(row["link"] for row in rows)), axis=alt.Axis(labelAngle=0)
    )
    y = alt.Y("tokens_per_second:Q", title="tokens per second", axis=alt.Axis(format="~s", tickCount=5))
    return figures.line_chart(shown, x, y, series="exchange")


def _idle(study: Mapping[str, Any]) -> Table:
    return Table(
        "Share of time that ranks wait for each other, and of tokens that are padding: simulated from measured "
        f"step costs ({study['cpu']})",
        columns(
            "Texts cut to",
            "#Ranks",
            "#Ours idle",
            "#DistributedSampler idle",
            "#Ours padding",
            "#DistributedSampler padding",
        ),
        tuple(
            (
                f"{row['max_tokens']} tokens" if row["max_tokens"] else "whole",
                str(row["ranks"]),
                percent(row["ours_idle_share"]),
                percent(abs(row["distributed_sampler_idle_share"])),
                percent(row["ours_padding_share"]),
                percent(row["distributed_sampler_padding_share"]),
            )
            for row in study["rows"]
        ),
    )


def _kills(study: Mapping[str, Any]) -> Paragraph:
    return Paragraph(
        f"A rank was killed at a random step in **{study['num_kills']}** runs of {study['num_steps']} steps; "
        f"**{study['num_same_bits']}** of them ended with exactly the weights of an uninterrupted run "
        f"(`{study['command']}`)."
    )


def _scaling(study: Mapping[str, Any]) -> Paragraph:
    return Paragraph(
        f"A cost model fitted to these measurements is off by {percent(study['mean_error'])} on average and by at most "
        f"{percent(study['greatest_error'])}. Its predictions for more ranks are in the documentation.",
        is_quiet=True,
    )


def _cleaning(study: Mapping[str, Any]) -> Iterable[Block]:
    kinds = list(dict.fromkeys(row["kind"] for row in study["rows"]))
    yield SideBySide(
        tuple(_cleaning_table(kind, [row for row in study["rows"] if row["kind"] == kind]) for kind in kinds)
    )
    yield Paragraph(
        f"{study['data']}, a model for each split. Points are the mean difference from the first row, ± its "
        "standard error over splits.",
        is_quiet=True,
    )


def _cleaning_table(kind: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        f"Cleaning for `{kind}`, held-out training reviews",
        columns("Cleaning", "#Seeds", "#Accuracy, %", "#Points", "#±"),
        tuple(
            (
                row["variant"],
                str(len(row["accuracies"])),
                bare_percent(row["accuracy"]),
                points(row["difference"]),
                bare_percent(row["standard_error"]),
            )
            for row in rows
        ),
    )
