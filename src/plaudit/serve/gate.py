"""What every request passes first: the key check, logging, metrics and headers of the answer.

An ASGI application around the routes, because rejecting a request has to be cheap.
"""

import hmac
import re
import secrets
import time
from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plaudit.serve.intake import Intake
from plaudit.serve.log import Log
from plaudit.serve.metrics import Metrics
from plaudit.serve.problem import Problem, internal_error
from plaudit.serve.settings import ServeSettings

NOTE = "plaudit.note"
"""Key of the scope's dict in which the application leaves what to log about a request."""

PREDICT = "/v1/predict"
KEY_NEEDED = ("/v1/", "/metrics")
"""Prefixes of the paths that need a key, if the service has any."""

_PAGE = "/page/"
_KNOWN_PATHS = ("/", _PAGE, "/healthz", "/readyz", "/openapi.json", PREDICT, "/v1/models", "/v1/limits", "/metrics")

_CONTENT_SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _CONTENT_SECURITY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_REQUEST_ID = re.compile(rb"[\w.-]{1,64}")


class Gate:
    """Wraps the application; without `keys`, requests need none."""

    def __init__(
        self, app: ASGIApp, *, settings: ServeSettings, keys: Sequence[str], metrics: Metrics, log: Log
    ) -> None:
        self._app, self._metrics, self._log = app, metrics, log
        self._intake = Intake(app, settings=settings, metrics=metrics)
        self.keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, even if the application fails."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = secrets.token_hex(8).encode()
        status = 0
        is_head = scope["method"] == "HEAD"

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_HEADERS, (b"x-request-id", request_id)]
            elif is_head:
                message = {**message, "body": b""}
            try:
                await send(message)
            except RuntimeError as error:  # uvloop: the client has gone
                if "closed" not in str(error):
                    raise

        note = scope[NOTE] = dict[str, Any]()
        try:
            self._check_key(scope["path"], headers)
            if scope["path"] == PREDICT and scope["method"] == "POST":
                await self._intake(scope, headers, receive, send_with_headers)
            else:
                # HEAD is answered as GET is, without the body; monitors ask so.
                await self._app({**scope, "method": "GET"} if is_head else scope, receive, send_with_headers)
        except Problem as problem:
            await _send_problem(problem, send_with_headers)
        except Exception as error:
            self._log.crash(error, id=request_id.decode())
            if not status:
                await _send_problem(internal_error(), send_with_headers)
        seconds = time.perf_counter() - started
        path = _PAGE if scope["path"].startswith(_PAGE) else scope["path"]
        self._metrics.answered(path if path in _KNOWN_PATHS else "other", status, seconds)
        about = {"id": request_id.decode(), "method": scope["method"], "path": scope["path"]}
        self._log.request(status, {**about, "ms": round(1000 * seconds, 3), **note})

    def _check_key(self, path: str, headers: dict[bytes, bytes]) -> None:
        if not self.keys or not path.startswith(KEY_NEEDED):
            return
        scheme, _, sent = headers.get(b"authorization", b"").partition(b" ")
        # All keys are compared, so that the time does not reveal which one is similar.
        matches = [hmac.compare_digest(sent.strip(), key.encode()) for key in self.keys]
        if scheme.lower() != b"bearer" or not any(matches):
            message = "send the service's key as Authorization: Bearer KEY"
            raise Problem(401, "unauthorized", message, {"WWW-Authenticate": "Bearer"})


async def _send_problem(problem: Problem, send: Send) -> None:
    headers = {"content-type": "application/json", "content-length": str(len(problem.body)), **problem.headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": problem.body})
