"""Reads the bodies of requests and admits only so many at once, however slow the clients are."""

import asyncio
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plaudit.serve.metrics import Metrics
from plaudit.serve.problem import Problem, overloaded
from plaudit.serve.settings import ServeSettings

BODY = "plaudit.body"
"""Key of the body in the scope that the application gets."""

_TOO_MANY = "too many requests at once; try again in a second"
_CLOSE = {"Connection": "close"}

_CHARSET = re.compile(rb"""\bcharset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE)
_CHARSETS = (b"utf-8", b"utf8", b"us-ascii", b"ascii")


class Intake:
    """Passes requests with their body to the application; a request over a limit ends in a Problem."""

    def __init__(self, app: ASGIApp, *, settings: ServeSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._open = self._in_work = self._held_bytes = 0

    async def __call__(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        """Read the body and have the request answered, each within its time limit."""
        settings = self._settings
        if self._open >= settings.max_open_requests or self._in_work >= settings.max_requests:
            raise overloaded(_TOO_MANY)
        _check_headers(headers, settings)
        body = bytearray()
        admitted = began = False

        async def send_and_count(message: Message) -> None:
            # The work is done when the answer begins; a client that reads it slowly keeps nobody waiting.
            nonlocal began
            if not began:
                began = True
                self._count(-1)
            await send(message)

        self._open += 1
        try:
            async with asyncio.timeout(settings.body_seconds) as limit:
                await self._read(body, receive)
                if self._in_work >= settings.max_requests:
                    raise overloaded(_TOO_MANY)
                limit.reschedule(asyncio.get_running_loop().time() + settings.answer_seconds)
                admitted = True
                self._count(1)
                scope[BODY] = bytes(body)
                await self._app(scope, receive, send_and_count)
        except TimeoutError:
            if not admitted:
                message = f"the body did not arrive within {settings.body_seconds:g} s"
                raise Problem(408, "too_slow", message, _CLOSE) from None
            if not began:
                raise overloaded(f"no answer within {settings.answer_seconds:g} s; send fewer texts at once") from None
            # The client does not read its answer; returning closes the connection.
        finally:
            self._open -= 1
            self._held_bytes -= len(body)
            if admitted and not began:
                self._count(-1)

    async def _read(self, body: bytearray, receive: Receive) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Problem(400, "cut_off", "the connection was closed before the whole body had arrived")
            piece = message.get("body", b"")
            body += piece
            self._held_bytes += len(piece)
            if len(body) > self._settings.max_body_bytes:
                raise _too_large(self._settings)
            if self._held_bytes > self._settings.max_held_bytes:
                raise overloaded(_TOO_MANY)
            more = message.get("more_body", False)

    def _count(self, change: int) -> None:
        self._in_work += change
        self._metrics.requests_in_work.set(self._in_work)


def _check_headers(headers: dict[bytes, bytes], settings: ServeSettings) -> None:
    media_type, _, parameters = headers.get(b"content-type", b"").partition(b";")
    # Browsers let pages of other origins send other types without a preflight request.
    if media_type.strip().lower() != b"application/json":
        raise _unsupported("send the body as Content-Type: application/json")
    charset = _CHARSET.search(parameters)
    if charset is not None and charset[1].lower() not in _CHARSETS:
        raise _unsupported(f"the body is in {charset[1].decode('latin-1')}; send it in UTF-8")
    encoding = headers.get(b"content-encoding", b"").strip()
    if encoding.lower() not in (b"", b"identity"):
        named = encoding.decode("latin-1")[:100]
        raise _unsupported(
            f"the body is encoded as {named}; send it without Content-Encoding", {"Accept-Encoding": "identity"}
        )
    length = headers.get(b"content-length", b"0")
    if len(length) > 18 or (length.isdigit() and int(length) > settings.max_body_bytes):
        raise _too_large(settings)


def _unsupported(message: str, headers: dict[str, str] | None = None) -> Problem:
    return Problem(415, "unsupported_media_type", message, headers)


def _too_large(settings: ServeSettings) -> Problem:
    message = f"the body is over {settings.max_body_bytes:,} bytes; send fewer texts at once"
    return Problem(413, "body_too_large", message, _CLOSE)
