"""Reads what runs left in their folders; of one run, everything but its results may be missing."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from plaudit.data.quality.report import QualityReport
from plaudit.errors import DataError
from plaudit.evaluate.analysis import Analysis, read_analysis
from plaudit.evaluate.errors.mistakes import Errors, read_errors
from plaudit.evaluate.record import describe_problem
from plaudit.evaluate.results import Result, read_results
from plaudit.evaluate.robustness.results import Robustness, read_robustness
from plaudit.evaluate.words import Words, read_words

T = TypeVar("T")

_REMEDY = "make it again or remove the file"


@dataclass(frozen=True)
class Candidate:
    """Settings that were tried, and how they did in cross-validation."""

    candidate: str
    chosen: bool
    accuracy: float
    log_loss: float


@dataclass(frozen=True)
class Choice:
    """The content of `choice.json`, which `plaudit train FILE` writes."""

    num_texts: int
    num_folds: int
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class RunFolder:
    """The results of one run and its other files; `training` and `predictions` are by model name."""

    name: str
    results: tuple[Result, ...]
    recipe: Mapping[str, Any] | None = None
    recipe_toml: str | None = None
    choice: Choice | None = None
    data: QualityReport | None = None
    training: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    predictions: Mapping[str, Path] = field(default_factory=dict)
    analysis: Analysis | None = None
    robustness: Robustness | None = None
    errors: Errors | None = None
    words: Words | None = None


def read_runs(path: Path) -> tuple[RunFolder, ...]:
    """Read a results file, a run folder, or a folder of run folders, whose own run comes first.

    DataError if a file is damaged or none has results.
    """
    if not path.is_dir():
        results = read_results(path).results
        if not results:
            raise DataError(
                f"{path}: contains no results; add some with `plaudit evaluate MODEL --data NAME --out {path}`"
            )
        return (RunFolder(path.stem, results),)
    folders = [path, *sorted(folder for folder in path.iterdir() if folder.is_dir())]
    runs = tuple(_read_run(folder) for folder in folders if (folder / "results.json").exists())
    if not any(run.results for run in runs):
        read_results(path / "results.json")  # explains what is missing
        raise DataError(
            f"{path / 'results.json'}: contains no results; add some with `plaudit run` or `plaudit evaluate`"
        )
    return runs


def _read_run(folder: Path) -> RunFolder:
    def optional(name: str, read: Callable[[Path], T]) -> T | None:
        return read(folder / name) if (folder / name).exists() else None

    return RunFolder(
        name=folder.name or folder.resolve().name,
        results=read_results(folder / "results.json").results,
        recipe=optional("recipe.json", lambda path: _parse_object(path.read_bytes(), where=str(path))),
        recipe_toml=optional("recipe.toml", _read_text),
        choice=optional("choice.json", lambda path: _validated(Choice, path)),
        data=optional("data.json", lambda path: _validated(QualityReport, path)),
        training={log.parent.name: _read_log(log) for log in sorted(folder.glob("training/*/metrics.jsonl"))},
        predictions={file.stem: file for file in sorted(folder.glob("predictions/*.parquet"))},
        analysis=optional("analysis.json", read_analysis),
        robustness=optional("robustness.json", read_robustness),
        errors=optional("errors.json", read_errors),
        words=optional("words.json", read_words),
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: damaged, not UTF-8 ({error.reason}); {_REMEDY}") from None


def _validated(kind: type[T], path: Path) -> T:
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except ValidationError as error:
        raise DataError(f"{path}: damaged, {describe_problem(error)}; {_REMEDY}") from None


def _read_log(path: Path) -> list[dict[str, Any]]:
    lines = path.read_bytes().splitlines()
    events = [_parse_object(line, where=f"{path}, line {number}") for number, line in enumerate(lines, start=1)]
    if not all({"event", "step"} <= event.keys() for event in events):
        raise DataError(f"{path}: not a training log: each line needs event and step; {_REMEDY}")
    return events


def _parse_object(text: bytes, *, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(f"{where}: damaged, not JSON ({error}); {_REMEDY}") from None
    if not isinstance(content, dict):
        raise DataError(f"{where}: not a JSON object; {_REMEDY}")
    return content
