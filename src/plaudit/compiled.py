"""Compiles the kernels by numba, and keeps what it compiled if a folder for that can be written.

Compiling takes some seconds, once for each version and kind of processor. It is logged, at level INFO; that nothing can
be kept, so that each process compiles again, is a warning.
"""

# mypy: disable-error-code="misc, no-any-unimported"
# (numba comes without types)

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import numba
from numba.core.caching import FunctionCache

_log = logging.getLogger(__name__)


class _Cache(FunctionCache):
    """A cache that a full disk or an unreadable file makes slower, where numba's would fail."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:  # noqa: ANN401
        try:
            found = super().load_overload(sig, target_context)
        except OSError:  # another user's
            found = None
        except EOFError:  # cut short
            found = None
            with suppress(OSError):
                self.flush()
        if found is None:
            _say_compiling()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:  # noqa: ANN401
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn_nothing_kept(f"{self.cache_path}: {error.strerror or error}")


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:  # noqa: ANN401
    """Return numba's decorator for a function that lets go of Python's lock; `options` are those of `numba.njit`."""

    def decorate(function: Callable[..., Any]) -> Any:  # noqa: ANN401
        dispatcher: Any = numba.njit(nogil=True, **options)(function)
        try:
            dispatcher._cache = _Cache(function)
        except RuntimeError:  # what numba raises where it finds no folder to write to
            _warn_nothing_kept("neither the package's folder nor the user's cache folder can be written")
        return dispatcher

    return decorate


@cache
def _say_compiling() -> None:
    _log.info("compiling for this processor, which takes some seconds the first time")


@cache
def _warn_nothing_kept(reason: str) -> None:
    _log.warning(
        "compiled code cannot be kept, so each start takes some seconds longer (%s); "
        "set NUMBA_CACHE_DIR to a folder that can be written",
        reason,
    )
