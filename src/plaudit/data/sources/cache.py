"""A cache of parsed data sets: memory-mapped Arrow files that open at once.

A cache file is an Arrow IPC file of one dataset, with its name, labels and digest in the schema's metadata, followed by
a checksum. Its name is derived from the source's path, size and modification time, so that opening needs no hash of
the source.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import platformdirs
import pyarrow as pa

from plaudit.data.table import SCHEMA, Dataset
from plaudit.storage import replacing

FORMAT = "plaudit-reviews-1"
CHECKSUM_BYTES = 4
_FIELDS = ("name", "labels", "digest", "dropped")


def cache_dir() -> Path:
    """Return the folder for downloads and caches: PLAUDIT_CACHE, or the user's cache folder."""
    folder = os.environ.get("PLAUDIT_CACHE")
    return Path(folder) if folder else platformdirs.user_cache_path("plaudit")


def stat_key(paths: Iterable[Path]) -> str:
    """Return a key that changes with the location, size or modification time of any of `paths`."""
    key = hashlib.sha256(FORMAT.encode())
    for path in paths:
        status = path.stat()
        key.update(f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return key.hexdigest()[:20]


def cached(name: str, key: str, build: Callable[[], Dataset]) -> Dataset:
    """Open the cached dataset of this name and key, or build and store it first.

    A damaged file is built again. Processes that build the same one at the same time each write their own, and the
    last one stays. OutputError if the cache cannot be written.
    """
    path = cache_dir() / f"{name}-{key}.arrow"
    dataset = _open(path)
    if dataset is None:
        _store(path, build())
        dataset = _open(path)
        assert dataset is not None, path
    return dataset


def _store(path: Path, dataset: Dataset) -> None:
    about = {name: getattr(dataset, name) for name in _FIELDS} | {"format": FORMAT}
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, SCHEMA.with_metadata({"plaudit": json.dumps(about)})) as writer:
        writer.write_table(dataset.table.combine_chunks())
    content = sink.getvalue()
    hint = "set PLAUDIT_CACHE to a folder with 200 MB to spare"
    with replacing(path, hint=hint) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.write(_checksum(content))


def _open(path: Path) -> Dataset | None:
    try:
        with pa.memory_map(str(path)) as mapped:
            whole = mapped.read_buffer()
        content, checksum = whole[:-CHECKSUM_BYTES], whole[-CHECKSUM_BYTES:]
        # Before Arrow sees it: a changed offset would make Arrow read foreign memory.
        if checksum.to_pybytes() != _checksum(content):
            return None
        table = pa.ipc.open_file(content).read_all()
        about = json.loads(table.schema.metadata[b"plaudit"])
    except (OSError, pa.ArrowInvalid):
        return None
    about["labels"] = tuple(about["labels"])
    return Dataset(table=table.replace_schema_metadata(None), **{name: about[name] for name in _FIELDS})


def _checksum(content: pa.Buffer) -> bytes:
    return zlib.crc32(content).to_bytes(CHECKSUM_BYTES, "little")
