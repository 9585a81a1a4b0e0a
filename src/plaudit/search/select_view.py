"""A selection as a table and a recommendation in the terminal, and as a chart."""

from pathlib import Path

from rich.console import Console

from plaudit.console import needs_extra, table
from plaudit.search.comparison import Candidate, Constraints, Selection
from plaudit.storage import write_text


def show(selection: Selection, console: Console) -> None:
    """Print the comparison, the most accurate model first, and the recommendation."""
    rows = table(
        *("model", "#accuracy % (95 %)", "#below best (95 %)", "#loss", "#ms", "#MB", "#train s"),
        title=f"{selection.data}: {selection.n:,} reviews, each predicted by models that were trained without it",
    )
    for each in selection.candidates:
        low, high = each.accuracy_ci95
        rows.add_row(
            each.model,
            f"{100 * each.accuracy:.2f} ({100 * low:.1f}–{100 * high:.1f})",
            _below_best(each),
            f"{each.log_loss:.3f}",
            f"{each.latency_ms_p50:,.3g}",
            f"{each.size_bytes / 1e6:.2f}",
            f"{each.train_seconds:,.1f}",
        )
    console.print(rows)
    console.print(recommendation(selection), highlight=False)


def recommendation(selection: Selection) -> str:
    """Return in a few sentences which model to take, or why none."""
    by_name = {each.model: each for each in selection.candidates}
    limits = _limits(selection.constraints)
    if selection.nearest is not None:
        nearest = by_name[selection.nearest]
        reached = " and ".join(_reached(nearest, name) for name in nearest.misses)
        return f"No model meets {limits}. The nearest is {nearest.model}, with {reached}."
    sentences = [f"Most accurate: {selection.most_accurate}."]
    if selection.as_good:
        sentences.append(f"Equally good, as far as these reviews can tell: {', '.join(selection.as_good)}.")
    else:
        sentences.append("No other model is as good.")
    if misses := [each.model for each in selection.candidates if each.misses]:
        sentences.append(f"Not considered, because they do not meet {limits}: {', '.join(misses)}.")
    recommended = by_name[str(selection.recommended)]
    reason = ", the fastest of the equally good, or the smallest of those about as fast" if selection.as_good else ""
    latency = f"{recommended.latency_ms_p50:.2g} ms a review"
    return f"{' '.join(sentences)}\nRecommended: {recommended.model} ({latency}){reason}."


def draw(selection: Selection, path: Path) -> None:
    """Write accuracy against latency as SVG; MissingExtraError if nothing here can draw."""
    with needs_extra("report", path.name):
        from plaudit.report.search_charts import accuracy_against_latency
    points = [
        {
            "model": each.model,
            "latency_ms": each.latency_ms_p50,
            "accuracy": each.accuracy,
            "low": each.accuracy_ci95[0],
            "high": each.accuracy_ci95[1],
        }
        for each in selection.candidates
    ]
    write_text(path, accuracy_against_latency(points))


def _below_best(each: Candidate) -> str:
    if each.below_best is None or each.below_best_ci95 is None:
        return "–" if each.misses else "best"
    low, high = each.below_best_ci95
    return f"{100 * each.below_best:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _limits(constraints: Constraints) -> str:
    limits = {
        "ms": constraints.max_latency_ms,
        "MB": constraints.max_size_mb,
        "% accuracy": constraints.min_accuracy,
    }
    return " and ".join(f"{value:g} {unit}" for unit, value in limits.items() if value is not None)


def _reached(each: Candidate, constraint: str) -> str:
    return {
        "latency_ms": f"{each.latency_ms_p50:.3g} ms",
        "size_mb": f"{each.size_bytes / 1e6:.3g} MB",
        "accuracy": f"{100 * each.accuracy:.2f} % accuracy",
    }[constraint]
