"""IMDB 50k: 25,000 labelled reviews to train on, 25,000 to test on, and 50,000 without labels."""

import os
from pathlib import Path

from rich.console import Console

from plaudit.data.sources import archive
from plaudit.data.sources.base import Availability, Source
from plaudit.data.sources.cache import cache_dir, cached, stat_key
from plaudit.data.sources.download import download
from plaudit.data.table import Dataset
from plaudit.errors import DataError

URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
MD5 = "7c2ac02c03563afcf9b574c7e56c153a"
ENVIRONMENT = "PLAUDIT_IMDB"


def load(console: Console | None) -> Dataset:
    """Read what PLAUDIT_IMDB names, or the archive in the cache, or download that first; DataError if none
    can be had.
    """
    path = _named() or _downloaded()
    if not path.exists():
        hint = f"or set {ENVIRONMENT} to a local aclImdb_v1.tar.gz or its unpacked folder"
        download(URL, path, md5=MD5, hint=hint, console=console)
    parts = archive.review_folders(path) if path.is_dir() else [path]
    try:
        key = stat_key(parts)
    except OSError as error:
        raise DataError(f"{error.filename}: missing from the unpacked archive; unpack it again") from None
    return cached("imdb", key, lambda: archive.read_archive(path))


def locate() -> Availability:
    """Say which of the three places the reviews would come from now."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        exists = Path(named).exists()
        return Availability(exists, f"{ENVIRONMENT}={named}" + ("" if exists else " (no such file or folder)"))
    path = _downloaded()
    if path.exists():
        return Availability(True, str(path))
    return Availability(False, f"download from {URL}, or set {ENVIRONMENT} to a local copy")


def _downloaded() -> Path:
    return cache_dir() / "aclImdb_v1.tar.gz"


def _named() -> Path | None:
    named = os.environ.get(ENVIRONMENT)
    if not named:
        return None
    if not Path(named).exists():
        raise DataError(f"{ENVIRONMENT}={named}: no such file or folder; name aclImdb_v1.tar.gz or its unpacked folder")
    return Path(named)


SOURCE = Source("50,000 labelled and 50,000 unlabelled film reviews, official train and test split", load, locate)
