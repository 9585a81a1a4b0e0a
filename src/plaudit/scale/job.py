"""What a job of many parts is, and what of it is done: files and options in, a folder that says so out.

    part-00000.parquet …        scored rows; by name, parts are in the order of the rows
    _rejected/part-00000.jsonl  the rows of a part that cannot be read, if there are any
    _done/part-00000.json       written after its part is there, with what was counted
    _job.json                   model, options, and which rows of which file each part has
    _SUCCESS.json               the summary, when all is done

Arrow, pandas and Spark read such a folder as one table, since they pass over names that begin with `_`.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from plaudit.data.formats.compressed import named_errors
from plaudit.data.formats.location import InputFile, Location
from plaudit.data.formats.open import column_names, file_suffix, unknown_column
from plaudit.data.formats.parquet import compressed_bytes, parquet_file
from plaudit.data.formats.rows import ReadLog
from plaudit.data.labelled_file import no_usual_column, usual_column
from plaudit.errors import DataError, OutputError
from plaudit.scale.part import Columns, Counts
from plaudit.settings import Settings
from plaudit.storage import replacing

PART_BYTES = 128 << 20
"""Of unpacked Parquet in a part: half a second of work for the quickest model."""
MANIFEST = "_job.json"
SUMMARY = "_SUCCESS.json"
_HINT = "name a folder with room to write to"

S = TypeVar("S", bound=Settings)


class Part(Settings):
    """Some rows of a file, and where their scores go."""

    name: str
    """Of the file of scored rows."""
    file: str
    row_groups: tuple[int, int] | None
    """First and last + 1 of a Parquet file's; None for the whole file."""
    size_bytes: int
    """Its share of the work, in bytes of the file; 0 if nobody knows."""
    file_bytes: int | None
    modified_ns: int | None


class Job(Settings):
    """All that decides what comes out."""

    format: int = 1
    model_digest: str
    abstain_below: float
    columns: Columns
    rejects: bool
    """Whether rows that cannot be read are rejected, or an error."""
    parts: tuple[Part, ...]


class Done(Settings):
    """What was done about a part."""

    part: Part
    counts: Counts
    out_bytes: int


def choose_columns(first: Location, names: Sequence[str], *, text: str | None, drop: Sequence[str]) -> Columns:
    """Return which of a file's columns are read and written, all as strings; DataError if one is not there."""
    for name in [*([text] if text else []), *drop]:
        if name not in names:
            raise DataError(f"{first}: {unknown_column(name, names)}")
    found = text or usual_column(names, "text")
    if found is None:
        raise DataError(f"{first}: {no_usual_column('text', names)}")
    carried = tuple(name for name in names if name not in drop)
    return Columns(known=tuple(names), text=found, carried=carried, keep_types=False)


def names_of_columns(first: Location, *, rejects: bool, added: Sequence[str]) -> list[str]:
    """Return a file's columns; DataError if one has a name under which scores are written."""
    names = column_names(first, log=ReadLog(lambda _: None) if rejects else None) or column_names(first)
    for name in added:
        if name in names:
            raise DataError(f"{first}: has a column {name!r} already; rename it, scores are written under that name")
    return names


def cut(files: Sequence[InputFile], suffix: str) -> list[Part]:
    """Cut files into parts: a Parquet file into runs of row groups of about PART_BYTES, any other not at all."""
    pieces = [(file, *piece) for file in files for piece in _pieces(file)]
    width = max(5, len(str(len(pieces) - 1)))
    return [
        Part(
            name=f"part-{number:0{width}d}{suffix}",
            file=_lasting_address(file.location),
            row_groups=row_groups,
            size_bytes=size_bytes,
            file_bytes=file.size_bytes,
            modified_ns=file.modified_ns,
        )
        for number, (file, row_groups, size_bytes) in enumerate(pieces)
    ]


