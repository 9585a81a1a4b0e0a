"""A job of many parts, and the folder that holds its results and shows which parts are done.

    part-00000.parquet …        scored rows; sorted by name, parts are in the order of the rows
    _rejected/part-00000.jsonl  the rows of a part that cannot be read, if there are any
    _done/part-00000.json       written after its part, with its counts
    _job.json                   model, options, and which rows of which file each part has
    _SUCCESS.json               the summary, when all is done

Arrow, pandas and Spark read such a folder as one table, since they skip names that begin with `_`.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from plaudit.data.formats.compressed import named_errors
from plaudit.data.formats.find import InputFile
from plaudit.data.formats.location import Location
from plaudit.data.formats.open import file_suffix
from plaudit.data.formats.parquet import compressed_bytes, parquet_file
from plaudit.errors import OutputError
from plaudit.scale.arrow_scorer import ArrowScorer
from plaudit.scale.part import Columns, Counts, ScoringPool, score_part
from plaudit.scale.progress import Progress
from plaudit.settings import Settings
from plaudit.storage import write_text

PART_BYTES = 128 << 20
"""Of uncompressed Parquet in a part: half a second of work for the fastest model."""
MANIFEST = "_job.json"
SUMMARY = "_SUCCESS.json"

S = TypeVar("S", bound=Settings)


class Part(Settings):
    """Some rows of a file, and where their scores go."""

    name: str
    """Name of the file of scored rows."""
    file: str
    row_groups: tuple[int, int] | None
    """First and last + 1 of a Parquet file's; None for the whole file."""
    size_bytes: int
    """Its share of the work, in bytes of the file; 0 if unknown."""
    file_bytes: int | None
    modified_ns: int | None


class Job(Settings):
    """Everything that decides the output."""

    format: int = 1
    model_digest: str
    abstain_below: float
    columns: Columns
    rejects: bool
    """Whether rows that cannot be read are rejected, or an error."""
    parts: tuple[Part, ...]

    def options(self) -> dict[str, object]:
        """Return what a resumed job must have in common with the one begun, by the words for it."""
        return {
            "the model": self.model_digest,
            "--abstain-below": self.abstain_below,
            "how files are read": self.columns.read_options,
            "the columns": self.columns,
            "--on-error": self.rejects,
            "--format": {Path(part.name).suffix for part in self.parts},
            "the list of input files": [part.file for part in self.parts],
        }


class Done(Settings):
    """The record of a finished part."""

    part: Part
    counts: Counts
    out_bytes: int


def cut_into_parts(files: Sequence[InputFile], suffix: str) -> list[Part]:
    """Cut each Parquet file into runs of row groups of about PART_BYTES; other files stay whole."""
    pieces = [(file, *piece) for file in files for piece in _pieces(file)]
    width = max(5, len(str(len(pieces) - 1)))
    return [
        Part(
            name=f"part-{number:0{width}d}{suffix}",
            file=_absolute_address(file.location),
            row_groups=row_groups,
            size_bytes=size_bytes,
            file_bytes=file.size_bytes,
            modified_ns=file.modified_ns,
        )
        for number, (file, row_groups, size_bytes) in enumerate(pieces)
    ]


def _pieces(file: InputFile) -> Iterator[tuple[tuple[int, int] | None, int]]:
    """Yield the row groups of each piece and its compressed bytes."""
    size_bytes = file.size_bytes or 0
    if file_suffix(file.location) != ".parquet" or size_bytes < PART_BYTES // 8:
        yield None, size_bytes
        return
    with named_errors(file.location), parquet_file(file.location) as parquet:
        groups = [parquet.metadata.row_group(i) for i in range(parquet.num_row_groups)]
    borders, piece_bytes = [0], 0
    for i, group in enumerate(groups):
        if piece_bytes and piece_bytes + group.total_byte_size > PART_BYTES:
            borders.append(i)
            piece_bytes = 0
        piece_bytes += group.total_byte_size
    for first, end in pairwise([*borders, len(groups)]):
        yield (first, end), sum(map(compressed_bytes, groups[first:end]))


def _absolute_address(location: Location) -> str:
    """Return an address that names the same file from any working directory."""
    return str(Path(location.path).absolute()) if location.is_local else location.address


class JobFolder:
    """The folder that a job fills."""

    def __init__(self, path: Path, job: Job) -> None:
        self.path = path
        self.job = job

    def begin(self, *, resume: bool) -> None:
        """Write the job's manifest; OutputError if the folder holds anything but this job to `resume`."""
        try:
            is_empty = not any(self.path.iterdir()) if self.path.exists() else True
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written to ({error.strerror}); name another folder") from None
        if not is_empty:
            if not resume:
                raise OutputError(f"{self.path}: is not empty; name a new folder, or give --resume to continue")
            self._check_same_job(_read(Job, self.path / MANIFEST))
            (self.path / SUMMARY).unlink(missing_ok=True)
        write_text(self.path / MANIFEST, self.job.model_dump_json(indent=1) + "\n")

    def _check_same_job(self, begun: Job | None) -> None:
        if begun is None:
            raise OutputError(f"{self.path}: is not empty and holds no job to resume; name a new folder")
        before = begun.options()
        for name, value in self.job.options().items():
            if value != before[name]:
                raise OutputError(f"{self.path}: was begun with other settings, {name} differs; name a new folder")
        for part in self.job.parts:
            done = self._record(part)
            if done is not None and done.part != part:
                raise OutputError(f"{self.path}: {part.file} has changed since it was scored; name a new folder")

    def end(self, summary: str) -> None:
        """Write the summary, and remove what killed processes have left."""
        for subfolder in ("", "_rejected", "_done"):
            for leftover in (self.path / subfolder).glob(".part-*.tmp"):
                leftover.unlink(missing_ok=True)
        write_text(self.path / SUMMARY, summary)

    def score(self, part: Part, scorer: ArrowScorer, *, pool: ScoringPool | None, progress: Progress) -> Counts:
        """Score a part and record that it is done."""
        name = f"{Path(part.name).stem}.jsonl"
        out = self.out(part)
        counts = score_part(
            scorer,
            Location.of(part.file),
            out,
            columns=self.job.columns,
            row_groups=part.row_groups,
            rejected_to=self.path / "_rejected" / name if self.job.rejects else None,
            pool=pool,
            progress=progress,
        )
        done = Done(part=part, counts=counts, out_bytes=out.stat().st_size)
        write_text(self._record_path(part), done.model_dump_json() + "\n")
        return counts

    def counts(self, part: Part) -> Counts | None:
        """Return the counts of a part that is done, None if it is not."""
        done, out = self._record(part), self.out(part)
        is_there = done is not None and done.part == part and out.exists() and out.stat().st_size == done.out_bytes
        return done.counts if done is not None and is_there else None

    def total(self) -> Counts:
        """Return the sum over the parts that are done."""
        total = Counts()
        for part in self.job.parts:
            total = total.plus(self.counts(part) or Counts())
        return total

    def out(self, part: Part) -> Path:
        """Return where a part's rows go."""
        return self.path / part.name

    def _record_path(self, part: Part) -> Path:
        return self.path / "_done" / f"{Path(part.name).stem}.json"

    def _record(self, part: Part) -> Done | None:
        return _read(Done, self._record_path(part))


def _read(cls: type[S], path: Path) -> S | None:
    try:
        return cls.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
