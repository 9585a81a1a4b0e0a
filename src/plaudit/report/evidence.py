"""What a report is made from: run folders, and files of studies beside them; all but one result may be missing."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from plaudit.data.quality.report import QualityReport
from plaudit.errors import DataError
from plaudit.evaluate.analysis import Analysis, read_analysis
from plaudit.evaluate.errors.mistakes import Errors, read_errors
from plaudit.evaluate.results import Result, read_results
from plaudit.evaluate.robustness.results import Robustness, read_robustness

REMEDY = "make it again or take the file away"

STUDIES = {
    "sweep": "prune-sweep/sweep.jsonl",
    "distillation": "distillation.json",
    "peers": "peers.json",
    "cleaning": "cleaning.json",
    "distributed": "bench_distributed.json",
    "idle": "bench_idle_ranks.json",
    "kills": "bench_kill_ranks.json",
    "scaling": "bench_distributed_costs.json",
}
"""Files of studies, by what they are of, relative to the folder of a report."""

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """Results of one run, and what is there besides; `training` and `predictions` are by model name."""

    name: str
    results: tuple[Result, ...]
    recipe: Mapping[str, Any] | None = None
    data: QualityReport | None = None
    training: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    predictions: Mapping[str, Path] = field(default_factory=dict)
    analysis: Analysis | None = None
    robustness: Robustness | None = None
    errors: Errors | None = None


@dataclass(frozen=True)
class Evidence:
    """Runs, the one in the folder itself first; studies by their names in STUDIES."""

    runs: tuple[Run, ...]
    studies: Mapping[str, Any]

    @property
    def results(self) -> Iterator[tuple[Run, Result]]:
        """Every result, with its run."""
        return ((run, result) for run in self.runs for result in run.results)


def read_evidence(path: Path) -> Evidence:
    """Read a results file, a run folder, or a folder of such; DataError if a file is damaged or none has results."""
    if not path.is_dir():
        results = read_results(path).results
        if not results:
            raise DataError(f"{path}: holds no results; `plaudit evaluate MODEL --data NAME --out {path}` adds one")
        return Evidence((Run(path.stem, results),), {})
    folders = [path, *sorted(folder for folder in path.iterdir() if folder.is_dir())]
    runs = tuple(_read_run(folder) for folder in folders if (folder / "results.json").exists())
    if not any(run.results for run in runs):
        read_results(path / "results.json")  # says what is missing
        raise DataError(f"{path / 'results.json'}: holds no results; `plaudit run` or `plaudit evaluate` adds them")
    studies = {name: _study(path / file) for name, file in STUDIES.items() if (path / file).exists()}
    return Evidence(runs, studies)


def _read_run(folder: Path) -> Run:
    def optional(name: str, read: Callable[[Path], T]) -> T | None:
        return read(folder / name) if (folder / name).exists() else None

    return Run(
        name=folder.name or folder.resolve().name,
        results=read_results(folder / "results.json").results,
        recipe=optional("recipe.json", _json_object),
        data=optional("data.json", _quality),
        training={log.parent.name: _events(log) for log in sorted(folder.glob("training/*/metrics.jsonl"))},
        predictions={file.stem: file for file in sorted(folder.glob("predictions/*.parquet"))},
        analysis=optional("analysis.json", read_analysis),
        robustness=optional("robustness.json", read_robustness),
        errors=optional("errors.json", read_errors),
    )


def _study(path: Path) -> Any:  # noqa: ANN401
    if path.suffix == ".jsonl":
        return [_parse_object(line, where=str(path)) for line in path.read_bytes().splitlines()]
    return _json_object(path)


def _json_object(path: Path) -> dict[str, Any]:
    return _parse_object(path.read_bytes(), where=str(path))


def _quality(path: Path) -> QualityReport:
    try:
        return TypeAdapter(QualityReport).validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise DataError(f"{path}: damaged, {where}: {problem['msg']}; {REMEDY}") from None


def _events(path: Path) -> list[dict[str, Any]]:
    lines = path.read_bytes().splitlines()
    events = [_parse_object(line, where=f"{path}, line {number}") for number, line in enumerate(lines, start=1)]
    if not all({"event", "step"} <= event.keys() for event in events):
        raise DataError(f"{path}: not a training log: each line needs event and step; {REMEDY}")
    return events


def _parse_object(text: bytes, *, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(f"{where}: damaged, not JSON ({error}); {REMEDY}") from None
    if not isinstance(content, dict):
        raise DataError(f"{where}: a JSON object is expected; {REMEDY}")
    return content
