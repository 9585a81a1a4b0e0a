"""Scoring on a Ray cluster: the parts of a job, each scored by one core of some node, as a Ray Data pipeline.

Nodes need Plaudit and the same paths to the input and output folders, such as a mounted share; the model travels with
the job. A part appears whole when it is done, so that a node which dies loses only what it was at: Ray gives its parts
to others, and a part that is there already is not scored again.
"""

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plaudit import errors
from plaudit.bundle.folder import MANIFEST, read_files
from plaudit.data.formats.location import Location
from plaudit.errors import MissingExtraError, OutputError, SettingsError
from plaudit.predictor import Predictor, load
from plaudit.scale.job import Job, JobFolder, Part
from plaudit.scale.part import Progress, score_part
from plaudit.scale.scorer import Scorer
from plaudit.threads import VARIABLE

if TYPE_CHECKING:
    from plaudit.scale.folder import Engine


def ray_engine(model: Path, *, address: str | None) -> "Engine":
    """Return an engine that scores with the bundle in a folder, on the cluster at an address.

    Without an address, that is the one that RAY_ADDRESS names, or one that Ray starts on this machine. SettingsError if
    nothing answers there, MissingExtraError without Ray; calling it raises what scoring a part raises.
    """
    try:
        import ray.data
        import ray.exceptions
    except ImportError:
        raise MissingExtraError("--engine ray needs: pip install 'plaudit[cluster]'") from None
    _check_answers(address or os.environ.get("RAY_ADDRESS"))

    def score_parts(predictor: Predictor, folder: JobFolder, parts: Sequence[Part], progress: Progress) -> None:
        manifest, files = read_files(model)
        with _connected(address):
            content = ray.put({MANIFEST: manifest.render(), **files})
            job = folder.job.model_copy(update={"parts": ()})
            path, digest = folder.path.absolute(), predictor.digest
            rows = [{"part": part.model_dump_json()} for part in parts]
            # One row a block and one block a task, which is what Ray does again elsewhere if a node dies.
            data = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
                lambda row: _scored_row(row, path, job, digest, content), num_cpus=1
            )
            try:
                for done in data.iter_rows():
                    if done["error"]:
                        raise getattr(errors, done["error"])(done["message"])
                    progress(done["rows"], done["size_bytes"])
            except ray.exceptions.RayError as error:  # such as a part that has taken down each node it was on
                reason = str(error).strip().splitlines()[-1]
                raise OutputError(f"{folder.path}: the cluster gave up ({reason}); --resume goes on") from None

    return score_parts


def _check_answers(address: str | None) -> None:
    """SettingsError at once, where Ray itself would try for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon:  # no address, or a word that Ray knows, such as auto
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"--ray-address {address}: no Ray cluster answers ({error}); begin one by ray start"
        ) from None


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Join a cluster, unless this process is in one, and leave it."""
    import ray
    import ray.data

    if ray.is_initialized():
        yield
        return
    named = address or os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    dashboard = None if named else False  # a running cluster has decided
    try:
        ray.init(address=named, include_dashboard=dashboard, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(
            f"--ray-address {named}: no Ray cluster answers ({reason}); begin one by ray start"
        ) from None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        with redirect_stdout(sys.stderr):  # where Ray prints what a node that died had to say
            yield
    finally:
        ray.shutdown()


def _scored_row(row: dict[str, Any], path: Path, job: Job, digest: str, content: Any) -> dict[str, Any]:  # noqa: ANN401
    """Score a part on a worker; what a user can fix comes back as name and message of the error."""
    os.environ[VARIABLE] = "1"  # the one core that Ray has given this task
    part = Part.model_validate_json(row["part"])
    folder = JobFolder(path, job)
    told = {"rows": 0, "size_bytes": part.size_bytes, "error": "", "message": ""}
    counts = folder.counts(part)
    if counts is None:
        try:
            counts = score_part(
                _scorer(digest, job.abstain_below, content),
                Location.of(part.file),
                folder.out(part),
                columns=job.columns,
                row_groups=part.row_groups,
                rejected_to=folder.rejected(part),
                pool=None,
                ahead=0,
                progress=lambda rows, num_bytes: None,
            )
            folder.record(part, counts)
        except errors.PlauditError as error:
            return told | {"error": type(error).__name__, "message": str(error)}
    return told | {"rows": counts.rows}


@lru_cache(maxsize=1)
def _scorer(digest: str, abstain_below: float, content: Any) -> Scorer:  # noqa: ANN401  # an ObjectRef
    """Load the model once a worker; its digest is the one that the job was begun with."""
    import ray

    with tempfile.TemporaryDirectory() as folder:
        for name, file in ray.get(content).items():
            (Path(folder) / name).write_bytes(file)
        predictor = load(Path(folder), abstain_below=abstain_below)
    assert predictor.digest == digest
    return Scorer(predictor)
