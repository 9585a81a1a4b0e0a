"""Compiled functions: kept where a folder can be written, right where none can, and announced once."""

import errno
import json
import logging
import os
import subprocess
import sys

import pytest
from numba.core import caching, config

from plaudit import compiled as module
from plaudit.cli import base
from plaudit.compiled import compiled
from plaudit.serve.log import LibraryHandler, Log


def double(number):
    return 2 * number


def triple(number):
    return 3 * number


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Let numba have no folder but one of its own, and a message that was said be said again."""
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [caching.UserProvidedCacheLocator])
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "numba"))
    module._say_compiling.cache_clear()
    module._warn_nothing_kept.cache_clear()


@pytest.fixture
def messages(caplog):
    caplog.set_level(logging.INFO, "plaudit")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def test_compiling_is_announced_once_and_loading_is_not(messages):
    assert (compiled()(double)(1), compiled()(triple)(1)) == (2, 3)
    assert [level for level, _ in messages()] == ["INFO"]
    assert "compiling for this processor" in messages()[0][1]
    module._say_compiling.cache_clear()
    loaded = compiled()(double)
    assert (loaded(1), sum(loaded.stats.cache_hits.values())) == (2, 1)
    assert len(messages()) == 1


def test_where_no_folder_can_be_written_it_compiles_and_names_what_would_help(tmp_path, monkeypatch, messages):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "file" / "numba"))
    assert (compiled()(double)(1), compiled()(triple)(1)) == (2, 3)
    (level, text) = messages()[0]
    assert level == "WARNING"
    assert "cannot be kept" in text
    assert "set NUMBA_CACHE_DIR" in text
    assert len(messages()) == 1


def test_a_full_disk_does_not_stop_it(monkeypatch, messages):
    def fill(self, name, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(caching.IndexDataCacheFile, "_save_data", fill)
    assert compiled()(double)(1) == 2
    assert [level for level, _ in messages()] == ["INFO", "WARNING"]
    assert "No space left" in messages()[1][1]


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_file_that_was_cut_short_is_compiled_again(suffix, tmp_path):
    compiled()(double)(1)
    (cut,) = tmp_path.rglob(f"*{suffix}")
    cut.write_bytes(b"")
    again = compiled()(double)
    assert (again(1), sum(again.stats.cache_hits.values())) == (2, 0)


@pytest.fixture
def package_logger():
    logger = logging.getLogger("plaudit")
    before = logger.level, logger.handlers
    yield logger
    logger.level, logger.handlers = before


def test_the_command_prints_what_is_logged_unless_quiet(package_logger, capsys):
    base.show_log()
    logging.getLogger("plaudit.any").info("a [line] %s", "of " * 60)
    assert capsys.readouterr() == ("", f"a [line] {'of ' * 60}\n")
    base.progress_console(verbose=False)
    logging.getLogger("plaudit.any").info("not shown")
    logging.getLogger("plaudit.any").warning("shown")
    assert capsys.readouterr() == ("", "shown\n")


def test_the_service_logs_it_as_an_event(package_logger, capsys):
    base.show_log(LibraryHandler(Log(requests=True, file=sys.stderr)))
    logging.getLogger("plaudit.any").info("compiling")
    event = json.loads(capsys.readouterr().err)
    assert (event["event"], event["level"], event["message"]) == ("message", "info", "compiling")


KERNELS = """
import sys
from numba.core import event
from plaudit import load

class Listener(event.Listener):
    def on_start(self, event):
        if "unicode" in str(event.data["args"]):
            print(event.data["dispatcher"], event.data["args"])
    def on_end(self, event):
        pass

event.register("numba:compile", Listener())
for name in ("bow", "lstm"):
    load(name).predict_proba(["a <b>fine</b> film & more " * 5000])
"""


@pytest.mark.slow
def test_kernels_do_not_make_numba_compile_its_strings(tmp_path):
    # A call of numpy's that can raise an error with values in its message makes it: six seconds.
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", KERNELS], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, list(tmp_path.rglob("kernel.run_layer*")) != []) == ("", True)
