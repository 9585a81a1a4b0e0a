"""Scores the texts of requests that arrive together in one call."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

R = TypeVar("R")

MAX_BATCH_CHARACTERS = 2_000_000
"""A batch with this many characters takes no more requests, so that the next one does not wait too long."""

AT_ONCE_SECONDS = 0.001
"""A batch that takes no longer is scored on the event loop: going to a thread and back takes several turns of the loop,
which are long under load."""


class Batcher(Generic[R]):
    """Collects texts for `wait_ms`, or while the previous batch is scored; scores large batches on a thread.

    Call its methods on one event loop only.
    """

    def __init__(
        self, score: Callable[[Sequence[str]], Sequence[R]], *, wait_ms: float, seconds_per_character: float
    ) -> None:
        self._score = score
        self._seconds_per_character = seconds_per_character
        self._wait_seconds = wait_ms / 1000
        self._waiting: deque[tuple[Sequence[str], asyncio.Future[Sequence[R]]]] = deque()
        self._busy = self._closing = False
        self._thread = ThreadPoolExecutor(1, "plaudit-score")

    def submit(self, texts: Sequence[str]) -> "asyncio.Future[Sequence[R]]":
        """Return a future with the results of the texts, in order."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[R]] = loop.create_future()
        self._waiting.append((texts, future))
        if not self._busy:
            self._busy = True
            loop.call_later(self._wait_seconds, self._run_batch)
        return future

    def close(self) -> None:
        """Take no more texts, and end the thread once the waiting ones are scored."""
        self._closing = True
        if not self._busy:
            self._thread.shutdown(wait=False)

    def _run_batch(self) -> None:
        texts: list[str] = []
        shares: list[tuple[asyncio.Future[Sequence[R]], int]] = []
        num_characters = 0
        while self._waiting and num_characters < MAX_BATCH_CHARACTERS:
            more, future = self._waiting.popleft()
            texts += more
            shares.append((future, len(texts)))
            num_characters += sum(map(len, more))
        if num_characters * self._seconds_per_character < AT_ONCE_SECONDS:
            scored: asyncio.Future[Sequence[R]] = asyncio.get_running_loop().create_future()
            try:
                scored.set_result(self._score(texts))
            except Exception as error:
                scored.set_exception(error)
            self._distribute(scored, shares)
        else:
            scored = asyncio.get_running_loop().run_in_executor(self._thread, self._score, texts)
            scored.add_done_callback(lambda done: self._distribute(done, shares))

    def _distribute(
        self, scored: "asyncio.Future[Sequence[R]]", shares: list[tuple["asyncio.Future[Sequence[R]]", int]]
    ) -> None:
        start = 0
        for future, end in shares:
            if not future.done():  # its request may have been cancelled
                error = scored.exception()
                if error is None:
                    future.set_result(scored.result()[start:end])
                else:
                    future.set_exception(error)
            start = end
        if self._waiting:
            self._run_batch()
            return
        self._busy = False
        if self._closing:
            self._thread.shutdown(wait=False)
