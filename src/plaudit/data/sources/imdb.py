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
    """Read the archive that PLAUDIT_IMDB names, or the one in the cache, which is downloaded if it is not there."""
    path = _from_environment() or _cached_archive()
    if not path.exists():
        hint = f"or set {ENVIRONMENT} to a local aclImdb_v1.tar.gz or its unpacked folder"
        download(URL, path, md5=MD5, hint=hint, console=console)
    try:
        key = stat_key(archive.review_folders(path) if path.is_dir() else [path])
    except OSError as error:
        raise DataError(f"{error.filename}: missing from the unpacked archive; unpack it again") from None
    dataset = cached("imdb", key, lambda: archive.read_archive(path))
    if console is not None and not len(dataset.split("unsup")):
        missing = f"{path}: {archive.UNLABELLED} is missing, so what learns from unlabelled reviews has none"
        console.print(missing, markup=False, highlight=False, soft_wrap=True)
    return dataset


def locate() -> Availability:
    """Return which of the three places the reviews would come from now."""
    if named := os.environ.get(ENVIRONMENT):
        exists = Path(named).exists()
        return Availability(exists, f"{ENVIRONMENT}={named}" + ("" if exists else " (no such file or folder)"))
    path = _cached_archive()
    if path.exists():
        return Availability(True, str(path))
    return Availability(False, f"download from {URL}, or set {ENVIRONMENT} to a local copy")


def _cached_archive() -> Path:
    return cache_dir() / "aclImdb_v1.tar.gz"


def _from_environment() -> Path | None:
    named = os.environ.get(ENVIRONMENT)
    if not named:
        return None
    if not Path(named).exists():
        raise DataError(f"{ENVIRONMENT}={named}: no such file or folder; name aclImdb_v1.tar.gz or its unpacked folder")
    return Path(named)


SOURCE = Source("50,000 labelled and 50,000 unlabelled film reviews, official train and test split", load, locate)
