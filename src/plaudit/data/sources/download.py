"""Download a file with progress, resume where a download stopped, and keep the file only if its digest is right."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from rich.console import Console
from rich.progress import DownloadColumn, TransferSpeedColumn

from plaudit.console import progress
from plaudit.errors import DataError, OutputError

CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = 30


def download(url: str, target: Path, *, md5: str, hint: str, console: Console | None) -> None:
    """Download `url` to `target`; `console` shows the progress.

    An incomplete file stays in `target`.part for the next call. DataError, ending in `hint`, if the server cannot be
    reached, stops early or sends another file; OutputError if the disk is full or the folder is not writable.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, part, hint=hint, console=console)
        digest = _md5(part)
        if digest != md5:
            part.unlink()
            raise DataError(f"{url}: md5 is {digest}, not {md5}; the file was deleted; try again, {hint}")
        part.replace(target)
    except OSError as error:
        raise OutputError(
            f"{target}: cannot be written ({error.strerror or error}); set PLAUDIT_CACHE elsewhere"
        ) from None


def _fetch(url: str, part: Path, *, hint: str, console: Console | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    response = _open(url, start=have, hint=hint)
    if response is None:
        return
    start = have if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0  # some servers ignore Range
    length = response.headers.get("Content-Length")
    total = start + int(length) if length is not None else None
    bar = progress(
        console or Console(quiet=True),
        part.name.removesuffix(".part"),
        total=total,
        completed=start,
        columns=(DownloadColumn(), TransferSpeedColumn()),
    )
    with response, part.open("ab" if start else "wb") as file, bar as show:
        while chunk := _read(response, url, hint=hint):
            file.write(chunk)
            show(file.tell())
        have = file.tell()
    if total is not None and have < total:
        raise DataError(f"{url}: stopped at {have:,} of {total:,} bytes; run again to resume, {hint}")


def _open(url: str, *, start: int, hint: str) -> http.client.HTTPResponse | None:
    """Request the bytes from `start` on; None if the server answers that there are no more."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return None
            raise DataError(f"{url}: the server answers {error.code} {error.reason}; try again later, {hint}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"{url}: cannot be reached ({reason}); connect to the network, {hint}") from None
    assert isinstance(response, http.client.HTTPResponse)
    return response


def _read(response: http.client.HTTPResponse, url: str, *, hint: str) -> bytes:
    try:
        return response.read(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{url}: stopped ({error}); run again to resume, {hint}") from None


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        # The digest guards against damage, not against forgery: md5 is what Stanford publishes.
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
