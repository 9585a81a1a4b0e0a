"""A selection as a table and one sentence in the terminal, and as a chart."""

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from plaudit.search.select import Candidate, Constraints, Selection
from plaudit.storage import replacing


def render(selection: Selection, console: Console) -> None:
    """Print the comparison, the most accurate model first, and what follows from it."""
    table = Table(
        title=f"{selection.data}: {selection.n:,} reviews, each judged by models that never saw it",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("model", overflow="fold", min_width=8)
    for column in ("accuracy % (95 %)", "below best (95 %)", "loss", "ms", "MB", "train s"):
        table.add_column(column, justify="right", no_wrap=True)
    for each in selection.candidates:
        low, high = each.accuracy_ci95
        table.add_row(
            each.model,
            f"{100 * each.accuracy:.2f} ({100 * low:.1f}–{100 * high:.1f})",
            _below(each),
            f"{each.log_loss:.3f}",
            f"{each.latency_ms_p50:,.3g}",
            f"{each.size_bytes / 1e6:.2f}",
            f"{each.train_seconds:,.1f}",
        )
    console.print(table)
    console.print(verdict(selection), highlight=False)


def verdict(selection: Selection) -> str:
    """Return in a sentence or three which model to take, or why none."""
    by_name = {each.model: each for each in selection.candidates}
    if selection.most_accurate is None:
        assert selection.nearest is not None
        nearest = by_name[selection.nearest]
        return (
            f"No model keeps to {_asked(selection.constraints)}. Nearest: {nearest.model}, with "
            f"{' and '.join(_reached(nearest, name) for name in nearest.misses)}."
        )
    said = f"Most accurate: {selection.most_accurate}."
    if selection.as_good:
        said += f" As good, as far as these reviews can tell: {', '.join(selection.as_good)}."
    else:
        said += " No other is as good."
    if out := [each.model for each in selection.candidates if each.misses]:
        said += f" Left out, since it does not keep to {_asked(selection.constraints)}: {', '.join(out)}."
    recommended = by_name[str(selection.recommended)]
    why = "the fastest of these, or the smallest of those about as fast, " if selection.as_good else ""
    return f"{said}\nRecommended: {recommended.model}, {why}{recommended.latency_ms_p50:.2g} ms a review."


def draw(selection: Selection, path: Path) -> str | None:
    """Write accuracy against latency as SVG; return what is missing if that cannot be drawn here."""
    try:
        from plaudit.report.search_charts import accuracy_against_latency
    except ModuleNotFoundError as error:
        if error.name not in ("altair", "vl_convert"):
            raise
        return f"{path.name} is left out, since {error.name} is missing: pip install 'plaudit[report]'"
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
    with replacing(path, hint="give a folder with room as --out") as temporary:
        temporary.write_text(accuracy_against_latency(points), encoding="utf-8")
    return None


def _below(each: Candidate) -> str:
    if each.below_best is None or each.below_best_ci95 is None:
        return "–" if each.misses else "best"
    low, high = each.below_best_ci95
    return f"{100 * each.below_best:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _asked(constraints: Constraints) -> str:
    asked = []
    if constraints.max_latency_ms is not None:
        asked.append(f"{constraints.max_latency_ms:g} ms")
    if constraints.max_size_mb is not None:
        asked.append(f"{constraints.max_size_mb:g} MB")
    if constraints.min_accuracy is not None:
        asked.append(f"{constraints.min_accuracy:g} % accuracy")
    return " and ".join(asked)


def _reached(each: Candidate, constraint: str) -> str:
    return {
        "latency_ms": f"{each.latency_ms_p50:.3g} ms",
        "size_mb": f"{each.size_bytes / 1e6:.3g} MB",
        "accuracy": f"{100 * each.accuracy:.2f} % accuracy",
    }[constraint]
