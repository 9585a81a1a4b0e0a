"""A variable that is set and empty, as compose files leave it, is as one that is not set."""

import re
from pathlib import Path

import pytest

import plaudit
from plaudit.data.sources import imdb
from plaudit.data.sources.cache import cache_dir
from plaudit.distributed import world
from plaudit.distributed.group import joined
from plaudit.errors import SettingsError
from plaudit.evaluate.robustness.datasets import find_sets_folder
from plaudit.serve.run import read_keys
from plaudit.threads import num_threads


def join():
    with pytest.raises(SettingsError, match="RANK"), joined():
        pass


READERS = {
    "PLAUDIT_API_KEY": lambda: read_keys(None),
    "PLAUDIT_CACHE": cache_dir,
    "PLAUDIT_IMDB": imdb.locate,
    "PLAUDIT_PEER_TIMEOUT": join,
    "PLAUDIT_ROBUSTNESS": lambda: find_sets_folder(None),
    "PLAUDIT_THREADS": num_threads,
}
OTHERS = {"LOCAL_RANK": world.local_rank, "WORLD_SIZE": world.has_others, "RANK": join}


@pytest.mark.parametrize(("variable", "read"), (READERS | OTHERS).items(), ids=(READERS | OTHERS))
def test_an_empty_variable_is_as_none(variable, read, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    unset = read()
    monkeypatch.setenv(variable, "")
    assert read() == unset


def test_these_are_all_variables():
    package = Path(plaudit.__file__).parent
    read = {name for file in package.rglob("*.py") for name in re.findall(r'"(PLAUDIT_[A-Z_]+)"', file.read_text())}
    assert read == set(READERS)
