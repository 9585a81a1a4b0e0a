"""What a report is made from: the files of a run folder, each of which but the results may be missing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from undertone.data.quality import QualityReport
from undertone.errors import DataError
from undertone.evaluate.results import Result, read_results

REMEDY = "make the run again or take the file away"


@dataclass(frozen=True)
class Run:
    """Results, and what is there besides; `training` and `predictions` are by model name."""

    results: tuple[Result, ...]
    recipe: Mapping[str, Any] | None = None
    data: QualityReport | None = None
    training: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    predictions: Mapping[str, Path] = field(default_factory=dict)


def read_run(path: Path) -> Run:
    """Read a run folder, or a results file alone; DataError if a file is damaged or holds no results."""
    if not path.is_dir():
        return Run(results=_results(path))
    return Run(
        results=_results(path / "results.json"),
        recipe=_json_object(path / "recipe.json"),
        data=_quality(path / "data.json"),
        training={log.parent.name: _events(log) for log in sorted(path.glob("training/*/metrics.jsonl"))},
        predictions={file.stem: file for file in sorted(path.glob("predictions/*.parquet"))},
    )


def _results(path: Path) -> tuple[Result, ...]:
    results = read_results(path).results
    if not results:
        raise DataError(f"{path}: holds no results; `undertone evaluate MODEL --data NAME --out {path}` adds one")
    return results


def _json_object(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    return _parse_object(path.read_bytes(), where=str(path))


def _quality(path: Path) -> QualityReport | None:
    if not path.exists():
        return None
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
