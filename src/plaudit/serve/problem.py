"""The error that ends a request: a status, a code for programs and a sentence for people."""

import json
from collections.abc import Mapping
from functools import lru_cache


@lru_cache(maxsize=64)  # an overloaded service sends the same to thousands a second
def _body(code: str, message: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}, ensure_ascii=False).encode()


class Problem(Exception):  # noqa: N818  # what HTTP calls it
    """Ends a request with `{"error": {"code": …, "message": …}}`."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    @property
    def body(self) -> bytes:
        """Return the answer's JSON."""
        return _body(self.code, self.message)


def overloaded(message: str) -> Problem:
    """Return the problem of a request that would wait too long."""
    return Problem(503, "overloaded", message, {"Retry-After": "1"})


def internal_error() -> Problem:
    """Return the problem of a request that met a bug."""
    return Problem(500, "internal", "internal error; the service's log has the details")
