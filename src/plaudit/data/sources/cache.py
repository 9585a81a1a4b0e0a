"""Memory-mapped Arrow cache: what took seconds to parse is there at once the next time.

A cache file is an Arrow IPC file of one dataset, with its name, labels and digest in the schema's metadata,
followed by a checksum. Its name is derived from where the source lies, how large it is and when it changed,
so that opening needs no hash of the source.
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


def cache_dir() -> Path:
    """Return the folder for downloads and caches: PLAUDIT_CACHE, or the user's cache folder."""
    given = os.environ.get("PLAUDIT_CACHE")
    return Path(given) if given else platformdirs.user_cache_path("plaudit")


def stat_key(paths: Iterable[Path]) -> str:
    """Return a key that changes with the place, size or modification time of any of `paths`."""
    key = hashlib.sha256(FORMAT.encode())
    for path in paths:
        status = path.stat()
        key.update(f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return key.hexdigest()[:20]


def cached(name: str, key: str, build: Callable[[], Dataset]) -> Dataset:
    """Open the cached dataset of this name and key, or build and store it first.

    A damaged file is built anew. Processes that build the same one at once each write their own, and the last
    one stays. OutputError if the cache cannot be written.
    """
    path = cache_dir() / f"{name}-{key}.arrow"
    dataset = _open(path)
    if dataset is None:
        _store(path, build())
        dataset = _open(path)
        assert dataset is not None, path
    return dataset


def _store(path: Path, dataset: Dataset) -> None:
    about = {
        "format": FORMAT,
        "name": dataset.name,
        "labels": dataset.labels,
        "digest": dataset.digest,
        "dropped": dataset.dropped,
    }
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
    return Dataset(
        name=about["name"],
        labels=tuple(about["labels"]),
        table=table.replace_schema_metadata(None),
        digest=about["digest"],
        dropped=about["dropped"],
    )


def _checksum(content: pa.Buffer) -> bytes:
    return zlib.crc32(content).to_bytes(CHECKSUM_BYTES, "little")
