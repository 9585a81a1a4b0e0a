"""Means, intervals, verdicts and tables of the rows of bench/own_texts.py."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from rich.table import Table

from peers.own import MINILM, NO_HEAD_START, OURS, TFIDF

CLOSE = 0.005
"""Half a point: as good as the best peer."""


def means(rows: Sequence[Any], groups: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the mean accuracy and times by group and model, "all" among the groups, of models that have every set."""
    result: dict[str, dict[str, Any]] = {}
    for group in ("all", *dict.fromkeys(groups.values())):
        sets = {name for name, its_group in groups.items() if group in ("all", its_group)}
        for model in dict.fromkeys(row.model for row in rows):
            own = [row for row in rows if row.model == model and row.set in sets]
            if len(own) == len(sets):
                result.setdefault(group, {})[model] = {
                    "sets": len(sets),
                    "accuracy": round(mean(row.accuracy for row in own), 6),
                    "train_cpu_seconds": round(mean(row.train_cpu_seconds for row in own), 3),
                    "predict_cpu_seconds": round(mean(row.predict_cpu_seconds for row in own), 3),
                }
    return result


def verdicts(rows: Sequence[Any], averages: Mapping[str, Mapping[str, Any]], num_sets: int) -> list[str]:
    """Say how ours compare with the best peer of each set, MiniLM apart, and with TF-IDF; nothing if any is missing."""
    ours = {row.set: row.accuracy for row in rows if row.model == OURS}
    peers: dict[str, list[tuple[float, str]]] = {}
    for row in rows:
        if row.model not in (OURS, NO_HEAD_START, MINILM):
            peers.setdefault(row.set, []).append((row.accuracy, row.model))
    if len(ours) < num_sets or not all(name in peers for name in ours):
        return []
    behind = {name: max(peers[name])[0] - accuracy for name, accuracy in ours.items()}
    close = sum(points <= CLOSE + 1e-9 for points in behind.values())
    lines = [
        f"{OURS}: best or within {100 * CLOSE} points of the best peer, MiniLM apart, on {close} of {num_sets} sets"
    ]
    lines += [
        f"{OURS} on {name}: {100 * points:.1f} points behind {max(peers[name])[1]}"
        for name, points in sorted(behind.items(), key=lambda item: -item[1])
        if points > CLOSE + 1e-9
    ]
    for group, models in averages.items():
        if TFIDF in models:
            gain = 100 * (models[OURS]["accuracy"] - models[TFIDF]["accuracy"])
            lines.append(f"{OURS}, mean of {group} ({models[OURS]['sets']} sets): {gain:+.2f} points against {TFIDF}")
    return lines


def curve_points(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the mean over the draws of each model and number of labels, with its 95 % interval by Student's t."""
    from scipy import stats

    grouped: dict[tuple[str, int], list[Any]] = {}
    for row in rows:
        grouped.setdefault((row.model, row.num_labels), []).append(row)
    points = []
    for (model, num_labels), draws in grouped.items():
        accuracies = [row.accuracy for row in draws]
        centre, interval = mean(accuracies), None
        if len(draws) > 1:
            half = float(stats.t.ppf(0.975, len(draws) - 1)) * stdev(accuracies) / len(draws) ** 0.5
            interval = [round(max(0.0, centre - half), 6), round(min(1.0, centre + half), 6)]
        points.append(
            {
                "model": model,
                "num_labels": num_labels,
                "draws": len(draws),
                "accuracy": round(centre, 6),
                "accuracy_ci95": interval,
                "lowest": min(accuracies),
                "highest": max(accuracies),
                "train_cpu_seconds": round(mean(row.train_cpu_seconds for row in draws), 3),
                "predict_cpu_seconds": round(mean(row.predict_cpu_seconds for row in draws), 3),
            }
        )
    return points


def sets_table(rows: Sequence[Any], averages: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> Table:
    """Return accuracies by set and model, in percent, and the mean seconds."""
    result = Table("accuracy, %", caption="mean processor seconds of all sets, on train and on test")
    shown = [name for name in names if any(row.model == name for row in rows)]
    for name in shown:
        result.add_column(name, justify="right", style="bold" if name == OURS else None)
    accuracy = {(row.set, row.model): row for row in rows}
    for task in dict.fromkeys(row.set for row in rows):
        result.add_row(task, *(_percent(accuracy.get((task, name))) for name in shown))
    for group, models in averages.items():
        cells = (f"{100 * models[name]['accuracy']:.2f}" if name in models else "–" for name in shown)
        result.add_row(f"mean: {group}", *cells, style="bold")
    for of in ("train_cpu_seconds", "predict_cpu_seconds"):
        cells = (f"{averages['all'][name][of]:.1f}" if name in averages.get("all", {}) else "–" for name in shown)
        result.add_row(of.replace("_cpu", "").replace("_", " "), *cells)
    return result


def _percent(row: Any) -> str:
    if row is None:
        return "–"
    low, high = row.accuracy_ci95
    return f"{100 * row.accuracy:.1f} ± {50 * (high - low):.1f}"


def curve_table(points: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Table:
    """Return accuracies by number of labels and model, in percent, with half of each interval."""
    result = Table("labels", caption="accuracy, %, ± half the 95 % interval over draws")
    found = {(point["num_labels"], point["model"]): point for point in points}
    shown = [name for name in names if any(model == name for _, model in found)]
    for name in shown:
        result.add_column(name, justify="right", style="bold" if name == OURS else None)
    for num_labels in sorted({num_labels for num_labels, _ in found}):
        cells = []
        for name in shown:
            point = found.get((num_labels, name))
            low, high = (point and point["accuracy_ci95"]) or (0, 0)
            cells.append(f"{100 * point['accuracy']:.1f} ± {50 * (high - low):.1f}" if point else "–")
        result.add_row(f"{num_labels:,}", *cells)
    return result
