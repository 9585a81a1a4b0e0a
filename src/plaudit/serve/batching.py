"""Texts of requests that arrive together in, one call for them all, each request's own results out."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

R = TypeVar("R")

MAX_BATCH_CHARACTERS = 2_000_000
"""A call takes no more requests once it has this many characters: the next batch is answered the sooner."""


AT_ONCE_SECONDS = 0.001
"""A batch that takes no longer is judged on the event loop: the way to a thread and back takes several of its turns,
which are long when requests crowd in."""


class Batcher(Generic[R]):
    """Collects texts for `wait_ms`, or while the batch before is judged, and has large batches judged on a thread.

    Its methods may be called on one event loop only.
    """

    def __init__(
        self, judge: Callable[[Sequence[str]], Sequence[R]], *, wait_ms: float, seconds_per_character: float
    ) -> None:
        self._judge_texts = judge
        self._seconds_per_character = seconds_per_character
        self._wait_seconds = wait_ms / 1000
        self._waiting: deque[tuple[Sequence[str], asyncio.Future[Sequence[R]]]] = deque()
        self._busy = self._closing = False
        self._thread = ThreadPoolExecutor(1, "plaudit-judge")

    def submit(self, texts: Sequence[str]) -> "asyncio.Future[Sequence[R]]":
        """Return the future results of the texts, in their order."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[R]] = loop.create_future()
        self._waiting.append((texts, future))
        if not self._busy:
            self._busy = True
            loop.call_later(self._wait_seconds, self._judge)
        return future

    def close(self) -> None:
        """Take no more texts, and let go of the thread once those that wait are judged."""
        self._closing = True
        if not self._busy:
            self._thread.shutdown(wait=False)

    def _judge(self) -> None:
        texts: list[str] = []
        takers: list[tuple[asyncio.Future[Sequence[R]], int]] = []
        num_characters = 0
        while self._waiting and num_characters < MAX_BATCH_CHARACTERS:
            these, future = self._waiting.popleft()
            texts += these
            takers.append((future, len(texts)))
            num_characters += sum(map(len, these))
        if num_characters * self._seconds_per_character < AT_ONCE_SECONDS:
            judged: asyncio.Future[Sequence[R]] = asyncio.get_running_loop().create_future()
            try:
                judged.set_result(self._judge_texts(texts))
            except Exception as error:
                judged.set_exception(error)
            self._hand_out(judged, takers)
        else:
            judged = asyncio.get_running_loop().run_in_executor(self._thread, self._judge_texts, texts)
            judged.add_done_callback(lambda done: self._hand_out(done, takers))

    def _hand_out(
        self, judged: "asyncio.Future[Sequence[R]]", takers: list[tuple["asyncio.Future[Sequence[R]]", int]]
    ) -> None:
        start = 0
        for future, end in takers:
            if not future.done():  # its request may have been cancelled
                error = judged.exception()
                if error is None:
                    future.set_result(judged.result()[start:end])
                else:
                    future.set_exception(error)
            start = end
        if self._waiting:
            self._judge()
            return
        self._busy = False
        if self._closing:
            self._thread.shutdown(wait=False)