def _pieces(file: InputFile) -> Iterator[tuple[tuple[int, int] | None, int]]:
    size_bytes = file.size_bytes or 0
    if file_suffix(file.location) != ".parquet" or size_bytes < PART_BYTES // 8:
        yield None, size_bytes
        return
    with named_errors(file.location), parquet_file(file.location) as parquet:
        groups = [parquet.metadata.row_group(i) for i in range(parquet.num_row_groups)]
    borders, held = [0], 0
    for i, group in enumerate(groups):
        if held and held + group.total_byte_size > PART_BYTES:
            borders.append(i)
            held = 0
        held += group.total_byte_size
    for first, end in pairwise([*borders, len(groups)]):
        yield (first, end), sum(map(compressed_bytes, groups[first:end]))


def _lasting_address(location: Location) -> str:
    """Return an address that means the same file from any folder."""
    return str(Path(location.path).absolute()) if location.is_local else location.address


class JobFolder:
    """The folder that a job fills."""

    def __init__(self, path: Path, job: Job) -> None:
        self.path = path
        self.job = job

    def begin(self, *, resume: bool) -> None:
        """Write what the job is. OutputError if the folder holds anything, unless `resume` and it is of this job."""
        try:
            is_empty = not any(self.path.iterdir()) if self.path.exists() else True
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written to ({error.strerror}); name another folder") from None
        if not is_empty:
            if not resume:
                raise OutputError(f"{self.path}: is not empty; name a new folder, or give --resume to go on")
            self._check_is_the_same(_read(Job, self.path / MANIFEST))
            (self.path / SUMMARY).unlink(missing_ok=True)
        with replacing(self.path / MANIFEST, hint=_HINT) as temporary:
            temporary.write_text(self.job.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def _check_is_the_same(self, begun: Job | None) -> None:
        if begun is None:
            raise OutputError(f"{self.path}: is not empty and holds no job to resume; name a new folder")
        job = self.job
        different = [
            what
            for what, one, other in (
                ("the model", begun.model_digest, job.model_digest),
                ("--abstain-below", begun.abstain_below, job.abstain_below),
                ("the columns", begun.columns, job.columns),
                ("--on-error", begun.rejects, job.rejects),
                ("--format", _suffixes(begun), _suffixes(job)),
                ("the list of input files", [part.file for part in begun.parts], [part.file for part in job.parts]),
            )
            if one != other
        ]
        if different:
            raise OutputError(f"{self.path}: was begun otherwise, {different[0]} differs; name a new folder")
        for part in job.parts:
            done = self._record(part)
            if done is not None and done.part != part:
                raise OutputError(f"{self.path}: {part.file} has changed since it was scored; name a new folder")

    def end(self, summary: str) -> None:
        """Write the summary, and sweep up after processes that were killed."""
        for each in ("", "_rejected", "_done"):
            for left in (self.path / each).glob(".part-*.tmp"):
                left.unlink(missing_ok=True)
        with replacing(self.path / SUMMARY, hint=_HINT) as temporary:
            temporary.write_text(summary, encoding="utf-8")

    def out(self, part: Part) -> Path:
        """Return where a part's rows go."""
        return self.path / part.name

    def rejected(self, part: Part) -> Path | None:
        """Return where a part's rejected rows go, None if they are an error."""
        return self.path / "_rejected" / f"{Path(part.name).stem}.jsonl" if self.job.rejects else None

    def counts(self, part: Part) -> Counts | None:
        """Return what was counted when the part was done, None if it is not."""
        done = self._record(part)
        if done is None or done.part != part:
            return None
        out = self.out(part)
        return done.counts if out.exists() and out.stat().st_size == done.out_bytes else None

    def record(self, part: Part, counts: Counts) -> None:
        """Write that a part is done."""
        done = Done(part=part, counts=counts, out_bytes=self.out(part).stat().st_size)
        with replacing(self._record_path(part), hint=_HINT) as temporary:
            temporary.write_text(done.model_dump_json() + "\n", encoding="utf-8")

    def _record_path(self, part: Part) -> Path:
        return self.path / "_done" / f"{Path(part.name).stem}.json"

    def _record(self, part: Part) -> Done | None:
        return _read(Done, self._record_path(part))


def _suffixes(job: Job) -> set[str]:
    return {Path(part.name).suffix for part in job.parts}


def _read(cls: type[S], path: Path) -> S | None:
    try:
        return cls.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
