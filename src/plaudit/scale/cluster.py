"""Score on a Ray cluster: a Ray Data pipeline in which one core of some node scores each part of a job.

Nodes need Plaudit and the same paths to the input and output folders, such as a mounted share; the model is sent with
the job. A part appears only when it is complete, so a node that dies loses only the part it was scoring: Ray gives its
parts to other nodes, and a part that is done is not scored again.
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
from plaudit.console import needs_extra
from plaudit.errors import OutputError, SettingsError
from plaudit.predictor import Predictor, load
from plaudit.scale.arrow_scorer import ArrowScorer
from plaudit.scale.job import Job, JobFolder, Part
from plaudit.scale.progress import Progress
from plaudit.threads import VARIABLE

if TYPE_CHECKING:
    from plaudit.scale.folder import Engine


def ray_engine(model: Path, *, address: str | None) -> "Engine":
    """Return an engine that scores with the bundle in a folder, on the cluster at an address.

    Without an address, that is the cluster in RAY_ADDRESS, or one that Ray starts on this machine. SettingsError if
    nothing answers there, MissingExtraError without Ray; calling the engine raises what scoring a part raises.
    """
    with needs_extra("cluster", "--engine ray"):
        import ray.data
        import ray.exceptions
    _check_answers(address or os.environ.get("RAY_ADDRESS"))

    def score_parts(predictor: Predictor, folder: JobFolder, parts: Sequence[Part], progress: Progress) -> None:
        manifest, files = read_files(model)
        with _connected(address):
            content = ray.put({MANIFEST: manifest.as_bytes(), **files})
            job = folder.job.model_copy(update={"parts": ()})
            path, digest = folder.path.absolute(), predictor.digest
            rows = [{"part": part.model_dump_json()} for part in parts]
            # One row a block and one block a task, because tasks are what Ray repeats elsewhere if a node dies.
            data = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
                lambda row: _scored_row(row, path, job, digest, content), num_cpus=1
            )
            try:
                for result in data.iter_rows():
                    if result["error"]:
                        raise getattr(errors, result["error"])(result["message"])
                    progress(result["rows"], result["size_bytes"])
            except ray.exceptions.RayError as error:  # such as a part that has brought down each node it was on
                reason = str(error).strip().splitlines()[-1]
                raise OutputError(f"{folder.path}: the cluster gave up ({reason}); --resume continues") from None

    return score_parts


def _check_answers(address: str | None) -> None:
    """Raise SettingsError at once where Ray itself would try for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon:  # no address, or a word that Ray knows, such as auto
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise _no_cluster(address, error) from None


def _no_cluster(address: str | None, error: Exception) -> SettingsError:
    reason = str(error).splitlines()[0]
    return SettingsError(f"--ray-address {address}: no Ray cluster answers ({reason}); start one with ray start")


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Connect to a cluster, unless this process is connected to one, and disconnect."""
    import ray
    import ray.data

    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    dashboard = None if address else False  # a running cluster has decided
    try:
        ray.init(address=address, include_dashboard=dashboard, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster(address, error) from None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        with redirect_stdout(sys.stderr):  # where Ray prints the last output of a node that died
            yield
    finally:
        ray.shutdown()


def _scored_row(row: dict[str, Any], path: Path, job: Job, digest: str, content: Any) -> dict[str, Any]:  # noqa: ANN401
    """Score a part on a worker; errors that a user can fix are returned by name and message."""
    os.environ[VARIABLE] = "1"  # the one core that Ray gives this task
    part = Part.model_validate_json(row["part"])
    folder = JobFolder(path, job)
    result = {"rows": 0, "size_bytes": part.size_bytes, "error": "", "message": ""}
    counts = folder.counts(part)
    if counts is None:
        try:
            scorer = _scorer(digest, job.abstain_below, content)
            counts = folder.score(part, scorer, pool=None, progress=lambda rows, num_bytes: None)
        except errors.PlauditError as error:
            return result | {"error": type(error).__name__, "message": str(error)}
    return result | {"rows": counts.rows}


@lru_cache(maxsize=1)
def _scorer(digest: str, abstain_below: float, content: Any) -> ArrowScorer:  # noqa: ANN401  # an ObjectRef
    """Load the model once per worker, and check that it is the job's."""
    import ray

    with tempfile.TemporaryDirectory() as folder:
        for name, file in ray.get(content).items():
            (Path(folder) / name).write_bytes(file)
        predictor = load(Path(folder), abstain_below=abstain_below)
    assert predictor.digest == digest
    return ArrowScorer(predictor)
