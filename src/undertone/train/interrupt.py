"""Ctrl-C as a wish that the loop grants between two steps, when its state is whole."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class Interruption:
    """A context in which the first Ctrl-C only sets `requested`; a second one interrupts as usual."""

    def __init__(self) -> None:
        self.requested = False
        # Python delivers signals to the main thread only, and refuses handlers set elsewhere.
        self._in_main_thread = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._in_main_thread:
            self._previous = signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._in_main_thread:
            signal.signal(signal.SIGINT, self._previous)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
