"""A tuning as a table in the terminal, and as charts."""

from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from plaudit.search.tune import Tuning
from plaudit.storage import replacing

_SHOWN = 5


def render(tuning: Tuning, console: Console) -> None:
    """Print the best trials and their settings, and which settings mattered."""
    counts = {state: sum(trial.state == state for trial in tuning.trials) for state in ("pruned", "failed")}
    remarks = "".join(f", {count} {state}" for state, count in counts.items() if count)
    table = Table(
        title=f"{tuning.plan.model}: the best of {len(tuning.trials)} trials{remarks}",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for column in ("trial", "accuracy %", "log loss", "s"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("settings", overflow="fold")
    for trial in tuning.ranked[:_SHOWN]:
        assert trial.accuracy is not None and trial.log_loss is not None
        table.add_row(
            str(trial.number),
            f"{100 * trial.accuracy:.2f}",
            f"{trial.log_loss:.4f}",
            f"{trial.seconds:.1f}",
            ", ".join(f"{path.rpartition('.')[2]} {value}" for path, value in trial.values.items()),
        )
    console.print(table)
    if tuning.importance is None:
        console.print(f"Which setting matters is left out: {tuning.no_importance}.", highlight=False)
    else:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in tuning.importance.items())
        console.print(f"Share of the variation: {shares}.", highlight=False)


def draw(tuning: Tuning, out: Path) -> str | None:
    """Write history.svg and, if known, importance.svg; return what is missing if they cannot be drawn here."""
    try:
        from plaudit.report.search_charts import setting_importance, tuning_history
    except ModuleNotFoundError as error:
        if error.name not in ("altair", "vl_convert"):
            raise
        return f"history.svg is left out, since {error.name} is missing: pip install 'plaudit[report]'"
    drawn = {"history.svg": tuning_history([asdict(trial) for trial in tuning.trials], tuning.plan.objective)}
    if tuning.importance is not None:
        drawn["importance.svg"] = setting_importance(tuning.importance)
    for name, svg in drawn.items():
        with replacing(out / name, hint="give a folder with room as --out") as temporary:
            temporary.write_text(svg, encoding="utf-8")
    return None
