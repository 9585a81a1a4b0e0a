"""Score many files into a folder of parts, with an engine that decides where parts are scored."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from plaudit.data.formats.find import InputFile
from plaudit.data.formats.open import file_suffix
from plaudit.data.formats.read_options import ReadOptions
from plaudit.errors import DataError, OutputError
from plaudit.predictor import Predictor
from plaudit.scale.job import Job, JobFolder, Part, cut_into_parts
from plaudit.scale.part import choose_columns
from plaudit.scale.progress import Progress, scoring_progress
from plaudit.settings import Settings

Engine = Callable[[Predictor, JobFolder, Sequence[Part], Progress], None]


class Summary(Settings):
    """The result of a job in numbers."""

    output: str
    parts: int
    rows: int
    rows_without_text: int
    abstained: int
    rejected: int
    rows_of_this_run: int
    """Less than `rows` if some parts were done before."""
    seconds: float
    rows_per_second: int
    """Of this run."""
    model_digest: str


def score_folder(
    predictor: Predictor,
    files: Sequence[InputFile],
    out: Path,
    *,
    suffix: str,
    column: str | None,
    read_options: ReadOptions | None = None,
    drop: Sequence[str],
    rejects: bool,
    resume: bool,
    engine: Engine,
    console: Console,
) -> Summary:
    """Score files into a folder of parts in the format of `suffix`.

    With `resume`, parts that are done are left as they are. OutputError if the folder holds anything but this job.
    DataError if no row can be read.
    """
    first = files[0].location
    columns = choose_columns(first, predictor.labels, read_options, text=column, drop=drop, rejects=rejects)
    all_parquet = {suffix, *(file_suffix(file.location) for file in files)} == {".parquet"}
    job = Job(
        model_digest=predictor.digest,
        abstain_below=predictor.abstain_below,
        columns=columns.model_copy(update={"keep_types": all_parquet}),
        rejects=rejects,
        parts=tuple(cut_into_parts(files, suffix)),
    )
    folder = JobFolder(out, job)
    folder.begin(resume=resume)
    rows_before = folder.total().rows
    start = time.perf_counter()
    _score_missing_parts(predictor, folder, engine, console)
    seconds = time.perf_counter() - start
    counts = folder.total()
    if not counts.rows:
        where = f"; {out / '_rejected'} says why" if counts.rejected else ""
        raise DataError(f"{first}: no row of the input can be scored{where}")
    rows = counts.rows - rows_before
    summary = Summary(
        output=str(out),
        parts=len(job.parts),
        **counts._asdict(),
        rows_of_this_run=rows,
        seconds=round(seconds, 3),
        rows_per_second=round(rows / seconds),
        model_digest=job.model_digest,
    )
    folder.end(summary.model_dump_json(indent=1) + "\n")
    return summary


def _score_missing_parts(predictor: Predictor, folder: JobFolder, engine: Engine, console: Console) -> None:
    missing = [part for part in folder.job.parts if folder.counts(part) is None]
    if not missing:
        return
    files = list(dict.fromkeys(part.file for part in folder.job.parts))
    what = f"Scoring {len(files):,} files" if len(files) > 1 else f"Scoring {files[0]}"
    size_bytes = sum(part.size_bytes for part in missing)
    with scoring_progress(what, total_bytes=size_bytes, console=console) as progress:
        engine(predictor, folder, missing, progress)
    for part in missing:
        if folder.counts(part) is None:
            raise OutputError(
                f"{folder.path}: {part.name} is not there; do all nodes see this folder? --resume continues"
            )
