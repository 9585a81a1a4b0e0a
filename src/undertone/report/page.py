"""A run becomes the text of one HTML file: no network, no script, and the same bytes from the same files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from undertone.data.quality import QualityReport
from undertone.errors import DataError
from undertone.evaluate.metrics import reliability
from undertone.evaluate.results import Result
from undertone.report import figures
from undertone.report.run import Run

HERE = Path(__file__).parent
NUM_MISTAKES = 10


@dataclass(frozen=True)
class Group:
    """The results on one split of one data set, the most accurate first."""

    data: str
    split: str
    results: tuple[Result, ...]

    @property
    def best(self) -> Result:
        """The most accurate model's result."""
        return self.results[0]

    @property
    def fastest(self) -> Result:
        """The result of the model with the highest throughput."""
        return max(self.results, key=lambda result: result.reviews_per_second)

    def speed_chart(self) -> Markup | None:
        """Accuracy against speed; None for a model alone, which has nothing to stand against."""
        return Markup(figures.accuracy_against_speed(self.results)) if len(self.results) > 1 else None


@dataclass(frozen=True)
class Training:
    """The log of one model's training, drawn."""

    model: str
    charts: Mapping[str, Markup]
    last_epoch: Mapping[str, Any] | None


@dataclass(frozen=True)
class Mistake:
    """A review a model is sure of and wrong about; `excerpt` is empty if the page is to hold no texts."""

    id: str
    truth: str
    predicted: str
    confidence: float
    excerpt: str


@dataclass(frozen=True)
class Judged:
    """What the predictions of one model show; the surest mistakes first."""

    result: Result
    num_wrong: int
    reliability_chart: Markup
    mistakes: tuple[Mistake, ...]


def render(run: Run, *, excerpt_characters: int) -> str:
    """Return the page; DataError if predictions are damaged or no result tells what they are of."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "duration": duration,
        "size": size,
        "rate": rate,
        "pretty": pretty,
    }
    return environment.get_template("page.html").render(
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        run=run,
        data_charts={} if run.data is None else _data_charts(run.data),
        groups=_groups(run.results),
        trainings=[_training(model, events) for model, events in run.training.items()],
        judged=[_judged(model, file, run.results, excerpt_characters) for model, file in run.predictions.items()],
        with_excerpts=excerpt_characters > 0,
    )


def _groups(results: Sequence[Result]) -> list[Group]:
    """The official test split first, since the headline speaks of the first group."""
    ordered = sorted(results, key=lambda result: (result.split != "test", *result.key[:2], -result.accuracy))
    return [
        Group(data, split, tuple(members))
        for (data, split), members in groupby(ordered, key=lambda result: result.key[:2])
    ]


def _data_charts(report: QualityReport) -> dict[str, Markup]:
    return {name: Markup(svg) for name, svg in figures.data_charts(report).items()}


def _training(model: str, events: Sequence[Mapping[str, Any]]) -> Training:
    drawn = {quantity: figures.learning_curve(events, quantity) for quantity in ("loss", "accuracy")}
    epochs = [event for event in events if event["event"] == "epoch"]
    charts = {quantity: Markup(svg) for quantity, svg in drawn.items() if svg}
    return Training(model, charts, epochs[-1] if epochs else None)


def _judged(model: str, file: Path, results: Sequence[Result], excerpt_characters: int) -> Judged:
    try:
        table = pq.read_table(file, columns=["id", "text", "label", "probabilities", "split"])
        labels = table["label"].to_numpy()
        probabilities = np.stack(table["probabilities"].to_numpy())
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{file}: not the predictions of an evaluation ({error})") from None
    of_model = {(result.model, result.split, result.n): result for result in results}
    result = of_model.get((model, table["split"][0].as_py(), len(table)))
    if result is None or probabilities.shape[1] != len(result.labels):
        raise DataError(f"{file}: no result is of these predictions; evaluate {model} again or take the file away")
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    surest = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:NUM_MISTAKES]
    return Judged(
        result,
        len(wrong),
        Markup(figures.reliability_diagram(reliability(labels, probabilities))),
        tuple(_mistakes(table.take(surest), probabilities[surest], result.labels, excerpt_characters)),
    )


def _mistakes(
    table: pa.Table, probabilities: npt.NDArray[np.float32], names: Sequence[str], excerpt_characters: int
) -> list[Mistake]:
    return [
        Mistake(
            id=row["id"],
            truth=names[row["label"]],
            predicted=names[int(row_probabilities.argmax())],
            confidence=float(row_probabilities.max()),
            excerpt=excerpt(row["text"], excerpt_characters),
        )
        for row, row_probabilities in zip(table.to_pylist(), probabilities, strict=True)
    ]


def excerpt(text: str, max_characters: int) -> str:
    """Return the text, or its beginning and its end, where reviews tend to judge, with … between them."""
    if len(text) <= max_characters:
        return text
    if max_characters == 0:
        return ""
    half = max_characters // 2
    head, tail = text[:half], text[half - max_characters :]
    return f"{head.rsplit(' ', 1)[0]} … {tail.split(' ', 1)[-1]}"


def percent(share: float, digits: int = 1) -> str:
    """91.6 % for 0.916, with a space that does not break."""
    return f"{100 * share:.{digits}f}\u00a0%"


def rate(value: float) -> str:
    """Three significant digits, grouped: 155,000 for 154,870."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """1 h 05 min, 2 min 05 s or 3.4 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def pretty(settings: Mapping[str, Any]) -> str:
    """Indented JSON."""
    return json.dumps(settings, indent=2, ensure_ascii=False)


def size(num_bytes: float) -> str:
    """2.95 MB for 2,950,000."""
    return f"{rate(num_bytes / 1e6)} MB" if num_bytes >= 1e5 else f"{rate(num_bytes / 1e3)} kB"
