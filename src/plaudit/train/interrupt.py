"""Turn Ctrl-C, and the signals of clusters that reclaim a node, into a request to stop between two steps."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interruption:
    """A context in which SIGNALS only set `requested`; Ctrl-C after any of them interrupts as it usually does.

    The others may come twice, once from the cluster and once from the launcher, and must not cut short what the first
    one asked for. One context within another shares its request: it may come too early for the inner one, or too late.
    """

    def __init__(self) -> None:
        self.requested = False
        # Python delivers signals to the main thread only, and refuses handlers set elsewhere.
        self._in_main_thread = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._in_main_thread:
            self._previous = {number: signal.signal(number, self._request) for number in SIGNALS}
            self._around = getattr(self._previous[signal.SIGINT], "__self__", None)
            if isinstance(self._around, Interruption):
                self.requested |= self._around.requested
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._in_main_thread:
            for number, handler in self._previous.items():
                signal.signal(number, handler)
            if isinstance(self._around, Interruption):
                self._around.requested |= self.requested

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
