import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

FOLDERS = ("train/neg", "train/pos", "test/neg", "test/pos", "train/unsup")
MakeArchive = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or fills the user's cache."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("PLAUDIT_CACHE", str(cache))
    monkeypatch.delenv("PLAUDIT_IMDB", raising=False)
    return cache


def small_archive_files(num_per_folder: int = 12) -> dict[str, bytes]:
    """A tiny aclImdb: two reviews a movie, original ratings, and files that it holds besides."""
    files: dict[str, bytes] = {
        "README": b"about",
        "imdb.vocab": b"the\nand\n",
        "train/labeledBow.feat": b"9 0:1\n",
    }
    for at, folder in enumerate(FOLDERS):
        split, kind = folder.split("/")
        rating = {"neg": 2, "pos": 9, "unsup": 0}[kind]
        word = {"neg": "dreadful", "pos": "splendid", "unsup": "curious"}[kind]
        for i in range(num_per_folder):
            text = f"A {word} film, number {i} of {split}.<br /><br />It is called Café {at}."
            files[f"{folder}/{i}_{rating}.txt"] = text.encode()
        urls = [f"http://www.imdb.com/title/tt{at}{i // 2:04}/usercomments" for i in range(num_per_folder)]
        files[f"{split}/urls_{kind}.txt"] = "\n".join(urls).encode()
    return files


def write_archive(path: Path, files: Mapping[str, bytes], *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"aclImdb/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return path


@pytest.fixture
def archive_files() -> dict[str, bytes]:
    return small_archive_files()


@pytest.fixture
def make_archive(tmp_path: Path) -> MakeArchive:
    def make(files: Mapping[str, bytes] | None = None, *members: tarfile.TarInfo) -> Path:
        return write_archive(tmp_path / "aclImdb.tar.gz", small_archive_files() if files is None else files, *members)

    return make
