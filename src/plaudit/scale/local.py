"""Score on this machine: a file into a file, or the parts of a job, several of them at once."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from plaudit.data.formats.find import InputFile
from plaudit.data.formats.location import Location
from plaudit.data.formats.open import batch_schema, open_batches
from plaudit.data.formats.read_options import ReadOptions
from plaudit.data.formats.rows import ReadLog
from plaudit.errors import DataError, OutputError
from plaudit.predictor import Predictor
from plaudit.scale.arrow_scorer import ArrowScorer
from plaudit.scale.job import JobFolder, Part
from plaudit.scale.part import Columns, Counts, ScoringPool, choose_columns, score_part, scored
from plaudit.scale.progress import Progress, scoring_progress
from plaudit.scale.writers import WRITERS
from plaudit.threads import num_threads


def score_file(
    predictor: Predictor,
    file: InputFile,
    out: Path,
    *,
    column: str | None,
    read_options: ReadOptions | None = None,
    drop: Sequence[str],
    rejects: bool,
    console: Console,
) -> Counts:
    """Write the scored rows to `out`, completely or not at all, in the format of its suffix.

    Rows that cannot be read go to OUT.rejected.jsonl; without `rejects`, or if there are no others, they are a
    DataError. OutputError if `out` cannot be written.
    """
    if out.suffix.lower() not in WRITERS:
        raise OutputError(f"{out}: write to one of {', '.join(WRITERS)}, or to a folder")
    source = file.location
    columns = choose_columns(source, predictor.labels, read_options, text=column, drop=drop, rejects=rejects)
    _check_has_rows(source, columns, rejects=rejects)
    threads = num_threads()
    with (
        ThreadPoolExecutor(threads, "plaudit-scorer") as pool,
        scoring_progress(f"Scoring {source}", total_bytes=file.size_bytes or 0, console=console) as progress,
    ):
        return score_part(
            ArrowScorer(predictor),
            source,
            out,
            columns=columns,
            row_groups=None,
            rejected_to=out.with_name(f"{out.name}.rejected.jsonl") if rejects else None,
            pool=ScoringPool(pool, threads + 1),
            progress=progress,
        )


def scored_batches(
    predictor: Predictor,
    source: Location,
    *,
    column: str | None,
    drop: Sequence[str],
    texts_only: bool,
    read_options: ReadOptions | None = None,
) -> tuple[str, Iterator[pa.RecordBatch]]:
    """Return the column of texts, and a stream of rows with `predicted` and, for each label, `probability_LABEL`.

    All of these are null for an empty or missing text; `predicted` is null where the predictor abstains, too. Every
    column that is not dropped comes along as text, or the texts only. DataError if a row cannot be read.
    """
    scorer = ArrowScorer(predictor)
    columns = choose_columns(source, predictor.labels, read_options, text=column, drop=drop, rejects=False)
    if texts_only:
        columns = columns.model_copy(update={"carried": (columns.text,)})
    schema = pa.schema([*batch_schema(source, columns.carried), *scorer.schema])
    batches = open_batches(source, columns.read, columns.read_options)
    return columns.text, (scored(scorer, batch, columns, schema) for batch in batches)


def _check_has_rows(source: Location, columns: Columns, *, rejects: bool) -> None:
    """DataError before anything is written if no row can be read, which names the first row."""
    log = ReadLog(lambda _: None) if rejects else ReadLog()
    with closing(open_batches(source, columns.read, columns.read_options, log=log)) as batches:
        if any(len(batch) for batch in batches):
            return
    for _ in open_batches(source, columns.read, columns.read_options):
        pass
    raise DataError(f"{source}: has no rows to score")


class _StoppedError(Exception):
    pass


def score_parts(predictor: Predictor, folder: JobFolder, parts: Sequence[Part], progress: Progress) -> None:
    """Score parts, as many at once as there are cores; an error in one of them stops all."""
    scorer = ArrowScorer(predictor)
    threads = num_threads()
    at_once = max(1, min(threads, len(parts)))
    stopping = threading.Event()

    def advance(rows: int, num_bytes: int) -> None:
        if stopping.is_set():
            raise _StoppedError
        progress(rows, num_bytes)

    def score(part: Part) -> None:
        # A core that scores what it has just decompressed finds it in its cache; but no core should wait for a network.
        alone = at_once == threads and Location.of(part.file).is_local
        folder.score(part, scorer, pool=None if alone else ScoringPool(pool, threads // at_once + 1), progress=advance)

    with (
        ThreadPoolExecutor(threads, "plaudit-scorer") as pool,
        ThreadPoolExecutor(at_once, "plaudit-part") as drivers,
    ):
        futures = [drivers.submit(score, part) for part in parts]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:  # Ctrl-C too
            stopping.set()
            drivers.shutdown(wait=True, cancel_futures=True)
            raise
