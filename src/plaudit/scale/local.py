"""Scoring on one machine: a file into a file, or a job of many parts, several of them at once."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from plaudit.data.formats.location import InputFile, Location
from plaudit.data.formats.open import open_batches
from plaudit.data.formats.rows import ReadLog
from plaudit.errors import DataError, OutputError
from plaudit.predictor import Predictor
from plaudit.scale.job import JobFolder, Part, choose_columns, names_of_columns
from plaudit.scale.part import Columns, Counts, Progress, score_part
from plaudit.scale.progress import shown_progress
from plaudit.scale.scorer import Scorer
from plaudit.scale.writers import WRITERS
from plaudit.threads import num_threads


def score_file(
    predictor: Predictor,
    file: InputFile,
    out: Path,
    *,
    column: str | None,
    drop: Sequence[str],
    rejects: bool,
    console: Console,
) -> Counts:
    """Write the scored rows to `out`, whole or not at all, in the format of its suffix.

    Rows that cannot be read go to OUT.rejected.jsonl; without `rejects`, or if there are no others, they are a
    DataError. OutputError if `out` cannot be written.
    """
    if out.suffix.lower() not in WRITERS:
        raise OutputError(f"{out}: write to one of {', '.join(WRITERS)}, or to a folder")
    scorer = Scorer(predictor)
    source = file.location
    names = names_of_columns(source, rejects=rejects, added=scorer.added)
    columns = choose_columns(source, names, text=column, drop=drop)
    _check_has_rows(source, columns, rejects=rejects)
    threads = num_threads()
    with (
        ThreadPoolExecutor(threads, "plaudit-scorer") as pool,
        shown_progress(f"Scoring {source}", total_bytes=file.size_bytes or 0, console=console) as progress,
    ):
        return score_part(
            scorer,
            source,
            out,
            columns=columns,
            row_groups=None,
            rejected_to=out.with_name(f"{out.name}.rejected.jsonl") if rejects else None,
            pool=pool,
            ahead=threads + 1,
            progress=progress,
        )


def scored_batches(
    predictor: Predictor, source: Location, *, column: str | None
) -> tuple[str, Iterator[pa.RecordBatch]]:
    """Return the column of texts, and a stream of rows with `predicted` and, for each label, `probability_LABEL`.

    An empty or missing text has neither: both are null. `predicted` is null where the predictor abstains, too. Every
    column of the file comes along as text. DataError if a row cannot be read.
    """
    scorer = Scorer(predictor)
    names = names_of_columns(source, rejects=False, added=scorer.added)
    columns = choose_columns(source, names, text=column, drop=())
    batches = open_batches(source, columns.read)
    return columns.text, (
        pa.RecordBatch.from_arrays(
            [*batch.columns, *scorer.columns(batch.column(columns.text))], names=[*columns.read, *scorer.added]
        )
        for batch in batches
    )


def _check_has_rows(source: Location, columns: Columns, *, rejects: bool) -> None:
    """DataError before anything is written, and naming the first row if none can be read."""
    log = ReadLog(lambda _: None) if rejects else ReadLog()
    with closing(open_batches(source, columns.read, log=log)) as batches:
        if any(len(batch) for batch in batches):
            return
    for _ in open_batches(source, columns.read):
        pass
    raise DataError(f"{source}: has no rows to score")


class _StoppedError(Exception):
    pass


def score_parts(predictor: Predictor, folder: JobFolder, parts: Sequence[Part], progress: Progress) -> None:
    """Score parts, as many at once as there are cores; what stops one of them stops all."""
    scorer = Scorer(predictor)
    threads = num_threads()
    at_once = max(1, min(threads, len(parts)))
    stopping = threading.Event()

    def tell(rows: int, num_bytes: int) -> None:
        if stopping.is_set():
            raise _StoppedError
        progress(rows, num_bytes)

    def score(part: Part) -> None:
        source = Location.of(part.file)
        # A core that scores what it has just unpacked finds it in its cache; but nobody should wait for a network.
        alone = at_once == threads and source.is_local
        counts = score_part(
            scorer,
            source,
            folder.out(part),
            columns=folder.job.columns,
            row_groups=part.row_groups,
            rejected_to=folder.rejected(part),
            pool=None if alone else pool,
            ahead=threads // at_once + 1,
            progress=tell,
        )
        folder.record(part, counts)

    with (
        ThreadPoolExecutor(threads, "plaudit-scorer") as pool,
        ThreadPoolExecutor(at_once, "plaudit-part") as drivers,
    ):
        working = [drivers.submit(score, part) for part in parts]
        try:
            for future in as_completed(working):
                future.result()
        except BaseException:  # Ctrl-C too
            stopping.set()
            drivers.shutdown(wait=True, cancel_futures=True)
            raise
