"""A tuning as a table in the terminal, and as charts."""

from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from plaudit.console import needs_extra, table
from plaudit.search.tune import Tuning
from plaudit.storage import write_text

_NUM_SHOWN = 5


def show(tuning: Tuning, console: Console) -> None:
    """Print the best trials with their settings, and which settings mattered."""
    counts = {state: sum(trial.state == state for trial in tuning.trials) for state in ("pruned", "failed")}
    others = "".join(f", {count} {state}" for state, count in counts.items() if count)
    title = f"{tuning.search.model}: the best of {len(tuning.trials)} trials{others}"
    rows = table("#trial", "#accuracy %", "#log loss", "#s", "settings", title=title)
    for trial in tuning.ranked[:_NUM_SHOWN]:
        assert trial.accuracy is not None and trial.log_loss is not None
        rows.add_row(
            str(trial.number),
            f"{100 * trial.accuracy:.2f}",
            f"{trial.log_loss:.4f}",
            f"{trial.seconds:.1f}",
            ", ".join(f"{path.rpartition('.')[2]} {value}" for path, value in trial.values.items()),
        )
    console.print(rows)
    if tuning.importance is None:
        console.print(f"Which settings matter is unknown: {tuning.no_importance}.", highlight=False)
    else:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in tuning.importance.items())
        console.print(f"How much each setting mattered: {shares}.", highlight=False)


def draw(tuning: Tuning, out: Path) -> None:
    """Write history.svg and, if known, importance.svg; MissingExtraError if nothing here can draw."""
    with needs_extra("report", "history.svg"):
        from plaudit.report.search_charts import setting_importance, tuning_history
    history = tuning_history([asdict(trial) for trial in tuning.trials], tuning.search.objective)
    write_text(out / "history.svg", history)
    if tuning.importance is not None:
        write_text(out / "importance.svg", setting_importance(tuning.importance))
