"""Many files in, a folder of scored parts out, by whichever engine scores the parts."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from plaudit.data.formats.location import InputFile
from plaudit.data.formats.open import file_suffix
from plaudit.errors import DataError, OutputError
from plaudit.predictor import Predictor
from plaudit.scale.job import Job, JobFolder, Part, choose_columns, cut, names_of_columns
from plaudit.scale.part import Counts, Progress
from plaudit.scale.progress import shown_progress
from plaudit.scale.scorer import added_columns
from plaudit.settings import Settings

Engine = Callable[[Predictor, JobFolder, Sequence[Part], Progress], None]


class Summary(Settings):
    """What a job came to."""

    output: str
    parts: int
    rows: int
    rows_without_text: int
    abstained: int
    rejected: int
    rows_of_this_run: int
    """Less than `rows` if some parts were there already."""
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
    drop: Sequence[str],
    rejects: bool,
    resume: bool,
    engine: Engine,
    console: Console,
) -> Summary:
    """Score files into a folder of parts whose format is that of `suffix`.

    With `resume`, parts that are done are left as they are. OutputError if the folder holds anything else than a job
    that was begun the same way. DataError if no row can be read.
    """
    job = _plan(predictor, files, suffix=suffix, column=column, drop=drop, rejects=rejects)
    folder = JobFolder(out, job)
    folder.begin(resume=resume)
    to_do = [part for part in job.parts if folder.counts(part) is None]
    before = _total(folder)
    start = time.perf_counter()
    what = f"Scoring {len(files):,} files" if len(files) > 1 else f"Scoring {files[0].location}"
    size_bytes = sum(part.size_bytes for part in to_do)
    if to_do:
        with shown_progress(what, total_bytes=size_bytes, console=console) as progress:
            engine(predictor, folder, to_do, progress)
        missing = [part.name for part in to_do if folder.counts(part) is None]
        if missing:
            raise OutputError(f"{out}: {missing[0]} is not there; do all nodes see this folder? --resume goes on")
    seconds = time.perf_counter() - start
    counts = _total(folder)
    if not counts.rows:
        where = f"; {folder.path / '_rejected'} says why" if counts.rejected else ""
        raise DataError(f"{files[0].location}: no row of the input can be scored{where}")
    rows = counts.rows - before.rows
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


def _plan(
    predictor: Predictor,
    files: Sequence[InputFile],
    *,
    suffix: str,
    column: str | None,
    drop: Sequence[str],
    rejects: bool,
) -> Job:
    first = files[0].location
    names = names_of_columns(first, rejects=rejects, added=added_columns(predictor.labels))
    columns = choose_columns(first, names, text=column, drop=drop)
    all_parquet = {file_suffix(file.location) for file in files} == {".parquet"}
    return Job(
        model_digest=predictor.digest,
        abstain_below=predictor.abstain_below,
        columns=columns.model_copy(update={"keep_types": all_parquet and suffix == ".parquet"}),
        rejects=rejects,
        parts=tuple(cut(files, suffix)),
    )


def _total(folder: JobFolder) -> Counts:
    total = Counts()
    for part in folder.job.parts:
        total = total.plus(folder.counts(part) or Counts())
    return total
