"""Studies beside the runs: what compression, cleaning and distributed training cost and bring, and peers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from plaudit.errors import DataError
from plaudit.evaluate.sweep_results import Row as SweepRow
from plaudit.evaluate.sweep_results import summary
from plaudit.report import figures
from plaudit.report.document import Block, Figure, Heading, Missing, Paragraph, Row, Section, Table, columns
from plaudit.report.evidence import STUDIES, Evidence
from plaudit.report.numbers import bare_percent, interval, percent, points, rate, size
from plaudit.report.scored import Group

Builder = Callable[[Any], Iterable[Block]]


def compression(evidence: Evidence, groups: Sequence[Group]) -> Section:
    """The steps that made each compressed model, then the studies of pruning and distillation, and peers."""
    blocks: list[Block] = [*_steps(groups[0])]
    blocks += _study(evidence, "sweep", "how accuracy, speed and size depend on the share pruned", _sweep)
    blocks += _study(evidence, "distillation", "what each objective and transfer set is worth", _distillation)
    blocks += _study(evidence, "peers", "other tools on the same reviews and machine", _peers)
    return Section("compression", "Compression", tuple(blocks))


def distributed(evidence: Evidence) -> Section:
    """What ranks send, wait and reach."""
    blocks: list[Block] = []
    blocks += _study(evidence, "distributed", "training by several processes over slow links", _exchanges)
    blocks += _study(evidence, "idle", "how long ranks wait for each other", _idle)
    blocks += _study(evidence, "kills", "what becomes of a run whose ranks are killed", _kills)
    blocks += _study(evidence, "scaling", "what to expect of many GPUs", _scaling)
    return Section("distributed", "Distributed training", tuple(blocks))


def cleaning(evidence: Evidence) -> Section:
    """What each cleaning setting is worth."""
    blocks = _study(evidence, "cleaning", "what each cleaning setting is worth", _cleaning)
    return Section("cleaning", "Cleaning", tuple(blocks))


def _study(evidence: Evidence, name: str, what: str, build: Builder) -> list[Block]:
    if name not in evidence.studies:
        return [Missing(what, STUDIES[name])]
    try:
        return list(build(evidence.studies[name]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"{STUDIES[name]}: not what its command writes ({type(error).__name__}: {error}); make it again or take "
            "it away"
        ) from None


def _steps(group: Group) -> list[Block]:
    """Models that name another one of theirs as where they come from."""
    rows = []
    for scored in group.scored:
        table = (scored.first.recipe or {}).get("models", {}).get(scored.first.model, {})
        steps = [method for method in ("distill", "prune", "quantize") if method in table]
        if not steps:
            continue
        settings = table[steps[0]]
        ratio = settings.get("ratio")
        how = {
            "distill": ", ".join(settings.get("teachers") or ()) or settings.get("soft_labels") or "soft labels",
            "prune": f"{percent(ratio, 0)} of it" if ratio is not None else "within a drop of accuracy",
            "quantize": "int8",
        }[steps[0]]
        rows.append(
            (
                scored.name,
                steps[0],
                table.get("from", "–"),
                how,
                bare_percent(scored.accuracy),
                interval(scored.interval),
                rate(scored.first.reviews_per_second),
                size(scored.first.size_bytes),
            )
        )
    if not rows:
        return [Missing("models that were pruned, distilled or quantized", "results.json of a run that compresses")]
    heads = columns("Model", "Step", "From", "How", "#Accuracy, %", "#95 % interval", "#Reviews/s", "#Size")
    return [Table(f"Compressed models on {group.data}, {group.split}", heads, tuple(rows))]


def _sweep(lines: Sequence[Mapping[str, Any]]) -> Iterable[Block]:
    table = summary([SweepRow(**line) for line in lines[1:]])
    seeds = max(row["seeds"] for row in table)
    yield Figure(
        figures.pruning_sweep(table),
        "Accuracy, speed and size against the share pruned, one shot and in stages",
        f"Pruning {lines[0]['model']}: up to {seeds} seeds a point, on validation; bars from the least to the "
        "greatest.",
    )
    heads = columns("Schedule", "#Pruned", "#Seeds", "#Validation, %", "#least to greatest", "#Reviews/s", "#Size")
    yield Table(
        "The points of the figure",
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
    yield Heading("Against peers, in one run")
    rows = sorted((row for row in study["rows"] if row["best_of_family"]), key=lambda row: -row["reviews_per_second"])
    yield Table(
        f"The same reviews and machine ({study['cpu']}); of each family its best",
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
        columns("Exchange", "Link", "#Seconds an epoch", "#Bytes a step", "#Share of exchange", "#Accuracy, %"),
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
        figures.link_speeds([row for row in rows if row["link"]]),
        "Tokens per second of each way of exchange over each link",
        "How much of its speed each way of exchange keeps as the link slows down.",
    )


def _idle(study: Mapping[str, Any]) -> Iterable[Block]:
    yield Table(
        "Share of time that ranks wait for each other, and of tokens that are padding: played from measured step costs "
        f"({study['cpu']})",
        columns("Texts cut to", "#Ranks", "#Ours idle", "#DistributedSampler idle", "#Ours padding", "#Theirs padding"),
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


def _kills(study: Mapping[str, Any]) -> Iterable[Block]:
    yield Paragraph(
        f"A rank was killed at a random step in **{study['num_kills']}** runs of {study['num_steps']} steps; "
        f"**{study['num_same_bits']}** of them ended with the very weights of an undisturbed run "
        f"(`{study['command']}`)."
    )


def _scaling(study: Mapping[str, Any]) -> Iterable[Block]:
    yield Paragraph(
        f"A cost model fitted to these measurements is off by {percent(study['mean_error'])} on average and "
        f"{percent(study['greatest_error'])} at most on them. What it says of more ranks is a prediction, not a "
        "measurement, and is left to the documentation.",
        is_quiet=True,
    )


def _cleaning(study: Mapping[str, Any]) -> Iterable[Block]:
    kinds = list(dict.fromkeys(row["kind"] for row in study["rows"]))
    yield Row(tuple(_cleaning_table(kind, [row for row in study["rows"] if row["kind"] == kind]) for kind in kinds))
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
